"""How well does a model label bad pictures? mIoU on a split under eight corruptions.

python -m experiments.robustness --dataset camvid --data-dir CamVid --split val

Every corruption does what its name says and nothing more, and does the same to an image
in every run. If it changes the size of the picture, the labels are resized back and
scored at the size of the truth. Prints a table, and writes it if --output is given.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.datasets.dataset import IGNORE_LABEL, Split
from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.inference.model_file import find_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.metrics.confusion import Scores, confusion_matrix

NOISE = 20.0
"""Standard deviation, where white is 255."""


def resized(image: Image.Image, factor: float) -> Image.Image:
    size = tuple(round(factor * side) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC)


def noisy(image: Image.Image, index: int) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(index).normal(0, NOISE, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def brighter(image: Image.Image, factor: float) -> Image.Image:
    return image.point(lambda value: min(255, round(factor * value)))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


CORRUPTIONS = {
    "none": lambda image, index: image,
    "blur, radius 2": lambda image, index: image.filter(ImageFilter.GaussianBlur(2)),
    f"noise, {NOISE:.0f} of 255": noisy,
    "dark, a third of the light": lambda image, index: brighter(image, 1 / 3),
    "bright, twice the light": lambda image, index: brighter(image, 2),
    "JPEG, quality 20": lambda image, index: jpeg(image, 20),
    "half the size": lambda image, index: resized(image, 0.5),
    "twice the size": lambda image, index: resized(image, 2),
    "grey": lambda image, index: image.convert("L").convert("RGB"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="as in predict.py [the shipped one]")
    parser.add_argument("--dataset", choices=datasets.DATASETS, default="camvid")
    parser.add_argument("--data-dir")
    parser.add_argument("--split", default="val")
    parser.add_argument("--native", action="store_true", help="as in predict.py")
    parser.add_argument("--output", type=Path, help="file for the table")
    arguments = parser.parse_args()
    split = datasets.load(arguments.dataset, arguments.split, arguments.data_dir)
    path = find_model(arguments.model)
    predictor = Predictor(path, native=arguments.native)
    classes = split.info.classes
    if predictor.info.classes != classes:
        raise UserError(f"{path}: was not trained for the classes of {split.info.name}")
    lines = [
        f"| corruption | mIoU | G | {' | '.join(classes)} |",
        "|---" * (len(classes) + 3) + "|",
    ]
    for name, corrupt in CORRUPTIONS.items():
        scores = score(predictor, split, corrupt)
        values = [scores.mean_iou, scores.global_accuracy, *scores.per_class_iou]
        lines.append(f"| {name} | {' | '.join(f'{100 * v:.1f}' for v in values)} |")
        print(lines[-1], flush=True)
    if arguments.output:
        with replacing(arguments.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n")


def score(predictor: Predictor, split: Split, corrupt) -> Scores:
    """Scores over the split; the labels are resized to the size of the truth."""
    classes = split.info.num_classes
    confusion = np.zeros((classes, classes), np.int64)
    for index, (image, truth) in enumerate(split):
        corrupted = corrupt(Image.fromarray(image), index).convert("RGB")
        labels = Image.fromarray(predictor.labels(np.asarray(corrupted)))
        labels = labels.resize(truth.shape[::-1], Image.Resampling.NEAREST)
        confusion += confusion_matrix(truth, np.asarray(labels), classes, IGNORE_LABEL)
    return Scores.from_confusion(confusion)


if __name__ == "__main__":
    cli.run(main, "experiments.robustness")
