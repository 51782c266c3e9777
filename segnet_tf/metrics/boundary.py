"""Boundary F1 (BF), the SegNet paper's measure of sharp outlines, in NumPy.

Source: Csurka, Larlus, Perronnin, "What is a good evaluation measure for semantic
segmentation?" (BMVC 2013), as the SegNet paper uses it (section 4). For every class in
an image's ground truth, BF is the F1 of boundary precision and recall within 0.75 % of
the image's diagonal. It is averaged over these classes, then over the images.

The paper's own script (SegNet-Tutorial, computeBFmeasure.m) matches boundary pixels
one to one with the Berkeley benchmark. Here, as Csurka et al. define it, a pixel counts
as found if any boundary pixel of its class is near enough. This score is never lower.
"""

import numpy as np

__all__ = ["boundary_f1", "per_class_boundary_f1"]

_CLASSES_AT_ONCE = 64
"""The bits of one array hold the boundary maps of this many classes."""

_NEIGHBOURS = (np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])
"""Slices that pair every pixel with the one below it, and with the one to its right."""


def boundary_f1(
    labels: np.ndarray,
    prediction: np.ndarray,
    num_classes: int,
    ignore_label: int = 255,
    tolerance: float = 0.0075,
) -> float:
    """Boundary F1 of one image, averaged over the classes in its ground truth.

    Arguments and errors are those of `per_class_boundary_f1`.

    Returns:
        A float from 0 to 1; NaN if no class has a boundary. `np.nanmean` averages over
        images.
    """
    scores = per_class_boundary_f1(
        labels, prediction, num_classes, ignore_label, tolerance
    )
    return float(np.nanmean(scores)) if not np.isnan(scores).all() else float("nan")


def per_class_boundary_f1(
    labels: np.ndarray,
    prediction: np.ndarray,
    num_classes: int,
    ignore_label: int = 255,
    tolerance: float = 0.0075,
) -> np.ndarray:
    """Boundary F1 of every class of one image.

    The boundary of a class is its pixels with a neighbour (above, below, left, right)
    of another class, in the labels or in the prediction. A pair with a void pixel is
    not a boundary in either, so that a prediction on void, or beside it, does not
    change the score. The image's edge is not a boundary.

    A class whose boundary is only in the prediction or only in the labels scores 0. A
    class with a boundary in neither (it may fill the image) is left out.

    Args:
        labels: integer ids (H, W), `ignore_label` at void pixels.
        prediction: integer ids (H, W).
        num_classes: number of classes.
        ignore_label: the id of void.
        tolerance: the largest distance of matching boundary pixels, as a share of the
            diagonal.

    Returns:
        float64 (num_classes,), 0 to 1; NaN for a class that is not in the labels or
        has no boundary.

    Raises:
        ValueError: if the shapes differ or are not (H, W), or if a label or a
            prediction is not a class.
    """
    if labels.shape != prediction.shape or labels.ndim != 2:
        raise ValueError(
            f"labels {labels.shape} and prediction {prediction.shape} must have one "
            "shape (H, W)"
        )
    void = labels == ignore_label
    for ids in (labels[~void], prediction[~void]):
        if ids.size and not 0 <= ids.min() <= ids.max() < num_classes:
            raise ValueError(
                f"ids {ids.min()} to {ids.max()}, expected 0 to {num_classes - 1}"
            )
    present = np.flatnonzero(np.bincount(labels[~void].astype(np.intp))).tolist()
    radius = tolerance * np.hypot(*labels.shape)
    scores = np.full(num_classes, np.nan)
    for first in range(0, len(present), _CLASSES_AT_ONCE):
        classes = present[first : first + _CLASSES_AT_ONCE]
        true = _boundaries(labels, void, classes)
        predicted = _boundaries(prediction, void, classes)
        scores[classes] = _f1(true, predicted, radius, len(classes))
    return scores


def _boundaries(ids: np.ndarray, void: np.ndarray, classes: list[int]) -> np.ndarray:
    """A map whose bit c is the boundary of `classes[c]`: unsigned (H, W)."""
    dtype = np.min_scalar_type((1 << len(classes)) - 1)
    bit = {value: dtype.type(1 << index) for index, value in enumerate(classes)}
    edge = np.zeros(ids.shape, bool)
    for one, other in _NEIGHBOURS:
        differ = (ids[one] != ids[other]) & ~void[one] & ~void[other]
        edge[one] |= differ
        edge[other] |= differ
    edges = np.zeros(ids.shape, dtype)
    values, where = np.unique(ids[edge], return_inverse=True)
    bits = np.array([bit.get(value, dtype.type(0)) for value in values], dtype)
    edges[edge] = bits[where]
    return edges


def _f1(
    true: np.ndarray, predicted: np.ndarray, radius: float, classes: int
) -> np.ndarray:
    """F1 of every class, NaN for a class without boundary: float64 (classes,)."""
    found = _count(true & _within(predicted, radius), classes)
    right = _count(predicted & _within(true, radius), classes)
    all_true, all_predicted = _count(true, classes), _count(predicted, classes)
    recall = found / np.maximum(all_true, 1)
    precision = right / np.maximum(all_predicted, 1)
    total = precision + recall
    f1 = 2 * precision * recall / np.where(total > 0, total, 1)
    return np.where(all_true + all_predicted > 0, f1, np.nan)


def _within(bits: np.ndarray, radius: float) -> np.ndarray:
    """Spreads every bit over the disc of `radius` around it.

    A disc is a stack of rows. A row that is one pixel wider costs two more shifts, so
    that the disc costs four shifts per pixel of radius, for all classes at once.
    """
    reach = int(radius + 1e-9)
    row, half = bits.copy(), 0
    near = np.zeros_like(bits)
    for dy in range(reach, -1, -1):
        width = int(np.sqrt(max(radius**2 - dy**2, 0)) + 1e-9)
        for dx in range(half + 1, width + 1):
            row[:, dx:] |= bits[:, :-dx]
            row[:, :-dx] |= bits[:, dx:]
        half = width
        if dy:
            near[dy:] |= row[:-dy]
            near[:-dy] |= row[dy:]
        else:
            near |= row
    return near


def _count(bits: np.ndarray, classes: int) -> np.ndarray:
    """The number of pixels that have each bit set: int64 (classes,)."""
    places = np.arange(classes, dtype=bits.dtype)
    set_bits = bits[bits != 0][:, None] >> places & bits.dtype.type(1)
    return set_bits.sum(axis=0, dtype=np.int64)
