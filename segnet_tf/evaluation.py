"""Scores of a model over a whole split, at the labels' own resolution."""

import os
import sys

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.datasets.split import IGNORE_LABEL, Split
from segnet_tf.errors import UserError
from segnet_tf.files import write_json
from segnet_tf.metrics import Scores, confusion_matrix
from segnet_tf.pipeline import evaluation_batches, reading_errors

__all__ = ["evaluate", "score_table", "write_metrics"]


def evaluate(model: keras.Model, split: Split) -> Scores:
    """Runs every image of a split through a model and scores the pooled pixels.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, 3) in [0, 255].

    Raises:
        UserError: where the model's classes are not the split's in number.
    """
    num_classes = split.info.num_classes
    if model.output_shape[-1] != num_classes:
        raise UserError(
            f"the model predicts {model.output_shape[-1]} classes, "
            f"{split.info.name} has {num_classes}"
        )

    @tf.function(reduce_retracing=True)
    def predict(images):
        return tf.argmax(model(images, training=False), axis=-1)

    confusion = np.zeros((num_classes, num_classes), np.int64)
    verbose = 1 if sys.stdout.isatty() else 2
    bar = keras.utils.Progbar(len(split), verbose=verbose, unit_name="image")
    with reading_errors():
        for images, labels in evaluation_batches(split):
            predictions = predict(images).numpy()
            confusion += confusion_matrix(
                labels.numpy(), predictions, num_classes, IGNORE_LABEL
            )
            bar.add(1)
    return Scores.from_confusion(confusion)


def score_table(scores: Scores, classes: tuple[str, ...]) -> str:
    """The scores as lines for people: one a class, then G, C and mIoU, in percent."""
    width = max(map(len, classes))
    lines = [f"{'class':<{width}}  accuracy    IoU"]
    rows = zip(classes, scores.per_class_accuracy, scores.per_class_iou, strict=True)
    for name, accuracy, iou in rows:
        if np.isnan(iou):
            lines.append(f"{name:<{width}}  absent from the ground truth")
        else:
            lines.append(f"{name:<{width}}  {100 * accuracy:8.1f} {100 * iou:6.1f}")
    lines.append(
        f"global accuracy {100 * scores.global_accuracy:.1f}, "
        f"class accuracy {100 * scores.class_accuracy:.1f}, "
        f"mIoU {100 * scores.mean_iou:.1f}"
    )
    return "\n".join(lines)


def write_metrics(path: str | os.PathLike, scores: Scores, split: Split) -> None:
    """Writes the scores as JSON, with what they were measured on."""
    measured_on = {
        "dataset": split.info.name,
        "split": split.name,
        "images": len(split),
    }
    write_json(path, {**measured_on, **scores.as_dict(split.info.classes)})
