"""Scores from one confusion matrix, which counts in whole numbers.

The scores are G, C and mIoU of the SegNet paper (section 4). Global accuracy is the
share of valid pixels that are right, class average accuracy is the mean recall, and
mIoU is the mean of intersection over union. Float32 counters would stall at 2**24
pixels per cell, so that the matrix is int64 everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

__all__ = ["MeanIoU", "Scores", "allowed_classes", "confusion_matrix"]


def confusion_matrix(
    labels: np.ndarray,
    predictions: np.ndarray,
    num_classes: int,
    ignore_label: int = 255,
    num_groups: int = 0,
) -> np.ndarray:
    """Counts pixels by true class (row) and predicted class (column).

    Args:
        labels: integer ids of any shape, 0 to num_classes + num_groups - 1 or
            `ignore_label`.
        predictions: integer ids of the same shape, 0 to num_classes - 1.
        num_classes: number of classes.
        ignore_label: the id whose pixels do not count.
        num_groups: number of labels that stand for one of several classes.

    Returns:
        int64 (num_classes + num_groups, num_classes).

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
    rows = num_classes + num_groups
    for name, ids, end in (
        ("label", true, rows),
        ("prediction", predicted, num_classes),
    ):
        if ids.size and not 0 <= ids.min() <= ids.max() < end:
            raise ValueError(
                f"{name} ids {ids.min()} to {ids.max()}, expected 0 to {end - 1}"
            )
    cells = np.bincount(true * num_classes + predicted, minlength=rows * num_classes)
    return cells.reshape(rows, num_classes)


def allowed_classes(
    num_classes: int, groups: Sequence[Sequence[int]] = ()
) -> np.ndarray:
    """Which classes a label allows: bool (num_classes + len(groups), num_classes).

    Args:
        num_classes: number of classes; each is a label that allows itself alone.
        groups: for each further label, the classes that its pixels may be of.
    """
    allowed = np.zeros((num_classes + len(groups), num_classes), bool)
    allowed[:num_classes] = np.eye(num_classes, dtype=bool)
    for row, group in enumerate(groups, start=num_classes):
        allowed[row, list(group)] = True
    return allowed


@dataclass(frozen=True)
class Scores:
    """The scores of a confusion matrix, from 0 to 1.

    A class that is absent from the ground truth has no IoU (NaN in `per_class_iou`,
    null in JSON) and is left out of `class_accuracy` and `mean_iou`. A prediction of it
    still lowers the scores of the classes whose pixels it takes.

    If some labels stand for one of several classes, each of them has a score of its own
    after the classes. Each of its classes is right at its pixels; a wrong prediction
    elsewhere lowers the score of every label that allows the predicted class.

    Attributes:
        global_accuracy: the share of valid pixels that are right (G).
        class_accuracy: the mean of `per_class_accuracy` (C).
        mean_iou: the mean of `per_class_iou` (mIoU).
        per_class_accuracy: recall, float64 (labels,).
        per_class_iou: intersection over union, float64 (labels,).
    """

    global_accuracy: float
    class_accuracy: float
    mean_iou: float
    per_class_accuracy: np.ndarray
    per_class_iou: np.ndarray

    @classmethod
    def from_confusion(
        cls, confusion: np.ndarray, groups: Sequence[Sequence[int]] = ()
    ) -> "Scores":
        """The scores of a matrix with one row per label and one column per class.

        Args:
            confusion: int64 (classes + groups, classes).
            groups: the classes of each label after the classes' own.
        """
        allowed = allowed_classes(confusion.shape[1], groups)
        hits = (confusion * allowed).sum(axis=1).astype(np.float64)
        true = confusion.sum(axis=1)
        wrong = (confusion * ~allowed).sum(axis=0)
        union = true + allowed @ wrong
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
        ignore_label: the id whose pixels do not count, nor do those of ids from
            num_classes on, which stand for one of several classes.

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
        valid = (labels != self.ignore_label) & (labels < self.num_classes)
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
