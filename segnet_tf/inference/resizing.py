"""Scales images to the size of the training images, and results back to the image.

A network finds things at the size that they had in its training images. A photo of
twelve megapixels shows the same street eight times as large, and the network finds
little in it. The shipped model reaches 70 points of mIoU on CamVid's frames of 360x480.
On the same frames enlarged to 1440x1920 it reaches 46; if these are scaled down first,
it reaches 70 again (docs/training-log.md).
"""

import numpy as np
from PIL import Image

from segnet_tf.datasets.images import resized

__all__ = ["SCALING", "resized_scores", "resized_argmax", "scaled", "working_size"]

CLOSE = 0.8, 1.25
"""If an image has this share of the training images' pixels, it is not scaled."""

SCALING = Image.Resampling.BICUBIC
"""The filter that images are scaled with."""


def working_size(
    size: tuple[int, int], trained: tuple[int, int] | None
) -> tuple[int, int]:
    """The height and width to run an image at: about as many pixels as in training.

    Args:
        size: height and width of the image.
        trained: height and width of the training images; None if it is not known.

    Returns:
        Height and width in the image's proportion, but for rounding; each is at least
        1. They are `size` itself if it is close enough, or if `trained` is None.
    """
    if trained is None:
        return size
    share = size[0] * size[1] / (trained[0] * trained[1])
    if CLOSE[0] <= share <= CLOSE[1]:
        return size
    height, width = (max(1, round(side / share**0.5)) for side in size)
    return height, width


def scaled(image: np.ndarray, trained: tuple[int, int] | None) -> np.ndarray:
    """An image uint8 (H, W, channels), resized to its `working_size`."""
    size = working_size(image.shape[:2], trained)
    return image if size == image.shape[:2] else resized(image, size, SCALING)


def resized_scores(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scores, resized with a bilinear filter, which takes means if it scales down.

    Args:
        scores: float32 (h, w, classes), or a map (h, w).
        size: height and width of the result.
    """
    if scores.shape[:2] == size:
        return scores
    if scores.ndim == 2:
        return resized_scores(scores[..., None], size)[..., 0]
    return resized(scores, size, Image.Resampling.BILINEAR)


def resized_argmax(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The argmax of `resized_scores`, uint8 (H, W), computed class by class.

    All scores of a photo of twelve megapixels and eleven classes would take 0.5 GiB.

    Args:
        scores: float32 (h, w, classes).
        size: height and width of the result.
    """
    labels = np.zeros(size, np.uint8)
    best = resized_scores(scores[..., 0], size).copy()
    for index in range(1, scores.shape[-1]):
        found = resized_scores(scores[..., index], size)
        higher = found > best
        labels[higher] = index
        best[higher] = found[higher]
    return labels
