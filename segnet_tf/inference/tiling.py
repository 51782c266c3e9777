"""Runs large images in tiles without seams. It needs only NumPy.

The output of a network at a pixel depends on the image within its receptive field, and
on the places at which the windows of its poolings begin. So tiles give the output of
the whole image if they begin where the windows of every level begin, and overlap by the
receptive field. There are no seams, and no blending is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segnet_tf.errors import UserError

__all__ = [
    "ReceptiveField",
    "Tile",
    "check_size",
    "check_values",
    "in_tiles",
    "padded",
    "plan",
]

BUDGET = 2**26
"""Pixels times channels of the widest map, in one tile: 2 megapixels of SegNetLite (1.1
GiB under LiteRT), 1 of SegNet (1.3 GiB) and of SegNetBasic (1.7 GiB). Smaller tiles
would spend more time on their overlaps. Larger tiles would not fit into 2 GiB together
with a photo of 12 megapixels and its overlay."""


MOST_PIXELS = 2**24
"""The most pixels of an image that runs in one piece; more would need too much memory.
"""

MOST_VALUES = np.iinfo(np.int32).max
"""Of a map in one run: the runtimes count in 32 bits."""


@dataclass(frozen=True)
class ReceptiveField:
    """The part of an image that a network's output depends on, and its widest map.

    Attributes:
        step: the windows of all poolings begin at multiples of it: 2 ** levels.
        margin: the number of pixels around a region that its output depends on, if it
            begins and ends at multiples of `step`; rounded up to such a multiple.
        channels: of the widest map, at full resolution. The channels of a map of half
            the height and width count a quarter.
    """

    step: int
    margin: int
    channels: int


Region = tuple[slice, slice]


def check_size(height: int, width: int) -> None:
    """Refuses a size that a network cannot be exported for.

    Raises:
        UserError: if a side is less than 1, or if there are more than `MOST_PIXELS`.
    """
    if min(height, width) < 1:
        raise UserError(f"{height}x{width}: no image has that size")
    if height * width > MOST_PIXELS:
        raise UserError(
            f"{height}x{width}: at most {MOST_PIXELS:,} pixels run in one piece: "
            "export a smaller size; larger images are predicted in tiles"
        )


def check_values(height: int, width: int, field: ReceptiveField | None) -> None:
    """Refuses a size at which a network's widest map has too many values.

    Args:
        height: of the image.
        width: of the image.
        field: of the network; None: not known, and not checked.

    Raises:
        UserError: if there are more than `MOST_VALUES`.
    """
    values = height * width * field.channels if field else 0
    if values > MOST_VALUES:
        raise UserError(
            f"{height}x{width}: the network's widest map would have {values:,} values "
            f"in one piece, but runtimes count up to {MOST_VALUES:,}: take a smaller "
            "size; larger images are predicted in tiles"
        )


class Tile(NamedTuple):
    """A part of an image that is run by itself.

    Attributes:
        source: rows and columns of the image to run.
        inside: the part of the output that is correct.
        target: the place of that part in the whole output.
    """

    source: Region
    inside: Region
    target: Region


def padded(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image, padded at the bottom and right by mirroring.

    Mirroring changes the fewest labels: on twelve CamVid frames of 353x473, padded to
    multiples of 16, 99.1 % of a SegNetLite's labels equal those without padding. With
    repeated edges it is 98.2 %, with black 98.3 %.

    Args:
        image: (H, W, ...), H <= height, W <= width.
        height: of the result.
        width: of the result.
    """
    margins = [(0, height - image.shape[0]), (0, width - image.shape[1])]
    margins += [(0, 0)] * (image.ndim - 2)
    return np.pad(image, margins, mode="symmetric") if np.any(margins) else image


def plan(
    height: int,
    width: int,
    field: ReceptiveField | None,
    budget: int = BUDGET,
) -> list[Tile]:
    """The tiles to run an image in: one if it fits the budget, else the cheapest ones.

    Args:
        height: of the image.
        width: of the image.
        field: of the network; None: not known, and the image is one tile.
        budget: the most pixels times `field.channels` of a tile. The last tiles of rows
            and columns may exceed it by less than a step; all do if the margins alone
            take more.

    Returns:
        Tiles in reading order. Their targets cover each pixel of the image once.
    """
    if field is None or height * width * field.channels <= budget:
        whole = (slice(0, height), slice(0, width))
        return [Tile(whole, whole, whole)]
    rows, columns = _sizes(height, field), _sizes(width, field)
    pixels = np.multiply.outer(rows, columns)
    counts = np.multiply.outer(np.arange(len(rows)) + 1, np.arange(len(columns)) + 1)
    fits = pixels * field.channels <= budget
    costs = np.where(fits, counts * pixels, np.inf) if fits.any() else pixels
    row, column = np.unravel_index(costs.argmin(), costs.shape)
    return [
        Tile(*zip(vertical, horizontal, strict=True))
        for vertical in _cuts(height, rows[row], field)
        for horizontal in _cuts(width, columns[column], field)
    ]


def in_tiles(
    image: np.ndarray,
    tiles: list[Tile],
    run: Callable[[np.ndarray], list[np.ndarray]],
) -> list[np.ndarray]:
    """Runs a function tile by tile and puts the results together.

    Args:
        image: (H, W, ...).
        tiles: as `plan` gives them for this image, or for a larger one: those that
            exceed the image are `padded`.
        run: part of the image (h, w, ...) -> arrays (h, w, ...).

    Returns:
        As many arrays (H, W, ...), of the same dtypes.
    """
    wholes = []
    for tile in tiles:
        # Not the image as a whole, which may take much of the memory.
        sides = (side.stop - side.start for side in tile.source)
        source = padded(image[tile.source], *sides)
        parts = [part[tile.inside] for part in run(source)]
        wholes = wholes or [
            np.empty((*image.shape[:2], *part.shape[2:]), part.dtype) for part in parts
        ]
        for whole, part in zip(wholes, parts, strict=True):
            place = whole[tile.target]
            place[:] = part[: place.shape[0], : place.shape[1]]
    return wholes


def _sizes(length: int, field: ReceptiveField) -> np.ndarray:
    """The lengths that 1, 2, 3, ... tiles need to cover a length."""
    overlap, step = 2 * field.margin, field.step
    count = 1 + np.arange(max(1, (length - overlap) // step))
    needed = -(-(length + overlap * (count - 1)) // count)
    return -(-needed // step) * step


def _cuts(length: int, size: int, field: ReceptiveField) -> list[tuple[slice, ...]]:
    """Source, inside and target of each tile along an axis."""
    margin, step = field.margin, field.step
    if size >= length:
        return [(slice(0, length),) * 3]
    last = (length - size) // step * step
    begins = [*range(0, last, size - 2 * margin), last]
    targets = [0, *(begin + margin for begin in begins[1:]), length]
    cuts = []
    for begin, start, stop in zip(begins, targets, targets[1:], strict=False):
        end = length if begin == last else begin + size
        inside = slice(start - begin, stop - begin)
        cuts.append((slice(begin, end), inside, slice(start, stop)))
    return cuts
