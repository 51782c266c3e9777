"""Scores a model on a whole split, at the resolution of the labels."""

import os
import sys
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
from PIL import Image

from segnet_tf.datasets.dataset import IGNORE_LABEL, Split
from segnet_tf.datasets.pipeline import evaluation_batches, reading_errors
from segnet_tf.errors import UserError
from segnet_tf.evaluation.labelling import (
    Labeller,
    Probabilities,
    num_classes_of,
    prediction,
)
from segnet_tf.evaluation.visualize import comparison_sheet
from segnet_tf.files import write_json
from segnet_tf.metrics.boundary import per_class_boundary_f1
from segnet_tf.metrics.confusion import Scores, confusion_matrix
from segnet_tf.metrics.reliability import Reliability

__all__ = [
    "Evaluation",
    "best_worst_sheet",
    "evaluate",
    "score_table",
    "write_metrics",
]


@dataclass(frozen=True)
class Evaluation:
    """The scores of a model on a split.

    Attributes:
        confusion: int64 (labels, classes), pixels by true class (row) and predicted
            class (column). Rows after the classes are the split's groups.
        image_mean_ious: float64 (images,), the mIoU of each image; NaN if the image is
            all void.
        boundary_f1s: float64 (images, labels); NaN if an image has no boundary of the
            class, and for all labels of a split with groups.
        groups: the classes of each label after the classes' own; see `Split.groups`.
    """

    confusion: np.ndarray
    image_mean_ious: np.ndarray
    boundary_f1s: np.ndarray
    groups: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def scores(self) -> Scores:
        """The scores over all pixels of the split together."""
        return Scores.from_confusion(self.confusion, self.groups)

    @property
    def per_class_boundary_f1(self) -> np.ndarray:
        """Mean over the images with a boundary of the class, float64 (labels,)."""
        return _mean(self.boundary_f1s, axis=0)

    @property
    def boundary_f1(self) -> float:
        """The mean over the classes of each image, averaged over the images.

        Source: the SegNet paper, arXiv:1511.00561, section 4.
        """
        return float(_mean(_mean(self.boundary_f1s, axis=1), axis=0))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """np.nanmean, but without a warning if there is nothing to average."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=axis)
    count = known.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def evaluate(
    model: keras.Model | Labeller,
    split: Split,
    probabilities: Probabilities | None = None,
    reliability: Reliability | None = None,
) -> Evaluation:
    """Runs a model once over all images of a split and scores its labels.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, channels) in [0, 255];
            or what labels images one by one, such as a file of another form.
        split: images and labels.
        probabilities: a function whose results are scored instead of the model's, such
            as the mean of dropout samples.
        reliability: also collects the confidences, if given.

    Raises:
        UserError: if the model has another number of classes than the split, or if an
            image cannot be read.
    """
    num_classes, groups = split.info.num_classes, split.groups
    own_classes = num_classes_of(model)
    if own_classes != num_classes:
        raise UserError(
            f"the model predicts {own_classes} classes, but {split.info.name} has "
            f"{num_classes}"
        )
    predict = prediction(model, probabilities, reliability is not None)
    confusion = np.zeros((num_classes + len(groups), num_classes), np.int64)
    mean_ious, boundaries = [], []
    verbose = 1 if sys.stdout.isatty() else 2
    bar = keras.utils.Progbar(len(split), verbose=verbose, unit_name="image")
    with reading_errors():
        for images, labels in evaluation_batches(split):
            truth = labels.numpy()[0]
            predicted, confidences = predict(images[0])
            if reliability is not None and confidences is not None:
                reliability.add(truth, confidences)
            cells = confusion_matrix(
                truth, predicted, num_classes, IGNORE_LABEL, len(groups)
            )
            confusion += cells
            scores = Scores.from_confusion(cells, groups)
            mean_ious.append(scores.mean_iou if cells.sum() else np.nan)
            boundaries.append(
                # A group's outline is not the outline of any class.
                np.full(len(confusion), np.nan)
                if groups
                else per_class_boundary_f1(truth, predicted, num_classes)
            )
            bar.add(1)
    return Evaluation(confusion, np.array(mean_ious), np.array(boundaries), groups)


def best_worst_sheet(
    model: keras.Model | Labeller,
    split: Split,
    evaluation: Evaluation,
    count: int = 4,
    probabilities: Probabilities | None = None,
) -> Image.Image:
    """A picture of the images with the best and the worst mIoU, best at the top.

    The mIoU of one image is the mean over the few classes in it, so that one small
    missed thing counts much. It shows where to look; it is not a score.

    Args:
        model: as for `evaluate`.
        split: as for `evaluate`.
        evaluation: the scores of this model on this split.
        count: number of best and of worst images; fewer if the split is small.
        probabilities: as for `evaluate`.
    """
    best, worst = best_and_worst(evaluation.image_mean_ious, count)
    predict = prediction(model, probabilities, confident=False)
    rows = []
    for index in (*best, *worst):
        image, truth = split.read(index)
        score = evaluation.image_mean_ious[index]
        caption = f"{split.names[index]}   mIoU {100 * score:.1f}"
        rows.append((caption, image, truth, predict(image)[0]))
    return comparison_sheet(rows, split.labels)


def best_and_worst(scores: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    """Indices of the `count` highest and of the lowest scores, both from high to low.

    No index is in both lists. NaN is in neither.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[: np.count_nonzero(~np.isnan(scores))].tolist()
    best = order[: min(count, -(-len(order) // 2))]
    rest = order[len(best) :]
    return best, rest[-count:]


def score_table(evaluation: Evaluation, classes: tuple[str, ...]) -> str:
    """The scores in percent as lines of text: one line per class, then the means.

    Args:
        evaluation: the scores.
        classes: the names of the labels: of the classes, then of the groups.
    """
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
    """Writes the scores as JSON, with the names of the model, data set and split.

    Args:
        path: the file; it is replaced in one step.
        evaluation: the scores of the model on the split.
        split: the images that were scored.
        model_path: the file of the model.
        samples: number of dropout samples for each prediction; 0: dropout was off.
    """
    names = split.labels.classes
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
