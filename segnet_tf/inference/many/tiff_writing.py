"""Writes TIFF files strip by strip, and reads such label files again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segnet_tf.inference.many.tiff import LargeTiff

__all__ = ["TILE", "label_rows", "write_strips"]

TILE = 256
"""Side of the tiles of files that are written."""


@contextmanager
def label_rows(path: str) -> Iterator[Callable[[int, int], np.ndarray]]:
    """A function that reads rows of a label file that `write_strips` has written."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        across = -(-page.imagewidth // TILE)

        def rows(start: int, stop: int) -> np.ndarray:
            assert start % TILE == 0 and stop - start <= TILE
            result = np.empty((TILE, across * TILE), np.uint8)
            first = start // TILE * across
            for place, index in enumerate(range(first, first + across)):
                file.filehandle.seek(page.dataoffsets[index])
                data = file.filehandle.read(page.databytecounts[index])
                piece = page.decode(data, index)[0][0, ..., 0]
                left = place * TILE
                result[: piece.shape[0], left : left + piece.shape[1]] = piece
            return result[: stop - start, : page.imagewidth]

        yield rows


def write_strips(
    path: Path,
    source: LargeTiff,
    strips: Iterator[np.ndarray],
    bands: tuple[int, ...],
    **options,
) -> None:
    """Writes strips as a tiled TIFF file with the source's place on the earth."""
    import tifffile

    shape = (*source.shape, *bands)
    with tifffile.TiffWriter(path, bigtiff=int(np.prod(shape)) > 2**31) as writer:
        writer.write(
            _tiles(strips, source.shape[1]),
            shape=shape,
            dtype=np.uint8,
            tile=(TILE, TILE),
            extratags=source.geo,
            metadata=None,
            **options,
        )


def _tiles(strips: Iterator[np.ndarray], width: int) -> Iterator[np.ndarray]:
    """Square tiles in reading order, from strips of any heights."""
    waiting: list[np.ndarray] = []
    for strip in strips:
        waiting.append(strip)
        if sum(map(len, waiting)) >= TILE:
            whole = np.concatenate(waiting)
            full = len(whole) // TILE * TILE
            yield from _cut(whole[:full], width)
            waiting = [whole[full:].copy()]
    if waiting and len(rest := np.concatenate(waiting)):
        yield from _cut(rest, width)


def _cut(strip: np.ndarray, width: int) -> Iterator[np.ndarray]:
    for top in range(0, len(strip), TILE):
        for left in range(0, width, TILE):
            part = strip[top : top + TILE, left : left + TILE]
            margins = [(0, TILE - part.shape[0]), (0, TILE - part.shape[1])]
            margins += [(0, 0)] * (part.ndim - 2)
            yield np.ascontiguousarray(np.pad(part, margins))
