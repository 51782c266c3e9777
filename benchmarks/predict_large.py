"""How do the time and the memory of `segnet predict --native` grow with the pixels?

python -m benchmarks.predict_large [--megapixels 1,4,16,64,108] [--model camvid]

For each size one generated photo, a JPEG file, 4:3. Its network alone runs in a process
of its own, on the pixels in memory; then `segnet predict --native` writes the labels,
and then labels and overlay, a process each. Prints a table in Markdown: seconds (wall),
their ratio to those of the network, and the largest resident memory of each process;
and below it the slopes, by least squares over the sizes: seconds and MiB a megapixel.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    "| megapixels | network alone | labels | | labels and overlay | |\n"
    "|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", default="1,4,16,64,108")
    parser.add_argument("--model", default="camvid")
    parser.add_argument("--network", help=argparse.SUPPRESS)  # the inner process
    found = parser.parse_args()
    if found.network:
        print(network_seconds(Path(found.network), found.model))
        return
    sizes = [float(text) for text in found.megapixels.split(",")]
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(Path(folder), size, found.model) for size in sizes]
    if len(sizes) > 1:
        print_slopes(sizes, rows)


def measured(folder: Path, megapixels: float, model: str) -> list[float]:
    """Seconds of the network, and seconds and GiB of each command; prints them."""
    photo = folder / f"photo_{megapixels:g}.jpg"
    draw_photo(photo, megapixels)
    inner = [sys.executable, "-m", "benchmarks.predict_large", "--model", model]
    words = [*inner, "--network", str(photo)]
    network = float(subprocess.run(words, check=True, capture_output=True).stdout)
    row, cells = [network], [f"{network:.1f} s"]
    for outputs in WRITES:
        words = ["--native", "--write", outputs, "--model", model, "--overwrite"]
        seconds, memory = run([str(photo), *words, "--output", str(folder / "out")])
        row += [seconds, memory]
        times = seconds / network
        cells += [f"{seconds:.1f} s, {times:.2f} times", f"{memory:.2f} GiB"]
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


def network_seconds(photo: Path, model: str) -> float:
    """Seconds of labelling pixels that are in memory; the model is loaded before."""
    allow_pixels(2**31)
    predictor, image = Predictor(model, native=True), read_image(photo)
    predictor.labels(image[:64, :64])
    started = time.perf_counter()
    predictor.labels(image)
    return time.perf_counter() - started


def run(words: list[str]) -> tuple[float, float]:
    """Seconds and GiB of the largest resident memory of one `segnet predict`."""
    command = [sys.executable, str(PREDICT), *words, f"--max-pixels={2**31}"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # Unlike RUSAGE_CHILDREN, this tells of one process, not of the largest so far.
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, used.ru_maxrss / 2**20


def print_slopes(sizes: list[float], rows: list[list[float]]) -> None:
    """Prints what a megapixel more costs."""
    slopes = [np.polyfit(sizes, column, 1)[0] for column in zip(*rows, strict=True)]
    network, *pairs = slopes
    parts = [f"network alone {network:.2f} s"]
    for outputs, seconds, memory in zip(WRITES, pairs[::2], pairs[1::2], strict=True):
        parts.append(f"{outputs} {seconds:.2f} s and {1024 * memory:.1f} MiB")
    print(f"\na megapixel more: {'; '.join(parts)}")


if __name__ == "__main__":
    cli.run(main)
