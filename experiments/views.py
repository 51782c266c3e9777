"""What do several views at prediction gain, and what do they cost?

python -m experiments.views --data-dir CamVid [--model camvid] [--split val]

Prints mIoU on a split of CamVid, and CPU seconds as multiples of those of one view, for
each value of `predict.py --tta`.
"""

import argparse
import time

import numpy as np

from segnet_tf.console import cli
from segnet_tf.datasets import registry
from segnet_tf.inference.augmented import augmented
from segnet_tf.inference.many.reading import Picture
from segnet_tf.inference.predictor import Predictor
from segnet_tf.metrics.confusion import Scores, confusion_matrix

MODES = ((), ("flip",), ("scale",), ("flip", "scale"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--model", default="camvid")
    parser.add_argument("--split", default="val")
    found = parser.parse_args()
    predictor = Predictor(found.model)
    split = registry.load("camvid", found.split, found.data_dir)
    classes = predictor.num_classes
    totals = {mode: np.zeros((classes, classes), np.int64) for mode in MODES}
    seconds = dict.fromkeys(MODES, 0.0)
    for index in range(len(split.names)):
        image, truth = split.read(index)
        for mode in MODES:
            started = time.process_time()
            labels = labelled(predictor, image, mode)
            seconds[mode] += time.process_time() - started
            totals[mode] += confusion_matrix(truth, labels, classes)
    for mode in MODES:
        score = Scores.from_confusion(totals[mode]).mean_iou
        cost = seconds[mode] / seconds[()]
        print(f"{','.join(mode) or 'none':<12}{100 * score:6.1f}{cost:6.1f}")


def labelled(
    predictor: Predictor, image: np.ndarray, mode: tuple[str, ...]
) -> np.ndarray:
    """Class ids of an image, uint8 (H, W), by the mean of some views."""
    if not mode:
        return predictor.labels(image)
    size = image.shape[:2]
    scores = augmented(predictor, mode)(Picture("", ""), predictor.scaled(image), size)
    return predictor.labels_from(scores, size)


if __name__ == "__main__":
    cli.run(main)
