"""Scores of a model over a whole split, at the labels' own resolution."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from segnet_tf.datasets.dataset import IGNORE_LABEL, Split
from segnet_tf.datasets.pipeline import evaluation_batches, reading_errors
from segnet_tf.errors import UserError
from segnet_tf.evaluation.visualize import comparison_sheet
from segnet_tf.files import write_json
from segnet_tf.metrics.boundary import per_class_boundary_f1
from segnet_tf.metrics.confusion import Scores, confusion_matrix
from segnet_tf.metrics.reliability import Reliability

__all__ = [
    "Evaluation",
    "best_worst_sheet",
    "evaluate",
    "label_function",
    "score_table",
    "write_metrics",
]


Probabilities = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """What a sweep over a split found.

    Attributes:
        confusion: int64 (classes, classes), pixels by true class (row) and predicted.
        image_mean_ious: float64 (images,), of every image by itself; NaN if it is
            all void.
        boundary_f1s: float64 (images, classes), NaN if an image has no boundary of
            the class.
    """

    confusion: np.ndarray
    image_mean_ious: np.ndarray
    boundary_f1s: np.ndarray

    @cached_property
    def scores(self) -> Scores:
        """Of all pixels together: what counts."""
        return Scores.from_confusion(self.confusion)

    @property
    def per_class_boundary_f1(self) -> np.ndarray:
        """Mean over the images that have a boundary of the class: (classes,)."""
        return _mean(self.boundary_f1s, axis=0)

    @property
    def boundary_f1(self) -> float:
        """Mean over the images of the mean over their classes, as in the paper."""
        return float(_mean(_mean(self.boundary_f1s, axis=1), axis=0))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """np.nanmean, NaN without a warning where there is nothing to average."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=axis)
    count = known.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def evaluate(
    model: keras.Model,
    split: Split,
    probabilities: Probabilities | None = None,
    reliability: Reliability | None = None,
) -> Evaluation:
    """Runs every image of a split through a model and scores its labels, in one sweep.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, channels) in [0, 255].
        probabilities: scores these in place of the model's own, such as the mean of
            dropout samples: image float32 (H, W, channels) to float32 (H, W, classes).
        reliability: gathers the confidences, too.

    Raises:
        UserError: if the model has another number of classes than the split.
    """
    num_classes = split.info.num_classes
    if model.output_shape[-1] != num_classes:
        raise UserError(
            f"the model predicts {model.output_shape[-1]} classes, "
            f"{split.info.name} has {num_classes}"
        )
    predict = _prediction(model, probabilities, reliability is not None)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    mean_ious, boundaries = [], []
    verbose = 1 if sys.stdout.isatty() else 2
    bar = keras.utils.Progbar(len(split), verbose=verbose, unit_name="image")
    with reading_errors():
        for images, labels in evaluation_batches(split):
            truth = labels.numpy()[0]
            predicted, confidences = predict(images[0])
            if reliability is not None and confidences is not None:
                reliability.add(truth, confidences)
            cells = confusion_matrix(truth, predicted, num_classes, IGNORE_LABEL)
            confusion += cells
            valid = bool(cells.sum())
            mean_ious.append(Scores.from_confusion(cells).mean_iou if valid else np.nan)
            boundaries.append(per_class_boundary_f1(truth, predicted, num_classes))
            bar.add(1)
    return Evaluation(confusion, np.array(mean_ious), np.array(boundaries))


def _prediction(model, probabilities: Probabilities | None, confident: bool):
    """Image (H, W, channels) to labels (H, W), and probabilities if they are needed."""
    if probabilities is not None:

        def sampled(image):
            found = probabilities(np.asarray(image))
            return found.argmax(axis=-1), found

        return sampled
    if not confident:
        labels = label_function(model)
        return lambda image: (labels(image[None])[0], None)

    @tf.function(reduce_retracing=True)
    def both(images):
        logits = model(images, training=False)
        return tf.argmax(logits, axis=-1), tf.nn.softmax(logits)

    def own(image):
        found = both(tf.cast(image, tf.float32)[None])
        return tuple(part.numpy()[0] for part in found)

    return own


