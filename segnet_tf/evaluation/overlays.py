"""A photo with its labels on it: tinted, or with the outlines of the areas.

Both are made in strips, so that a photo of a hundred megapixels needs little more
memory than the picture itself. Lines, stripes and letters grow with the photo.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.evaluation.visualize import (
    VOID_STRIPES,
    as_rgb,
    class_shares,
    hatched,
    legend,
    palette_image,
)

__all__ = ["contours", "line_scale", "outlined", "overlay", "tinted", "with_legend"]

LEGEND_SIDE = 480
"""A picture whose shorter side has at most so many pixels gets the smallest legend."""

ROWS = 256
"""Rows of a picture that are drawn at a time."""

OPACITY = 0.55
"""Of the tint, if nothing else is asked for."""


def line_scale(height: int, width: int) -> float:
    """The factor on lines and letters for a picture of this size, at least 1."""
    return max(1.0, min(height, width) / LEGEND_SIDE)


def overlay(
    image: np.ndarray, labels: np.ndarray, info: DatasetInfo, opacity: float = OPACITY
) -> Image.Image:
    """The image tinted by class, with a legend beside it. Void is hatched.

    Args:
        image: uint8 (H, W, 1, 3 or 4).
        labels: uint8 (H, W).
        info: the classes and their colours.
        opacity: of the tint, 0 to 1.
    """
    stripe = round(2 * line_scale(*labels.shape))

    def draw(start: int, stop: int) -> Image.Image:
        part = slice(start, stop)
        return tinted(image[part], labels[part], info, opacity, stripe, start)

    return with_legend(draw, labels, info)


def tinted(
    image: np.ndarray,
    labels: np.ndarray,
    info: DatasetInfo,
    opacity: float = OPACITY,
    stripe: int = 2,
    top: int = 0,
) -> Image.Image:
    """The image tinted by class, without a legend. Void is hatched.

    Args:
        image: uint8 (H, W, 1, 3 or 4).
        labels: uint8 (H, W).
        info: the classes and their colours.
        opacity: of the tint, 0 to 1.
        stripe: width of the stripes of void, in pixels.
        top: the row of a larger picture that these pixels begin at.
    """
    colours = palette_image(labels, info).convert("RGB")
    # Pillow blends in uint8; NumPy would hold copies in float32.
    picture = Image.blend(Image.fromarray(as_rgb(image)), colours, opacity)
    void = labels >= info.num_classes
    if not void.any():
        return picture
    return Image.fromarray(hatched(np.asarray(picture), void, stripe, top))


def contours(image: np.ndarray, labels: np.ndarray, info: DatasetInfo) -> Image.Image:
    """The image with the outline of each area in its class's colour, and a legend.

    Both sides of a border are drawn, each in the colour of its class; that of void is
    grey.

    Args:
        image: uint8 (H, W, 1, 3 or 4).
        labels: uint8 (H, W).
        info: the classes and their colours.
    """
    width = round(1.5 * line_scale(*labels.shape))

    def draw(start: int, stop: int) -> Image.Image:
        # A border up to `width` away counts.
        first = max(0, start - width)
        around = slice(first, stop + width)
        drawn = outlined(image[around], labels[around], info, width)
        return Image.fromarray(drawn[start - first : stop - first])

    return with_legend(draw, labels, info)


def outlined(
    image: np.ndarray, labels: np.ndarray, info: DatasetInfo, width: int
) -> np.ndarray:
    """The image with both sides of each border in the colours of their classes.

    Args:
        image: uint8 (H, W, 1, 3 or 4).
        labels: uint8 (H, W).
        info: the classes and their colours.
        width: of the line on one side, in pixels.

    Returns:
        uint8 (H, W, 3).
    """
    colours = np.full((256, 3), VOID_STRIPES[0], np.uint8)
    colours[: info.num_classes] = info.colours
    drawn = as_rgb(image).copy()
    near = _near_borders(labels, width)
    drawn[near] = colours[labels[near]]
    return drawn


def _near_borders(labels: np.ndarray, width: int) -> np.ndarray:
    """Pixels at most so many pixels away from a border, along rows and columns."""
    near = np.zeros(labels.shape, bool)
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    near[1:] |= down
    near[:-1] |= down
    near[:, 1:] |= across
    near[:, :-1] |= across
    for axis in (0, 1):
        _widen(np.moveaxis(near, axis, 0), width - 1)
    return near


def _widen(mask: np.ndarray, by: int) -> None:
    """Sets the pixels up to so many before and after a True one, along the rows."""
    while by > 0:
        # Steps that double: what one step has set, the next one carries further.
        step = (by + 1) // 2
        before = mask.copy()
        mask[step:] |= before[:-step]
        mask[:-step] |= before[step:]
        by -= step


def with_legend(
    draw: Callable[[int, int], Image.Image], labels: np.ndarray, info: DatasetInfo
) -> Image.Image:
    """A picture that is drawn strip by strip, with the legend of its classes beside it.

    Args:
        draw: first and last row -> that strip of the picture.
        labels: uint8 (H, W).
        info: the classes and their colours.
    """
    height, width = labels.shape
    shares = class_shares(labels, info)
    void = max(0.0, 1 - sum(share for _, share in shares))
    void = void if void * labels.size > 0.5 else 0.0
    key = legend(shares, info, void, line_scale(height, width))
    canvas = Image.new("RGB", (width + key.width, max(height, key.height)), "white")
    for start in range(0, height, ROWS):
        canvas.paste(draw(start, min(start + ROWS, height)), (0, start))
    canvas.paste(key, (width, 0))
    return canvas
