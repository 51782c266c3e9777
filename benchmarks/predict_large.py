"""How do the time and the memory of `segnet predict --native` grow with the pixels?

python -m benchmarks.predict_large [--megapixels 1,4,16,64,108] [--model camvid]

For each size one generated photo, a JPEG file, 4:3. Its network alone runs in a process
of its own, on the pixels in memory; then `segnet predict --native` writes the labels,
and then labels and overlay, a process each. Prints a table in Markdown: seconds and, in
brackets, CPU seconds; how many times those of the network they are; and the largest
resident memory of each process. Below it are the slopes, by least squares over the
sizes: CPU seconds and MiB a megapixel. Where other programs run, the CPU seconds tell.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.predict_many import PREDICT
from segnet_tf.console import cli
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.opening import allow_pixels
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.inference.predictor import Predictor

WRITES = ("labels", "labels,overlay")

HEADER = (
    "| megapixels | network alone | labels | times | memory | labels and overlay "
    "| times | memory |\n|---|---|---|---|---|---|---|---|"
)


class Cost(NamedTuple):
    """What a process took; `memory` is in GiB."""

    seconds: float
    cpu: float
    memory: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", default="1,4,16,64,108")
    parser.add_argument("--model", default="camvid")
    parser.add_argument("--network", help=argparse.SUPPRESS)  # the inner process
    found = parser.parse_args()
    if found.network:
        print(*network_alone(Path(found.network), found.model))
        return
    sizes = [float(text) for text in found.megapixels.split(",")]
    print(HEADER, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(Path(folder), size, found.model) for size in sizes]
    if len(sizes) > 1:
        print_slopes(sizes, rows)


def measured(folder: Path, megapixels: float, model: str) -> list[Cost]:
    """Costs of the network alone and of the command for each of `WRITES`, printed."""
    photo = folder / f"photo_{megapixels:g}.jpg"
    draw_photo(photo, megapixels)
    inner = [sys.executable, "-m", "benchmarks.predict_large", "--model", model]
    words = [*inner, "--network", str(photo)]
    said = subprocess.run(words, check=True, capture_output=True).stdout
    network = Cost(*map(float, said.split()))
    row, cells = [network], [f"{network.seconds:.1f} s ({network.cpu:.1f})"]
    for outputs in WRITES:
        words = ["--native", "--write", outputs, "--model", model, "--overwrite"]
        cost = run([str(photo), *words, "--output", str(folder / "out")])
        row.append(cost)
        times, cpu_times = cost.seconds / network.seconds, cost.cpu / network.cpu
        cells.append(f"{cost.seconds:.1f} s ({cost.cpu:.1f})")
        cells += [f"{times:.2f} ({cpu_times:.2f})", f"{cost.memory:.2f} GiB"]
    print(f"| {megapixels:g} | {' | '.join(cells)} |", flush=True)
    return row


def draw_photo(path: Path, megapixels: float) -> None:
    """Writes a scene with a camera's noise, strip by strip: it may be large."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    scene = Image.fromarray(draw_scene(8, 0, 360, 480)[0])
    photo = scene.resize((width, height), Image.Resampling.BICUBIC)
    rng = np.random.default_rng(0)
    for top in range(0, height, 256):
        strip = np.asarray(photo.crop((0, top, width, min(top + 256, height))))
        noise = rng.integers(-5, 6, strip.shape, np.int16)
        noisy = np.clip(strip + noise, 0, 255).astype(np.uint8)
        photo.paste(Image.fromarray(noisy), (0, top))
    photo.save(path, quality=90)


def network_alone(photo: Path, model: str) -> Cost:
    """The cost of labelling pixels that are in memory; the model is loaded before."""
    allow_pixels(2**31)
    predictor, image = Predictor(model, native=True), read_image(photo)
    predictor.labels(image[:64, :64])
    started, busy = time.perf_counter(), time.process_time()
    predictor.labels(image)
    return Cost(time.perf_counter() - started, time.process_time() - busy)


def run(words: list[str]) -> Cost:
    """The cost of one `segnet predict`."""
    command = [sys.executable, str(PREDICT), *words, f"--max-pixels={2**31}"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # Unlike RUSAGE_CHILDREN, this tells of one process, not of the largest so far.
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)


def print_slopes(sizes: list[float], rows: list[list[Cost]]) -> None:
    """Prints what a megapixel more costs."""

    def slope(values: list[float]) -> float:
        return np.polyfit(sizes, values, 1)[0]

    network, *columns = zip(*rows, strict=True)
    parts = [f"network alone {slope([cost.cpu for cost in network]):.2f} CPU s"]
    for outputs, costs in zip(WRITES, columns, strict=True):
        cpu = slope([cost.cpu for cost in costs])
        memory = 1024 * slope([cost.memory for cost in costs])
        parts.append(f"{outputs} {cpu:.2f} CPU s and {memory:.1f} MiB")
    print(f"\na megapixel more: {'; '.join(parts)}")


if __name__ == "__main__":
    cli.run(main)
