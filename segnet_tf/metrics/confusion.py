"""Scores from one confusion matrix, which counts in whole numbers.

The scores are G, C and mIoU of the SegNet paper (section 4). Global accuracy is the
share of valid pixels that are right, class average accuracy is the mean recall, and
mIoU is the mean of intersection over union. Float32 counters would stall at 2**24
pixels per cell, so that the matrix is int64 everywhere.
"""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

__all__ = ["MeanIoU", "Scores", "confusion_matrix"]


def confusion_matrix(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    ignore_label: int = 255,
) -> np.ndarray:
    """Counts pixels by true class (row) and predicted class (column).

    Args:
        labels: integer ids of any shape, 0 to num_classes - 1 or `ignore_label`.
        predictions: integer ids of the same shape, 0 to num_classes - 1.
        num_classes: number of classes.
        ignore_label: the id whose pixels do not count.

    Returns:
        int64 (num_classes, num_classes).

    Raises:
        ValueError: if the shapes differ or an id is out of range.
    """
    if labels.shape != predictions.shape:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} must have one "
            "shape"
        )
    valid = labels != ignore_label
    true = labels[valid].astype(np.int64)
    predicted = predictions[valid].astype(np.int64)
    for name, ids in (("label", true), ("prediction", predicted)):
        if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
            raise ValueError(
                f"{name} ids {ids.min()} to {ids.max()}, expected 0 to "
                f"{num_classes - 1}"
            )
    cells = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


@dataclass(frozen=True)
class Scores:
    """The scores of a confusion matrix, from 0 to 1.

    A class that is absent from the ground truth has no IoU (NaN in `per_class_iou`,
    null in JSON) and is left out of `class_accuracy` and `mean_iou`. A prediction of it
    still lowers the scores of the classes whose pixels it takes.

    Attributes:
        global_accuracy: the share of valid pixels that are right (G).
        class_accuracy: the mean of `per_class_accuracy` (C).
        mean_iou: the mean of `per_class_iou` (mIoU).
        per_class_accuracy: recall, float64 (classes,).
        per_class_iou: intersection over union, float64 (classes,).
    """

    global_accuracy: float
    class_accuracy: float
    mean_iou: float
    per_class_accuracy: np.ndarray
    per_class_iou: np.ndarray

    @classmethod
    def from_confusion(cls, confusion: np.ndarray) -> "Scores":
        """The scores of an int64 (classes, classes) matrix, one row per true class."""
        hits = np.diag(confusion).astype(np.float64)
        true = confusion.sum(axis=1)
        union = true + confusion.sum(axis=0) - np.diag(confusion)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = np.where(true > 0, hits / true, np.nan)
            iou = np.where(true > 0, hits / union, np.nan)
        total = confusion.sum()
        any_truth = bool(total)
        return cls(
            global_accuracy=float(hits.sum() / total) if any_truth else 0.0,
            class_accuracy=float(np.nanmean(recall)) if any_truth else 0.0,
            mean_iou=float(np.nanmean(iou)) if any_truth else 0.0,
            per_class_accuracy=recall,
            per_class_iou=iou,
        )

    def as_dict(self, classes: tuple[str, ...]) -> dict:
        """The scores for JSON, with per-class IoU by class name."""
        return {
            "global_accuracy": self.global_accuracy,
            "class_accuracy": self.class_accuracy,
            "mean_iou": self.mean_iou,
            "per_class_iou": {
                name: None if np.isnan(iou) else float(iou)
                for name, iou in zip(classes, self.per_class_iou, strict=True)
            },
        }


@keras.saving.register_keras_serializable("segnet_tf")
class MeanIoU(keras.metrics.Metric):
    """Mean IoU for training, from labels and logits, defined as in `Scores`.

    Keras' own MeanIoU counts in floating point.

    Args:
        num_classes: number of classes.
        ignore_label: the id whose pixels do not count.

    Input: y_true integer (B, H, W), y_pred logits (B, H, W, num_classes).
    """

    def __init__(self, num_classes: int, ignore_label: int = 255, name="mean_iou"):
        super().__init__(name=name)
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.confusion = self.add_variable(
            (num_classes, num_classes), "zeros", dtype="int64", name="confusion"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = tf.reshape(tf.cast(y_true, tf.int32), [-1])
        predictions = tf.reshape(tf.argmax(y_pred, -1, output_type=tf.int32), [-1])
        valid = labels != self.ignore_label
        # Ignored pixels get a segment of their own, which is then cut off. This keeps
        # shapes static, as XLA needs them.
        cells = self.num_classes**2
        cell = tf.where(valid, labels * self.num_classes + predictions, cells)
        ones = tf.ones_like(cell, tf.int64)
        counts = tf.math.unsorted_segment_sum(ones, cell, cells + 1)[:cells]
        shape = (self.num_classes, self.num_classes)
        self.confusion.assign_add(tf.reshape(counts, shape))

    def result(self):
        confusion = tf.cast(self.confusion, tf.float64)
        hits = tf.linalg.diag_part(confusion)
        true = tf.reduce_sum(confusion, axis=1)
        union = true + tf.reduce_sum(confusion, axis=0) - hits
        present = tf.cast(true > 0, tf.float64)
        total = tf.reduce_sum(present * tf.math.divide_no_nan(hits, union))
        mean = tf.math.divide_no_nan(total, tf.reduce_sum(present))
        return tf.cast(mean, tf.float32)

    def scores(self) -> Scores:
        """All scores of the pixels since the last reset."""
        return Scores.from_confusion(self.confusion.numpy())

    def get_config(self):
        return {
            "num_classes": self.num_classes,
            "ignore_label": self.ignore_label,
            "name": self.name,
        }
