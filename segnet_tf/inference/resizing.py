"""Scales images to the size of the training images, and results back to the image.

A network finds things at the size that they had in its training images. A photo of
twelve megapixels shows the same street eight times as large, and the network finds
little in it. The shipped model reaches 70 points of mIoU on CamVid's frames of 360x480.
On the same frames enlarged to 1440x1920 it reaches 46; if these are scaled down first,
it reaches 70 again (docs/training-log.md).
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from segnet_tf.datasets.images import resized

__all__ = [
    "SCALING",
    "resized_argmax",
    "resized_scores",
    "resized_strips",
    "scaled",
    "working_size",
]

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


def resized_strips(
    scores: np.ndarray, size: tuple[int, int], rows: int = 256
) -> Iterator[np.ndarray]:
    """The `resized_scores` from the top down, float32 (rows, W, classes)."""
    maps = [Image.fromarray(np.ascontiguousarray(part)) for part in _planes(scores)]
    for top in range(0, size[0], rows):
        bottom = min(top + rows, size[0])
        vertical = _edges(top, bottom, size[0], scores.shape[0])
        box = (0, vertical[0], scores.shape[1], vertical[1])
        shape = size[1], bottom - top
        parts = (part.resize(shape, Image.Resampling.BILINEAR, box) for part in maps)
        yield np.stack([np.asarray(part) for part in parts], axis=-1)


def resized_argmax(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The argmax of `resized_scores`, uint8 (H, W), of scores without NaN.

    Where two scores differ by rounding alone, either class may win.

    All scores of a photo of twelve megapixels and eleven classes would take 0.5 GiB, so
    that larger labels are computed block by block. A value of an enlarged map lies
    between those around it. So a class whose scores are less than another's in a whole
    block wins nowhere in it, and is left out there: most blocks have one class left.

    Args:
        scores: float32 (h, w, classes).
        size: height and width of the result.
    """
    if scores.shape[:2] == size:
        return scores.argmax(-1).astype(np.uint8)
    if size[0] < scores.shape[0] or size[1] < scores.shape[1]:
        return resized_scores(scores, size).argmax(-1).astype(np.uint8)
    maps = [Image.fromarray(np.ascontiguousarray(part)) for part in _planes(scores)]
    labels = np.empty(size, np.uint8)
    for top, bottom in _cuts(size[0], scores.shape[0]):
        rows = _around(top, bottom, size[0], scores.shape[0])
        for left, right in _cuts(size[1], scores.shape[1]):
            columns = _around(left, right, size[1], scores.shape[1])
            block = labels[top:bottom, left:right]
            possible = _possible(scores[rows, columns])
            if len(possible) == 1:
                block[:] = possible[0]
                continue
            vertical = _edges(top, bottom, size[0], scores.shape[0])
            horizontal = _edges(left, right, size[1], scores.shape[1])
            box = (horizontal[0], vertical[0], horizontal[1], vertical[1])
            _fill(block, [(index, maps[index]) for index in possible], box)
    return labels


BLOCK = 12
"""Rows and columns of the scores that `resized_argmax` looks at together."""


def _planes(scores: np.ndarray) -> np.ndarray:
    return np.moveaxis(scores.astype(np.float32, copy=False), -1, 0)


def _cuts(length: int, source: int) -> list[tuple[int, int]]:
    """Beginnings and ends of the blocks of the result along an axis."""
    edges = [round(n * length / source) for n in range(0, source, BLOCK)] + [length]
    return [(a, b) for a, b in zip(edges, edges[1:], strict=False) if a < b]


def _around(start: int, stop: int, length: int, source: int) -> slice:
    """The scores that a part of the result is computed from, along an axis."""
    share = source / length
    first = int(np.floor((start + 0.5) * share - 0.5))
    last = int(np.ceil((stop - 0.5) * share - 0.5))
    # One more on each side: Pillow rounds the places.
    return slice(max(0, first - 1), last + 2)


def _edges(start: int, stop: int, length: int, source: int) -> tuple[float, float]:
    """The place in the scores of a part of the result, along an axis."""
    # Rounding must not lead beyond the map.
    return start * source / length, min(stop * source / length, source)


def _possible(scores: np.ndarray) -> np.ndarray:
    """The classes that are not below one other class everywhere in a block."""
    flat = scores.reshape(-1, scores.shape[-1])
    if np.isnan(flat).any():
        return np.arange(flat.shape[-1])
    above = np.unique(flat.argmax(-1))
    below = (flat[:, :, None] < flat[:, None, above]).all(axis=0)
    return np.flatnonzero(~below.any(axis=-1))


def _fill(block: np.ndarray, maps: list, box: tuple[float, ...]) -> None:
    """Writes the argmax of maps, enlarged from a box of them, into a block of labels.

    Args:
        block: uint8 (h, w).
        maps: (class id, its scores as an image), in the order of the ids.
        box: left, upper, right and lower edge in the maps.
    """
    size, best = block.shape[::-1], None
    for index, scores in maps:
        found = np.asarray(scores.resize(size, Image.Resampling.BILINEAR, box))
        if best is None:
            block[:], best = index, found.copy()
            continue
        higher = found > best
        np.putmask(block, higher, index)
        np.maximum(best, found, out=best)
