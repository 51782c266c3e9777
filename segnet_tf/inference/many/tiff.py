"""Reads TIFF files part by part, which PNG and JPEG files do not allow.

The package tifffile does it in plain Python, and imagecodecs decompresses; rasterio
would bring all of GDAL. The tags that say where on the earth a picture lies are kept.
"""

from collections.abc import Iterator
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from segnet_tf.datasets.frames import MASK, REDUCED
from segnet_tf.datasets.images import grey, on_white, scaled_to_bytes
from segnet_tf.datasets.opening import most_pixels
from segnet_tf.errors import UserError
from segnet_tf.inference.many.reading import range_notice, unused_notice

__all__ = ["GEO_TAGS", "LargeTiff", "has_deep_bands"]

GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737)
"""Tags of GeoTIFF 1.1: scale, tie points, transformation, keys and their values."""

_INVERTED, _GREY, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_READ = (_INVERTED, _GREY, _RGB, _YCBCR)
"""Photometric interpretations that are read."""

_ORIENTATION = 274
"""A tag."""

_JPEG = 7
"""A compression; its pixels come as RGB."""

_MOST = 2**28
"""Bytes of a part of a file that is decoded at once."""


def has_deep_bands(path: str) -> bool:
    """Whether a TIFF file has bands of more than 8 bits that Pillow does not read."""
    try:
        import tifffile
    except ImportError:
        return False
    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            deep = page.dtype is not None and page.dtype.itemsize > 1
            pixels = page.imagelength * page.imagewidth
            return deep and page.samplesperpixel > 1 and pixels <= most_pixels()
    except (OSError, tifffile.TiffFileError, IndexError):
        return False


