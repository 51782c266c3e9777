"""How long does `python predict.py img.png` take, from a cold start to the pictures?

python -m benchmarks.predict_cold --model runs/demo [--tflite FILE] [--repeats 9]

Measures the whole process on an image of 480x360, with a .tflite file and with the
.keras file that it was made from: fresh processes in turns, their medians. FILE must
have been exported from that model; without --tflite, one is exported first. The aim:
.tflite takes at most 0.5 s on two quiet cores, and is 6 times as fast as .keras.
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

from segnet_tf.console import cli
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.inference.model_file import find_model

PREDICT = Path(__file__).parent.parent / "predict.py"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="run folder or .keras file [as in predict.py]")
    parser.add_argument("--tflite", help="the same model as a .tflite file")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    keras_file = find_model(arguments.model, forms=("model.keras",))
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "street.png"
        Image.fromarray(draw_scene(9, 0, 360, 480)[0]).save(image)
        tflite = arguments.tflite or exported(keras_file, Path(folder) / "m.tflite")
        seconds = {Path(tflite): [], keras_file: []}
        # The first turn fills the disk's cache for both, and does not count.
        for turn in range(arguments.repeats + 1):
            for model, times in seconds.items():
                taken = predict(image, model, folder)
                if turn:
                    times.append(taken)
    report(seconds)


def exported(keras_file: Path, path: Path) -> Path:
    from segnet_tf.export.tflite import export_tflite
    from segnet_tf.inference.model_file import load_model, read_labels

    export_tflite(load_model(keras_file), path, read_labels(keras_file), (384, 480))
    return path


def predict(image: Path, model: Path, folder: str) -> float:
    """Seconds of one process."""
    command = [sys.executable, PREDICT, image, "--model", model, "--output", folder]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def report(seconds: dict[Path, list[float]]) -> None:
    medians = [float(np.median(times)) for times in seconds.values()]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}; seconds, median (least to most)")
    for (model, times), median in zip(seconds.items(), medians, strict=True):
        print(f"{model.suffix:<9}{median:7.2f}  ({min(times):.2f} to {max(times):.2f})")
    print(f".tflite is {medians[1] / medians[0]:.1f} times as fast")


if __name__ == "__main__":
    cli.run(main)
