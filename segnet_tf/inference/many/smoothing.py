"""Calm labels in videos: what was seen before counts, too."""

from collections.abc import Callable

import numpy as np

from segnet_tf.inference.many.reading import Picture
from segnet_tf.inference.predictor import Predictor

__all__ = ["smoothed"]


def smoothed(predictor: Predictor, weight: float, label: Callable | None) -> Callable:
    """Labels frames by an exponential mean over time, which calms flicker.

    The probabilities of frame t are `weight` times those of frame t - 1 and
    `1 - weight` times what the network says of frame t. It is made for frames in order.

    Args:
        predictor: labels the frames.
        weight: of what was seen before, 0 to less than 1.
        label: takes the place of `Predictor.scores`, and gives probabilities.
    """
    before: np.ndarray | None = None

    def smooth(picture: Picture, small: np.ndarray, size: tuple[int, int]):
        nonlocal before
        if label is None:
            scores = predictor.scores(small, size, keep=True)
            now = predictor.probabilities_from(scores)
        else:
            now = label(picture, small, size)
        if before is not None and before.shape == now.shape:
            now = weight * before + (1 - weight) * now
        before = now
        return now

    return smooth
