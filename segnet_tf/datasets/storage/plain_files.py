"""Which image files TensorFlow decodes to the bits that `read_image` gives.

These are PNG of 8 bits, and JPEG of one or three components, if nothing in them changes
the picture afterwards: no tag that turns it, no transparency, no second frame. Only the
structure of a file is read, not its pixels. A file that is not plain is no fault.
"""

import io
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from PIL import ExifTags, Image

from segnet_tf.datasets.dataset import Place

__all__ = ["KINDS", "Plain", "plain_file"]

KINDS = {1: {"grey"}, 3: {"grey", "rgb", "palette"}, 4: {"rgba"}}
"""Channels of an image -> kinds of plain files that are decoded to these channels."""

MOST_PIXELS = 2**26
"""Larger images go to Pillow, whose limit has a message of its own."""

MOST_HEAD = 2**16
"""Bytes before the pixels; a reader compares them with those that it finds."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KINDS = {0: "grey", 2: "rgb", 3: "palette", 6: "rgba"}
"""Colour type of a PNG -> its name here."""

# They say nothing of the pixels that Pillow or TensorFlow takes into account. tRNS,
# eXIf and acTL (animation) are missing for that reason.
_PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND gAMA cHRM sRGB sBIT iCCP bKGD pHYs hIST tIME".split()
)
_PNG_TEXTS = frozenset(b"tEXt zTXt iTXt".split())
_TURNING_TEXTS = (b"Raw profile type", b"XML:com.adobe.xmp")
"""Texts in which a PNG may hold the tag that turns it."""

# JFIF's header, comments, tables, restarts; baseline, extended and progressive frames.
_JPEG_MARKERS = frozenset({0xC4, 0xDB, 0xDD, 0xE0, 0xFE, 0xC0, 0xC1, 0xC2})
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_JPEG_TAGS, _JPEG_PROFILE, _JPEG_SCAN = 0xE1, 0xE2, 0xDA
_JPEG_KINDS = {1: "grey", 3: "rgb"}
"""Number of components of a JPEG -> its name here. Four are CMYK."""


@dataclass(frozen=True)
class Plain:
    """What is known of a plain file.

    Attributes:
        format: "png" or "jpeg".
        kind: "grey", "rgb", "rgba" or "palette".
        head: all bytes before the compressed pixels.
        length: number of bytes of the file.
    """

    format: str
    kind: str
    head: bytes
    length: int


def plain_file(place: Place) -> Plain | None:
    """Looks at the structure of an encoded image; None if it is not plain.

    A file that is missing or damaged is not plain: another reader says what is wrong.
    """
    with suppress(OSError, struct.error), open(place.path, "rb") as file:
        end = place.length
        if end is None:
            end = os.fstat(file.fileno()).st_size
        file.seek(place.begin)
        start = file.read(8)
        if start == _PNG:
            return _plain_png(file, place.begin, end)
        if start[:2] == b"\xff\xd8":
            return _plain_jpeg(file, place.begin, end)
    return None


def _plain_png(file: BinaryIO, begin: int, length: int) -> Plain | None:
    """Goes from chunk to chunk, since those behind the pixels count, too."""
    position, head, kind = 8, None, None
    while True:
        file.seek(begin + position)
        size, name = struct.unpack(">I4s", file.read(8))
        if name == b"IHDR":
            kind = _png_kind(file.read(13))
        elif name in _PNG_TEXTS:
            if file.read(17).startswith(_TURNING_TEXTS):
                return None
        elif name not in _PNG_CHUNKS:
            return None
        if name == b"IDAT" and head is None:
            head = position
        position += 12 + size
        if name == b"IEND":
            break
    if kind is None or head is None or head > MOST_HEAD or position != length:
        return None
    file.seek(begin)
    return Plain("png", kind, file.read(head), length)


def _png_kind(header: bytes) -> str | None:
    width, height, depth, colour = struct.unpack(">IIBB3x", header)
    if depth != 8 or not 0 < width * height <= MOST_PIXELS:
        return None
    return _PNG_KINDS.get(colour)


def _plain_jpeg(file: BinaryIO, begin: int, length: int) -> Plain | None:
    """Goes from marker to marker up to the first scan."""
    position, kind = 2, None
    while position < MOST_HEAD:
        file.seek(begin + position)
        mark, marker, size = struct.unpack(">BBH", file.read(4))
        if mark != 0xFF:
            return None
        if marker == _JPEG_SCAN:
            break
        if marker == _JPEG_TAGS:
            if not _is_upright(file, begin):
                return None
        elif marker == _JPEG_PROFILE:
            # Cameras write other pictures behind such a marker.
            if file.read(11) != b"ICC_PROFILE":
                return None
        elif marker not in _JPEG_MARKERS:
            return None
        if marker in _JPEG_FRAMES:
            depth, height, width, components = struct.unpack(">BHHB", file.read(6))
            if depth != 8 or not 0 < width * height <= MOST_PIXELS:
                return None
            kind = _JPEG_KINDS.get(components)
        position += 2 + size
    if kind is None or position >= MOST_HEAD:
        return None
    file.seek(begin)
    return Plain("jpeg", kind, file.read(position), length)


def _is_upright(file: BinaryIO, begin: int) -> bool:
    """Whether a JPEG's tags leave it as it is stored; Pillow reads them."""
    file.seek(begin)
    head = io.BytesIO(file.read(MOST_HEAD))
    try:
        with Image.open(head, formats=("JPEG",)) as image:
            return image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except Exception:  # whatever Pillow's parsers raise: Pillow reads this file
        return False
