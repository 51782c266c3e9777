"""Reading images from disk: NumPy and Pillow, nothing else.

Whatever is wrong with a file, the outcome is a `UserError` of one line that names it.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from segnet_tf.errors import UserError

__all__ = [
    "CHANNELS",
    "IMAGE_SUFFIXES",
    "grey",
    "read_image",
    "opened",
    "resized",
    "upright",
]

CHANNELS = {1: "grey", 3: "RGB", 4: "RGB and a fourth, stored as alpha"}
"""What the channels of an image are, by their number."""

# A list of our own keeps out what else Pillow opens: EPS, for one, starts Ghostscript.
# JPEG brings in MPO, which many cameras write under the name .jpg.
_FORMATS = tuple("PNG JPEG BMP GIF TIFF WEBP AVIF JPEG2000 PPM".split())

IMAGE_SUFFIXES = frozenset(
    ".png .jpg .jpeg .bmp .gif .tif .tiff .webp .avif .jp2 .ppm .pgm .pbm".split()
)
"""Lower-case suffixes of the files that can be expected to be images."""

# Pillow warns from half of its limit on. For good, since filters set for a while get
# mixed up where several threads read.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | os.PathLike, channels: int = 3) -> np.ndarray:
    """An image as people see it: uint8 RGB (H, W, 3), read-only.

    Turned upright by its EXIF tag; the first frame of several. Grey is repeated,
    palettes are looked up, 16 bits are scaled to 8 (65535 becomes 255), CMYK is
    converted without a colour profile. What is transparent lies on white, as a page
    shows it: the colours that files hold under it are arbitrary.

    Args:
        channels: 1 for that in grey, (H, W, 1); 4 for RGBA as it is stored, (H, W, 4),
            where alpha is a measurement of its own, such as infrared.

    Raises:
        UserError: if the file is missing, damaged, no image, of more than 179
            million pixels (Pillow's limit), of pixels that have no known white, or not
            RGBA where that is asked for.
        ValueError: for a number of channels that is not in `CHANNELS`.
    """
    if channels not in CHANNELS:
        raise ValueError(f"channels must be one of {[*CHANNELS]}, not {channels!r}")
    with opened(path) as image:
        turned = upright(image)
        if channels == 4:
            return _stored_rgba(turned)
        return grey(_rgb(turned)) if channels == 1 else _rgb(turned)


def grey(image: np.ndarray) -> np.ndarray:
    """Brightness as the eye weighs colours (ITU-R 601): uint8 (H, W, 3) to (H, W, 1).

    Where the three are equal, it is the same.
    """
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def resized(
    image: np.ndarray, size: tuple[int, int], resampling: Image.Resampling
) -> np.ndarray:
    """An image, or scores, (H, W, channels) at another height and width.

    Of uint8 or float32, which stays what it is.

    Each channel by itself: of RGBA, Pillow would blank what alpha calls transparent.
    """
    height, width = size
    channels = (Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0))
    return np.stack(
        [
            np.asarray(channel.resize((width, height), resampling))
            for channel in channels
        ],
        axis=-1,
    )


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """Opens an image; whatever fails until it is closed names the file in one line."""
    file = Path(path)
    name = str(file).encode("unicode_escape").decode() if "\n" in str(file) else file
    if not file.is_file():
        fault = "is a folder, expected an image" if file.is_dir() else "no such file"
        raise UserError(f"{name}: {fault}")
    try:
        if file.stat().st_size == 0:
            raise UserError("empty file")
        with Image.open(file, formats=_FORMATS) as image:
            yield image
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise UserError(
            f"{name}: no image of a known format (PNG, JPEG, TIFF, WebP, ...), or its "
            "beginning is damaged"
        ) from None
    except PermissionError:
        raise UserError(f"{name}: not allowed to read it") from None
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: too large ({_line(error)})") from None
    # Damaged files leave Pillow's decoders by struct.error, IndexError, zlib.error,
    # MemoryError and more; the set is not documented, and none is a defect of ours.
    except Exception as error:
        raise UserError(f"{name}: damaged image ({_line(error)})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned as its orientation tag says."""
    image.load()
    # ImageOps.exif_transpose also rewrites the tags and fails where one of the others
    # is damaged; a broken tag is no reason to refuse sound pixels.
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = Image.fromarray(_eight_bits(np.asarray(image)))
        return np.asarray(grey.convert("RGB"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _stored_rgba(image: Image.Image) -> np.ndarray:
    if image.mode != "RGBA":
        raise UserError(
            f"holds {'+'.join(image.getbands())}, not four channels: save it as an "
            "RGBA PNG, with the fourth channel as alpha"
        )
    return np.asarray(image)


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """16 bits scaled to 8: Pillow's own conversion clips at 255."""
    # Written so that NaN fails it too.
    if pixels.dtype.kind == "f" or not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise UserError("32-bit pixels have no known white, save it with 8 or 16 bits")
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
