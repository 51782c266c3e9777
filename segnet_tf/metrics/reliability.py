"""Reliability diagram and calibration error: is a network right as often as it says?

Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML
2017, arXiv:1706.04599, sections 2 and 3, with bins of equal width for the predicted
class's probability. All pixels of a split count, as in the scores.
"""

import numpy as np

__all__ = ["Reliability"]


class Reliability:
    """Confidence and accuracy, added up image by image.

    Args:
        bins: number of bins of equal width from 0 to 1; 1 is in the last.
        ignore_label: the id whose pixels do not count.

    Attributes:
        count: number of pixels in each bin, int64 (bins,).
        confidence: sum of their confidences, float64 (bins,).
        hits: number of them that are right, int64 (bins,).

    >>> reliability = Reliability(bins=2)
    >>> sure, labels = np.array([[0.1, 0.9], [0.1, 0.9]]), np.array([1, 0])
    >>> reliability.add(labels, sure)
    >>> round(reliability.error, 2)
    0.4
    """

    def __init__(self, bins: int = 15, ignore_label: int = 255):
        self.ignore_label = ignore_label
        self.count = np.zeros(bins, np.int64)
        self.confidence = np.zeros(bins, np.float64)
        self.hits = np.zeros(bins, np.int64)

    def add(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        """Adds the pixels of an image.

        Args:
            labels: integer ids of any shape.
            probabilities: float (..., classes), 0 to 1; ... is the shape of `labels`.

        Raises:
            ValueError: if the shapes do not match, or if the values cannot be
                probabilities (they may be logits).
        """
        if probabilities.shape[:-1] != labels.shape:
            raise ValueError(
                f"labels {labels.shape} and probabilities {probabilities.shape} do not "
                "match"
            )
        valid = labels != self.ignore_label
        confidence = probabilities.max(axis=-1)[valid].astype(np.float64)
        right = (probabilities.argmax(axis=-1) == labels)[valid]
        # Sums of float32 may end a little above 1.
        if confidence.size and not 0 <= confidence.min() <= confidence.max() < 1.001:
            raise ValueError(
                f"confidence {confidence.min():.3g} to {confidence.max():.3g}: these "
                "are not probabilities"
            )
        bins = len(self.count)
        index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
        self.count += np.bincount(index, minlength=bins)
        self.confidence += np.bincount(index, confidence, minlength=bins)
        self.hits += np.bincount(index, right, minlength=bins).astype(np.int64)

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1: the mean gap, weighted by pixels."""
        total = self.count.sum()
        return (
            float(np.abs(self.hits - self.confidence).sum() / total) if total else 0.0
        )

    def as_dict(self) -> dict:
        """For JSON: the error, and the means of each bin that has pixels."""
        bins = [
            {
                "pixels": int(count),
                "confidence": float(confidence / count),
                "accuracy": float(hits / count),
            }
            for count, confidence, hits in zip(
                self.count, self.confidence, self.hits, strict=True
            )
            if count
        ]
        return {"expected_calibration_error": self.error, "bins": bins}
