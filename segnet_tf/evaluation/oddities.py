"""Signs that an image or its labels are not what was meant."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segnet_tf.datasets.dataset import IGNORE_LABEL, Split
from segnet_tf.datasets.images import turn_of
from segnet_tf.datasets.opening import opened

__all__ = ["Blocks", "is_turned", "oddities"]

_SMALLEST_SIDE = 32  # five poolings leave one position of it
_BLACK = 24
_SOFT = 0.2  # share of the edges
_FEWEST = 20  # pixels
_BLOCK = 8  # pixels, of JPEG
_ON_GRID = 0.18  # share of the changes; an eighth is chance
_FEWEST_CHANGES = 500

_SAME_SHAPE = (
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
)


def oddities(
    image: np.ndarray, labels: np.ndarray, counts: np.ndarray
) -> Iterator[str]:
    """What can be read, but hardly be meant, of an image and its labels.

    Args:
        image: uint8 (H, W, channels).
        labels: uint8 (H, W).
        counts: int (256,): pixels of each label.

    Yields:
        Kinds of suspicion.
    """
    found = set(np.flatnonzero(counts).tolist())
    if (image == image[0, 0]).all():
        yield "the image is one flat colour"
    elif np.percentile(image, 99) < _BLACK:
        yield f"the image is nearly black, 99 % of it below {_BLACK} of 255"
    if _has_soft_edges(labels):
        yield (
            "along edges, ids between those on both sides: was the mask scaled with "
            "smoothing?"
        )
    if min(image.shape[:2]) < _SMALLEST_SIDE:
        yield f"smaller than {_SMALLEST_SIDE} pixels"
    if found == {IGNORE_LABEL}:
        yield "all void, nothing to learn from"
    elif found == {0, IGNORE_LABEL}:
        yield "only ids 0 and 255, as in a black-and-white mask"
    elif len(found) == 1:
        yield "one class fills the mask"


def _has_soft_edges(labels: np.ndarray) -> bool:
    """Whether ids at edges are often those between their neighbours', as in 0, 1, 2."""
    ids = labels.astype(int)
    left, middle, right = ids[:, :-2], ids[:, 1:-1], ids[:, 2:]
    labelled = np.maximum(np.maximum(left, middle), right) < IGNORE_LABEL
    edges = labelled & (np.abs(left - right) > 1)
    between = edges & ((left < middle) ^ (right < middle)) & (middle != left)
    between &= middle != right
    return bool(between.sum() > max(_FEWEST, _SOFT * edges.sum()))


@dataclass(frozen=True)
class Blocks:
    """Where labels change: JPEG leaves steps at the borders of its blocks.

    Each axis counts by itself, as one long edge may lie on such a border by chance.

    Attributes:
        changes: number of neighbouring pixels with different labels, across and down.
        on_grid: how many of them lie on both sides of a border of blocks.
    """

    changes: tuple[int, int] = (0, 0)
    on_grid: tuple[int, int] = (0, 0)

    def with_mask(self, labels: np.ndarray) -> "Blocks":
        """The same with another mask, uint8 (H, W)."""
        across, down = (
            (side[:, 1:] != side[:, :-1]).sum(axis=0) for side in (labels, labels.T)
        )
        changes, on_grid = self.changes, self.on_grid
        border = slice(_BLOCK - 1, None, _BLOCK)
        return Blocks(
            (changes[0] + int(across.sum()), changes[1] + int(down.sum())),
            (
                on_grid[0] + int(across[border].sum()),
                on_grid[1] + int(down[border].sum()),
            ),
        )

    def show(self) -> bool:
        """Whether the borders stand out."""
        return all(
            count > _FEWEST_CHANGES and part > _ON_GRID * count
            for count, part in zip(self.changes, self.on_grid, strict=True)
        )


def is_turned(split: Split, index: int) -> bool:
    """Whether an EXIF tag turns a photo, and nothing shows if it turns its mask, too.

    A turn that exchanges width and height shows in the sizes, except in a square.
    """
    path = split.sources[index] if split.sources else None
    if not isinstance(path, Path):
        return False
    turn, square = _turn(path)
    if turn is None or not (square or turn in _SAME_SHAPE):
        return False
    stored = split.stored[index] if split.stored else None
    return stored is None or _turn(stored.mask.path)[0] != turn


def _turn(path: Path) -> tuple[Image.Transpose | None, bool]:
    """How a picture is turned, and whether it is square."""
    with opened(path) as image:
        return turn_of(image), image.width == image.height
