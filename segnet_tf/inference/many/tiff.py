"""Reads and writes TIFF files part by part, which PNG and JPEG files do not allow.

The package tifffile does it in plain Python, and imagecodecs decompresses; rasterio
would bring all of GDAL. The tags that say where on the earth a picture lies are kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segnet_tf.datasets.images import grey, scaled_to_bytes
from segnet_tf.errors import UserError

__all__ = ["GEO_TAGS", "TILE", "LargeTiff", "label_rows", "write_strips"]

GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
"""Tags of GeoTIFF 1.1: scale, tie points, transformation, keys and their values."""

TILE = 256
"""Side of the tiles of files that are written."""

_MOST = 2**28
"""Bytes of a part of a file that is decoded at once."""


class LargeTiff:
    """A TIFF file of which rows are read.

    Args:
        path: of the file.
        channels: of an image for the model, 1, 3 or 4.
        value_range: of more than 8 bits, the values that become 0 and 255.

    Attributes:
        shape: height and width.
        geo: the tags that say where on the earth it lies, for `TiffWriter.write`.

    Raises:
        UserError: if tifffile is missing, or if the file cannot be read in parts.
    """

    def __init__(
        self, path: str, channels: int, value_range: tuple[float, float] | None
    ):
        try:
            import imagecodecs  # noqa: F401  tifffile uses it
            import tifffile
        except ImportError:
            raise UserError(
                f"{path}: a large or georeferenced TIFF file needs tifffile: pip "
                "install tifffile imagecodecs"
            ) from None
        self.path, self._channels, self._range = path, channels, value_range
        try:
            self._file = tifffile.TiffFile(path)
            self._page: Any = self._file.pages[0]
        except (OSError, tifffile.TiffFileError, IndexError) as error:
            raise UserError(f"{path}: damaged TIFF file ({error})") from None
        self.shape = int(self._page.imagelength), int(self._page.imagewidth)
        self._bands = int(self._page.samplesperpixel)
        self._refuse()
        self.geo = [
            (tag.code, int(tag.dtype), tag.count, tag.value, True)
            for tag in map(self._page.tags.get, GEO_TAGS)
            if tag is not None
        ]
        self._mapped = (
            tifffile.memmap(path, page=0, mode="r")
            if self._page.is_memmappable and self._bands_last()
            else None
        )

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows as the model takes them, uint8 (stop - start, width, channels).

        Raises:
            UserError: if they are damaged.
        """
        if self._mapped is not None:
            stored = np.asarray(self._mapped[start:stop])
            stored = stored.reshape(stop - start, self.shape[1], self._bands)
        else:
            stored = self._decoded(start, stop)
        if stored.dtype != np.uint8:
            stored = scaled_to_bytes(stored, self._range or (0, 65535))
        if self._channels == 4:
            return stored[..., :4]
        if self._bands < 3:
            return np.repeat(stored[..., :1], self._channels, axis=-1)
        colours = np.ascontiguousarray(stored[..., :3])
        return grey(colours) if self._channels == 1 else colours

    def _bands_last(self) -> bool:
        return self._bands == 1 or self._page.planarconfig == 1

    def _refuse(self) -> None:
        page, width = self._page, self.shape[1]
        tall = page.tilelength if page.is_tiled else page.rowsperstrip
        piece = min(tall, self.shape[0]) * (page.tilewidth if page.is_tiled else width)
        piece *= self._bands * page.dtype.itemsize if page.dtype is not None else 1
        fault = None
        if page.dtype is None or page.dtype.kind not in "uif":
            fault = "pixels of a kind that is not read"
        elif page.photometric == 3:
            fault = "colours in a palette: save it as RGB"
        elif not self._bands_last():
            fault = "bands in planes of their own: save it with interleaved bands"
        elif self._channels == 4 and self._bands < 4:
            fault = f"{self._bands} bands, and the model needs 4"
        elif piece > _MOST and not page.is_memmappable:
            fault = "one piece, which would fill the memory: save it as a tiled TIFF"
        if fault is not None:
            self.close()
            raise UserError(f"{self.path}: has {fault}")

    def _decoded(self, start: int, stop: int) -> np.ndarray:
        page, (_, width) = self._page, self.shape
        result = np.zeros((stop - start, width, self._bands), page.dtype)
        across = -(-width // page.tilewidth) if page.is_tiled else 1
        tall = page.tilelength if page.is_tiled else page.rowsperstrip
        for index in range(start // tall * across, -(-stop // tall) * across):
            if index >= len(page.dataoffsets):
                break
            piece, place, shape = self._piece(index)
            if piece is None:
                continue  # a part without data is left out of the file
            top, left = place[2], place[3]
            height = min(shape[1], self.shape[0] - top)
            columns = min(shape[2], width - left)
            first, last = max(top, start), min(top + height, stop)
            if first < last:
                result[first - start : last - start, left : left + columns] = piece[
                    0, first - top : last - top, :columns
                ]
        return result

    def _piece(self, index: int) -> tuple:
        page, handle = self._page, self._file.filehandle
        try:
            with handle.lock:
                handle.seek(page.dataoffsets[index])
                data = handle.read(page.databytecounts[index])
            return page.decode(data or None, index, jpegtables=page.jpegtables)
        except Exception as error:  # each codec has its own
            reason = " ".join(str(error).split())[:100]
            raise UserError(f"{self.path}: damaged TIFF file ({reason})") from None


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