@lru_cache(maxsize=1)  # scores and the sheet after them are of one model
def label_function(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Labels int64 (B, H, W) from images (B, H, W, C); traced once for all sizes."""

    @tf.function(reduce_retracing=True)
    def predict(images):
        return tf.argmax(model(images, training=False), axis=-1)

    return lambda images: predict(tf.cast(images, tf.float32)).numpy()


def best_worst_sheet(
    model: keras.Model,
    split: Split,
    evaluation: Evaluation,
    count: int = 4,
    probabilities: Probabilities | None = None,
) -> Image.Image:
    """The predictions that score best and worst by their own mIoU, best at the top.

    An image by itself averages over the few classes in it, so that one small thing
    that was missed weighs much: a place to look, not a score.

    Args:
        evaluation: of this model on this split.
        count: how many of each; fewer if the split has not twice as many.
        probabilities: as `evaluate` was given them.
    """
    best, worst = best_and_worst(evaluation.image_mean_ious, count)
    predict = _prediction(model, probabilities, confident=False)
    rows = []
    for index in (*best, *worst):
        image, truth = split.read(index)
        score = evaluation.image_mean_ious[index]
        caption = f"{split.names[index]}   mIoU {100 * score:.1f}"
        rows.append((caption, image, truth, predict(image)[0]))
    return comparison_sheet(rows, split.info)


def best_and_worst(scores: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    """Places of the `count` highest and lowest scores, both from high to low.

    No place is in both; NaN is in neither.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[: np.count_nonzero(~np.isnan(scores))].tolist()
    best = order[: min(count, -(-len(order) // 2))]
    rest = order[len(best) :]
    return best, rest[-count:]


def score_table(evaluation: Evaluation, classes: tuple[str, ...]) -> str:
    """The scores as lines for people: one a class, then the means, in percent."""
    scores = evaluation.scores
    width = max(map(len, classes))
    lines = [f"{'class':<{width}}  accuracy    IoU     BF"]
    columns = (
        scores.per_class_accuracy,
        scores.per_class_iou,
        evaluation.per_class_boundary_f1,
    )
    for name, accuracy, iou, boundary in zip(classes, *columns, strict=True):
        if np.isnan(iou):
            lines.append(f"{name:<{width}}  absent from the ground truth")
        else:
            line = f"{name:<{width}}  {100 * accuracy:8.1f} {100 * iou:6.1f}"
            # A class that fills its images has no boundary.
            shown = "     -" if np.isnan(boundary) else f"{100 * boundary:6.1f}"
            lines.append(f"{line} {shown}")
    boundary = evaluation.boundary_f1
    lines.append(
        f"global accuracy {100 * scores.global_accuracy:.1f}, "
        f"class accuracy {100 * scores.class_accuracy:.1f}, "
        f"mIoU {100 * scores.mean_iou:.1f}, "
        f"boundary F1 {'-' if np.isnan(boundary) else f'{100 * boundary:.1f}'}"
    )
    return "\n".join(lines)


def write_metrics(
    path: str | os.PathLike,
    evaluation: Evaluation,
    split: Split,
    model_path: str | os.PathLike,
    samples: int = 0,
) -> None:
    """Writes the scores as JSON, with what was measured, and on what.

    Args:
        samples: how many dropout samples each prediction is the mean of; 0: none.
    """
    names = split.info.classes
    write_json(
        path,
        {
            "model": str(model_path),
            "dataset": split.info.name,
            "split": split.name,
            "images": len(split),
            **({"samples": samples} if samples else {}),
            **evaluation.scores.as_dict(names),
            "boundary_f1": _json_number(evaluation.boundary_f1),
            "per_class_boundary_f1": dict(
                zip(
                    names,
                    map(_json_number, evaluation.per_class_boundary_f1),
                    strict=True,
                )
            ),
        },
    )


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
