"""Opens image files: which formats, up to which size, and one line for each fault."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from segnet_tf.datasets.tiff_kinds import refuse_misread
from segnet_tf.errors import UserError

__all__ = ["allow_pixels", "most_pixels", "opened"]

# This list leaves out other formats that Pillow opens: EPS, for example, starts
# Ghostscript. JPEG includes MPO, which many cameras write as .jpg.
_FORMATS = tuple("PNG JPEG BMP GIF TIFF WEBP AVIF JPEG2000 PPM".split())

# Pillow warns from half of its limit on. The filter is permanent, because temporary
# filters are not safe if several threads read.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Opens an image; an error before its end becomes one line that names the file.

    Raises:
        UserError: if the file is missing, unreadable, damaged or not an image, or if
            Pillow would misread its pixels.
    """
    file = Path(path)
    if not file.is_file():
        fault = "is a folder, expected an image" if file.is_dir() else "no such file"
        if file.exists() and not file.is_dir():
            fault = "is no regular file, but a pipe or a device: save it as a file"
        raise UserError(f"{file}: {fault}")
    try:
        if file.stat().st_size == 0:
            raise UserError("empty file")
        # Given a name, Pillow maps some files into memory, and turns them wrongly.
        with file.open("rb") as handle:
            with Image.open(handle, formats=_formats(handle)) as image:
                refuse_misread(image)
                yield image
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    except UnidentifiedImageError:
        raise UserError(f"{file}: {_unknown(file)}") from None
    except PermissionError:
        raise UserError(f"{file}: no permission to read it") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"{file}: {_too_large(error)}") from None
    except MemoryError:
        raise UserError(f"{file}: too large for the memory of this machine") from None
    # Damaged files make Pillow's decoders raise struct.error, IndexError, zlib.error
    # and more. The set is not documented, and none is a defect of ours.
    except Exception as error:
        raise UserError(f"{file}: damaged image ({_line(error)})") from None


def _formats(handle: BinaryIO) -> tuple[str, ...]:
    """The formats to try on a file; HEIC is one if its package is installed."""
    head = handle.read(64)
    handle.seek(0)
    if head[4:12] not in _HEIC or b"avif" in head:
        return _FORMATS
    try:
        import pillow_heif
    except ImportError:
        raise UserError(
            "HEIC, which Pillow does not read: pip install pillow-heif, or save it as "
            "JPEG"
        ) from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


_HEIC = tuple(b"ftyp" + brand for brand in b"heic heix heim heis hevc mif1".split())
"""The beginnings of HEIC files, after their first four bytes."""


def _unknown(file: Path) -> str:
    with file.open("rb") as handle:
        if handle.read(4) not in (b"II*\0", b"MM\0*"):
            return (
                "not an image of a known format (PNG, JPEG, TIFF, WebP, ...), or its "
                "beginning is damaged"
            )
    return (
        "a TIFF file with pixels of a kind that is not read, or a damaged one: save it "
        "with 8 or 16 bits (predict --native reads other kinds, too)"
    )


def _too_large(error: Image.DecompressionBombError) -> str:
    found = re.search(r"\((\d+) pixels", str(error))
    if found is None:
        return f"too large ({_line(error)})"
    pixels = int(found[1])
    return (
        f"too large: {pixels:,} pixels, above the limit of {most_pixels():,}, which "
        "keeps small files from filling the memory (if it is meant, predict takes "
        f"--max-pixels {pixels})"
    )


def most_pixels() -> int:
    """The limit on the pixels of an image."""
    return int(2 * (Image.MAX_IMAGE_PIXELS or 0))


def allow_pixels(number: int) -> None:
    """Sets the limit on the pixels of an image, in the whole process.

    Raises:
        UserError: if the number is less than 1.
    """
    if number < 1:
        raise UserError(f"--max-pixels: {number}, must be at least 1")
    # Pillow warns from this number on, and refuses above its double, which may be odd.
    Image.MAX_IMAGE_PIXELS = number / 2  # pyright: ignore


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
