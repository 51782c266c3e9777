"""How fast is training, by form of the positions, precision and XLA?

python -m benchmarks.training_modes [--model segnet segnet_basic segnet_lite] [--out F]

Trains on one generated batch with `model.fit`, so that no reading is timed. On a GPU:
whole frames of 360x480 in fours, as in the paper, for segnet and segnet_basic; 64 crops
of 192x256 for segnet_lite; and the peak of the device's memory as TensorFlow's
allocator counts it. On a CPU: crops of 192x256, two for segnet and segnet_basic, eight
for segnet_lite. Prints medians of images a second. A choice that fails stands in the
table with its error.
"""

import argparse
import itertools
import time
from functools import cache
from pathlib import Path
from statistics import median

import keras
import numpy as np
import tensorflow as tf

from benchmarks.machine import description
from segnet_tf.console import cli
from segnet_tf.datasets import registry
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.files import write_json
from segnet_tf.layers.devices import has_gpu
from segnet_tf.training.arithmetic import precision
from segnet_tf.training.building import compiled
from segnet_tf.training.config import TrainConfig

FRAMES, CROP = (360, 480), (192, 256)
ON_GPU = {"segnet": (4, FRAMES), "segnet_basic": (4, FRAMES), "segnet_lite": (64, CROP)}
ON_CPU = {"segnet": (2, CROP), "segnet_basic": (2, CROP), "segnet_lite": (8, CROP)}
"""Network -> batch size, and size of an image."""

CHOICES = [
    *itertools.product(("argmax", "window", "mask", "input"), (False, True), (False,)),
    *itertools.product(("window", "mask"), (False, True), (True,)),
]
"""Pooling mode, whether precision is mixed, whether XLA compiles."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", nargs="+", choices=ON_GPU, default=[*ON_GPU])
    parser.add_argument("--steps", type=int, default=20, help="of an epoch [20]")
    parser.add_argument("--epochs", type=int, default=5, help="timed ones [5]")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    arguments = parser.parse_args()
    names = (
        "network | positions | precision | XLA | images/s | first epoch, s | peak, GiB"
    )
    print(f"| {names} |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for model in arguments.model:
        for mode, mixed, xla in CHOICES:
            rows.append(
                {"network": model, "mode": mode, "mixed": mixed, "xla": xla}
                | measured(model, mode, mixed, xla, arguments)
            )
            print(line(rows[-1]), flush=True)
            if arguments.out:
                write_json(arguments.out, {"device": device(), "rows": rows})


def device() -> dict:
    if not has_gpu():
        return description()
    gpu = tf.config.list_physical_devices("GPU")[0]
    return {"gpu": tf.config.experimental.get_device_details(gpu)["device_name"]}


def batch_of(name: str) -> tuple[int, tuple[int, int]]:
    return (ON_GPU if has_gpu() else ON_CPU)[name]


@cache
def batch(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels that a network trains on."""
    batch_size, size = batch_of(name)
    scenes = [draw_scene(seed, 0, *size) for seed in range(batch_size)]
    images, labels = (np.stack(each) for each in zip(*scenes, strict=True))
    return images.astype("float32"), labels


def measured(name: str, mode: str, mixed: bool, xla: bool, arguments) -> dict:
    """Images a second and GiB of one choice, or its error."""
    keras.backend.clear_session()
    if has_gpu():
        tf.config.experimental.reset_memory_stats("GPU:0")
    batch_size, size = batch_of(name)
    config = TrainConfig.of(
        model=name,
        crop=size,
        batch_size=batch_size,
        class_weights="none",
        mixed_precision=mixed,
        jit_compile=xla,
        pooling_mode=mode,
    )
    batches = tf.data.Dataset.from_tensors(batch(name)).repeat().prefetch(2)
    split = registry.load("synthetic", "val", None, 3, Reading())
    seconds = Epochs()
    try:
        with precision(config):
            model = compiled(config, split, 10_000)
            model.fit(
                batches,
                steps_per_epoch=arguments.steps,
                # The first one traces, compiles and chooses kernels.
                epochs=1 + arguments.epochs,
                verbose=0,
                shuffle=False,
                callbacks=[seconds],
            )
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        return {"error": str(error).strip().splitlines()[0][:200]}
    images = batch_size * arguments.steps
    found = {
        "images_per_s": round(images / median(seconds.each[1:]), 2),
        "first_epoch_s": round(seconds.each[0], 1),
    }
    if has_gpu():
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        found["peak_gib"] = round(peak / 2**30, 2)
    return found


class Epochs(keras.callbacks.Callback):
    """Seconds of every epoch."""

    def __init__(self):
        super().__init__()
        self.each: list[float] = []
        self._began = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        # `logs` are numbers: the device has finished.
        self.each.append(time.perf_counter() - self._began)


def line(row: dict) -> str:
    """The row of the table."""
    half = "float16" if has_gpu() else "bfloat16"
    used, xla = half if row["mixed"] else "float32", "yes" if row["xla"] else "no"
    found = row.get("error") or (
        f"{row['images_per_s']} | {row['first_epoch_s']} | {row.get('peak_gib', '-')}"
    )
    return f"| {row['network']} | {row['mode']} | {used} | {xla} | {found} |"


if __name__ == "__main__":
    cli.run(main, "benchmarks.training_modes")
