"""Images at the size that a network was trained on, and its answers at theirs.

A network knows things as large as they stood in its training images. A photo of
twelve megapixels shows the same street eight times as large, where it finds little: of
the shipped model's 70 points of mIoU on CamVid's frames of 360x480, 46 are left on the
same frames enlarged to 1440x1920, and all of them if these are made smaller first
(docs/training-log.md).
"""

import numpy as np
from PIL import Image

from segnet_tf.datasets.images import resized

__all__ = ["SCALING", "resized_scores", "resized_argmax", "scaled", "working_size"]

CLOSE = 0.8, 1.25
"""Pixels, as a share of the training images', that need no scaling."""

SCALING = Image.Resampling.BICUBIC


def working_size(
    size: tuple[int, int], trained: tuple[int, int] | None
) -> tuple[int, int]:
    """The height and width to run an image at: about as many pixels as in training.

    Args:
        size: of the image.
        trained: of the training images; None if that is not known.

    Returns:
        `size` itself where it is close, or `trained` unknown. The shape is kept but for
        rounding; a line of pixels stays one, however many there are.
    """
    if trained is None:
        return size
    share = size[0] * size[1] / (trained[0] * trained[1])
    if CLOSE[0] <= share <= CLOSE[1]:
        return size
    height, width = (max(1, round(side / share**0.5)) for side in size)
    return height, width


def scaled(image: np.ndarray, trained: tuple[int, int] | None) -> np.ndarray:
    """An image uint8 (H, W, channels) at its `working_size`."""
    size = working_size(image.shape[:2], trained)
    return image if size == image.shape[:2] else resized(image, size, SCALING)


def resized_scores(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scores float32 (h, w, classes), or a map (h, w), at (H, W): bilinear.

    Where that is smaller, as after a thumbnail, each is a mean of those it stands for.
    """
    if scores.shape[:2] == size:
        return scores
    if scores.ndim == 2:
        return resized_scores(scores[..., None], size)[..., 0]
    return resized(scores, size, Image.Resampling.BILINEAR)


def resized_argmax(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Class ids uint8 (H, W) of scores as `resized_scores` gives them, class by class.

    For a photo of twelve megapixels and eleven classes, all would take 0.5 GiB.
    """
    labels = np.zeros(size, np.uint8)
    best = resized_scores(scores[..., 0], size).copy()
    for index in range(1, scores.shape[-1]):
        found = resized_scores(scores[..., index], size)
        higher = found > best
        labels[higher] = index
        best[higher] = found[higher]
    return labels