class LargeTiff:
    """A TIFF file of which rows are read: the pixels that `read_image` gives.

    Where it would read them otherwise, the file is refused.

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
        self._lock = Lock()
        try:
            self._file = tifffile.TiffFile(path)
            self._page: Any = self._file.pages[0]
        except (OSError, tifffile.TiffFileError, IndexError) as error:
            raise UserError(f"{path}: damaged TIFF file ({error})") from None
        self.shape = int(self._page.imagelength), int(self._page.imagewidth)
        self._bands = int(self._page.samplesperpixel)
        self._extra = [int(kind) for kind in self._page.extrasamples]
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
        stored = self._stored(start, stop)
        if self._page.photometric == _INVERTED:
            stored = 255 - stored
        if stored.dtype != np.uint8:
            stored = self._scaled(stored)
        if self._channels == 4:
            return stored[..., :4]
        colours = self._colours(stored)
        return grey(colours) if self._channels == 1 else colours

    def notice(self, given: bool) -> str | None:
        """A warning if some rows do not fit the range.

        Args:
            given: whether the user named the range; then it counts as meant, except
                for 8 bits, which have none.
        """
        bytewise = self._page.dtype == np.uint8
        if given or bytewise:
            return unused_notice(self.path) if given and bytewise else None
        some = np.linspace(0, self.shape[0] - 1, min(self.shape[0], 8)).astype(int)
        pixels = np.concatenate([self._stored(row, row + 1) for row in some.tolist()])
        colours = pixels[..., : min(self._channels, self._bands)]
        return range_notice(self.path, colours, self._range)

    def _scaled(self, stored: np.ndarray) -> np.ndarray:
        if self._range is None and self._bands >= 3:
            return (stored >> 8).astype(np.uint8)  # as Pillow does
        try:
            return scaled_to_bytes(stored, self._range or (0, 65535))
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None

    def _colours(self, pixels: np.ndarray) -> np.ndarray:
        """RGB, uint8 (rows, width, 3), laid on white if there is an alpha."""
        bands = 3 if self._bands >= 3 else 1
        if not (alpha := self._alpha(bands)):
            return np.ascontiguousarray(np.broadcast_to(
                pixels[..., :bands], (*pixels.shape[:2], 3)
            ))  # fmt: skip
        seen = np.ascontiguousarray(pixels[..., : bands + 1])
        if alpha == 1:  # colours are multiplied by it
            size = seen.shape[1::-1]
            return on_white(
                Image.frombytes("RGBA", size, seen.tobytes(), "raw", "RGBa")
            )
        return on_white(Image.fromarray(seen))

    def _alpha(self, bands: int) -> int:
        """The kind of alpha after so many bands, as the tag says; 0: there is none."""
        if self._page.dtype != np.uint8 and self._range is not None:
            return 0  # `read_image` does not count it, either
        if not self._extra:
            return 2 if self._bands == 4 else 0
        further = self._extra[bands - (self._bands - len(self._extra)) :]
        return further[0] if further else 0

    def _stored(self, start: int, stop: int) -> np.ndarray:
        if self._mapped is not None:
            stored = np.asarray(self._mapped[start:stop])
            return stored.reshape(stop - start, self.shape[1], self._bands)
        return self._decoded(start, stop)

    def _bands_last(self) -> bool:
        return self._bands == 1 or self._page.planarconfig == 1

    def _refuse(self) -> None:
        for fault, holds in self._faults():
            if holds:
                self.close()
                raise UserError(f"{self.path}: has {fault}")

    def _faults(self) -> Iterator[tuple[str, bool]]:
        page, photometric = self._page, self._page.photometric
        yield "several pictures: save each in a file of its own", self._pictures() > 1
        few = page.bitspersample in range(1, 8)
        yield "fewer than 8 bits: save it with 8", few
        kind = None if page.dtype is None else page.dtype.kind
        yield "pixels of a kind that is not read", kind not in ("u", "i", "f")
        yield "colours in a palette: save it as RGB", photometric == _PALETTE
        other = photometric == _YCBCR and page.compression != _JPEG
        yield (
            "colours that are not read in strips (CMYK or others): save it as RGB",
            other or photometric not in _READ,
        )
        deep = page.dtype != np.uint8
        yield (
            "inverted grey of more than 8 bits: save it with black as 0",
            photometric == _INVERTED and deep,
        )
        multiplied = self._bands == 2 and self._extra == [1]
        yield "grey multiplied by its alpha: save it as RGB", multiplied
        turned = page.tags.get(_ORIENTATION)
        turned = turned is not None and turned.value != 1
        yield "an orientation tag: save it upright", turned
        yield (
            "bands in planes of their own: save it with interleaved bands",
            not self._bands_last(),
        )
        few = self._channels == 4 and self._bands < 4
        yield f"{self._bands} bands, and the model needs 4", few
        yield (
            "values of which white is not known: give --range LOW-HIGH, or save it "
            "with 8 or 16 bits",
            deep and page.dtype != np.uint16 and self._range is None,
        )
        yield (
            "one piece, which would fill the memory: save it as a tiled TIFF",
            self._piece_bytes() > _MOST and not page.is_memmappable,
        )

    def _pictures(self) -> int:
        """How many pages are neither a smaller copy nor a mask; the first counts."""
        others = (int(page.subfiletype) for page in self._pages()[1:])
        return 1 + sum(not kind & (REDUCED | MASK) for kind in others)

    def _pages(self) -> list[Any]:
        return list(self._file.pages)

    def _piece_bytes(self) -> int:
        page, (height, width) = self._page, self.shape
        tall = page.tilelength if page.is_tiled else page.rowsperstrip
        pixels = min(tall, height) * (page.tilewidth if page.is_tiled else width)
        return pixels * self._bands * page.dtype.itemsize

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
            # The handle's own lock is off by default.
            with self._lock:
                handle.seek(page.dataoffsets[index])
                data = handle.read(page.databytecounts[index])
            return page.decode(data or None, index, jpegtables=page.jpegtables)
        except Exception as error:  # each codec has its own
            reason = " ".join(str(error).split())[:100]
            raise UserError(f"{self.path}: damaged TIFF file ({reason})") from None
