"""How much longer does `segnet predict FOLDER` take than its slowest part?

python -m benchmarks.predict_many [--count 200] [--size 3000x4000] [--model camvid]

Labels so many generated photos in one process, and compares its time with the larger of
two bounds: the network alone on all cores, and the CPU seconds of everything (reading,
network, writing, start), spread over the cores that are free: other programs may use
some, so threads that only compute tell before and after how many there are. The aim: at
most 1.15 times the bound. It also prints the largest resident memory, and before that
the seconds of each step for one photo, alone.
"""

import argparse
import hashlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread

import numpy as np
from PIL import Image

from segnet_tf.console import cli
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.evaluation.overlays import overlay
from segnet_tf.inference.many.results import FORMATS
from segnet_tf.inference.predictor import Predictor

PREDICT = Path(__file__).parent.parent / "predict.py"
DIFFERENT = 8
"""Photos that are drawn; the others are links to them."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=cli.parsed_size, default=(3000, 4000))
    parser.add_argument("--model", default="camvid")
    parser.add_argument("--repeats", type=int, default=3)
    found = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        draw_photos(photos, found.count, found.size)
        print_steps(photos / "photo_00000.jpg", found.model)
        network = network_seconds(photos, found.model, found.count)
        free = free_cores()
        for turn in range(found.repeats):
            whole, busy, memory = run(photos, found.model, Path(folder) / f"out{turn}")
            before, free = free, free_cores()
            cores = (before + free) / 2
            bound = max(network, busy / cores)
            free_text = f"{before:.2f} and {free:.2f} cores were free"
            print(
                f"{found.count} photos: {whole:.1f} s; network alone {network:.1f} s, "
                f"CPU seconds {busy:.1f}; {whole / bound:.2f} times the bound; "
                f"{memory / 2**20:.2f} GiB; {free_text}",
                flush=True,
            )


def free_cores(seconds: float = 3.0) -> float:
    """Cores that threads that only compute get, of all there are."""
    data, end = bytes(2**20), time.perf_counter() + seconds

    def compute() -> None:
        while time.perf_counter() < end:
            hashlib.sha256(data)

    began, busy = time.perf_counter(), time.process_time()
    threads = [Thread(target=compute) for _ in range(os.cpu_count() or 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - busy) / (time.perf_counter() - began)


def draw_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"photo_{index:05}.jpg"
        if index >= DIFFERENT:
            os.link(folder / f"photo_{index % DIFFERENT:05}.jpg", path)
            continue
        scene = Image.fromarray(draw_scene(8, index, 360, 480)[0])
        pixels = np.asarray(scene.resize(size[::-1], Image.Resampling.BICUBIC))
        # A camera's noise: without it, files would be far too small.
        noisy = pixels.astype(np.int16) + rng.integers(-5, 6, pixels.shape, np.int16)
        photo = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        photo.save(path, quality=90)


def print_steps(photo: Path, model: str) -> None:
    """Prints the median seconds of each step for one photo, one after the other."""
    predictor = Predictor(model)
    image = read_image(photo)
    small, size = predictor.scaled(image), image.shape[:2]
    scores = predictor.scores(small, size)
    labels = predictor.labels_from(scores, size)
    drawn = overlay(image, labels, predictor.info)

    def saved(suffix: str) -> None:
        form = {".jpg": "JPEG", ".png": "PNG"}[suffix]
        drawn.save(io.BytesIO(), form, **FORMATS[suffix])

    steps = {
        "read": lambda: read_image(photo),
        "scale": lambda: predictor.scaled(image),
        "network": lambda: predictor.scores(small, size),
        "labels": lambda: predictor.labels_from(scores, size),
        "overlay": lambda: overlay(image, labels, predictor.info),
        "JPEG": lambda: saved(".jpg"),
        "PNG": lambda: saved(".png"),
    }
    medians = []
    for name, step in steps.items():
        times = []
        for _ in range(5):
            started = time.perf_counter()
            step()
            times.append(time.perf_counter() - started)
        medians.append(f"{name} {np.median(times):.2f}")
    print(f"a photo, seconds: {', '.join(medians)}", flush=True)


def network_seconds(photos: Path, model: str, count: int) -> float:
    """Seconds of the network alone for so many photos, from the median of a few."""
    predictor = Predictor(model)
    image = read_image(photos / "photo_00000.jpg")
    small, times = predictor.scaled(image), []
    for _ in range(31):
        started = time.perf_counter()
        predictor.scores(small, image.shape[:2])
        times.append(time.perf_counter() - started)
    return count * float(np.median(times[1:]))


def run(photos: Path, model: str, output: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and KiB of the largest resident memory of one process."""
    command = [sys.executable, PREDICT, photos, "--model", model, "--output", output]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    whole = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = sum(after[:2]) - sum(before[:2])
    return whole, busy, after.ru_maxrss


if __name__ == "__main__":
    cli.run(main)
