"""Reads images from disk, with NumPy and Pillow only.

Every fault of a file raises a `UserError` of one line that names the file.
"""

import os

import numpy as np
from PIL import ExifTags, Image

from segnet_tf.datasets.opening import opened
from segnet_tf.datasets.tiff_kinds import typed
from segnet_tf.errors import UserError

__all__ = [
    "CHANNELS",
    "IMAGE_SUFFIXES",
    "deep_pixels",
    "grey",
    "on_white",
    "pixels_of",
    "raw_mode",
    "read_image",
    "resized",
    "scaled_to_bytes",
    "stored_pixels",
    "turn_of",
    "upright",
]

CHANNELS = {1: "grey", 3: "RGB", 4: "RGB and a fourth, stored as alpha"}
"""Number of channels of an image -> their meaning."""

IMAGE_SUFFIXES = frozenset(
    ".png .jpg .jpeg .bmp .gif .tif .tiff .webp .avif .jp2 .ppm .pgm .pbm .heic "
    ".heif .jfif".split()
)
"""Lower-case suffixes of image files."""

_ROWS = 64
"""Rows that are scaled at a time: their copies in float64 stay small."""

_NO_WHITE = (
    "{} pixels have no known white: give --range LOW-HIGH, or save it with 8 or 16 bits"
)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    path: str | os.PathLike,
    channels: int = 3,
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Reads an image as people see it: uint8 RGB (H, W, 3), read-only.

    The EXIF tag turns it upright; the first frame of several counts. Grey is repeated,
    palettes are looked up, more than 8 bits are scaled to 8, CMYK is converted without
    a colour profile. Transparent pixels are blended with white, as a page shows them,
    because the colours that files store there are arbitrary.

    Args:
        path: the file.
        channels: 3 for RGB; 1 for the same in grey, (H, W, 1); 4 for RGBA as it is
            stored, (H, W, 4), whose alpha is a measurement of its own, such as
            infrared.
        value_range: of an image of more than 8 bits: the value that becomes 0 and the
            one that becomes 255; what lies beyond is clipped. None: 0 and 65535, as
            16 bits allow.

    Raises:
        UserError: if the file is missing, damaged or not an image, if it has more than
            179 million pixels (`segnet_tf.datasets.opening.allow_pixels` changes that)
            or pixels of which white is unknown, or if `channels` is 4 and the file is
            not RGBA.
        ValueError: if `channels` is not in `CHANNELS`.
    """
    if channels not in CHANNELS:
        raise ValueError(f"channels must be one of {[*CHANNELS]}, not {channels!r}")
    with opened(path) as image:
        return pixels_of(path, image, channels, value_range)


def pixels_of(
    path: str | os.PathLike,
    image: Image.Image,
    channels: int = 3,
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """The pixels of an open file, or of its current frame, as `read_image` gives them.

    Args:
        path: the file.
        image: as `opened` gives it.
        channels: as for `read_image`.
        value_range: as for `read_image`.
    """
    if value_range and (deep := stored_pixels(path, image)) is not None:
        # A fourth band is no alpha to lay on white.
        bands = deep[..., :3] if deep.ndim == 3 and channels != 4 else deep
        pixels = scaled_to_bytes(bands, value_range)
        turned = _turned(Image.fromarray(pixels), image)
    else:
        turned = upright(image)
        if image.mode == "L" and typed(image) is not None:
            raise UserError(_NO_WHITE.format("signed 8-bit"))
    if channels == 4:
        return _stored_rgba(turned)
    return grey(on_white(turned)) if channels == 1 else on_white(turned)


def deep_pixels(path: str | os.PathLike) -> np.ndarray | None:
    """The stored values of an image of more than 8 bits a channel, or of signed ones.

    Returns:
        uint16, int8, int32, uint32 or float32, (H, W) or (H, W, channels) in RGB order;
        None if the image has 8 bits without a sign, or fewer.

    Raises:
        UserError: if the file cannot be read, or if it has 16 bits a colour and OpenCV
            is not installed: Pillow would keep the upper 8 bits alone.
    """
    with opened(path) as image:
        return stored_pixels(path, image)


def stored_pixels(path: str | os.PathLike, image: Image.Image) -> np.ndarray | None:
    """The `deep_pixels` of a file that is open already, or of its current frame."""
    if (values := typed(image)) is not None:
        return values
    if image.mode.startswith("I") or image.mode == "F":
        image.load()
        return np.asarray(image)
    if ";16" not in (raw_mode(image) or ""):
        return None
    if image.tell():
        raise UserError("16 bits a colour on more than one page: save it with 8 bits")
    try:
        import cv2
    except ImportError:
        raise UserError(
            "16 bits a colour, of which Pillow reads 8: pip install "
            "opencv-python-headless, or save it with 8 bits"
        ) from None
    stored = np.fromfile(path, np.uint8)
    pixels = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise UserError("16 bits a colour in a form that OpenCV does not read")
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return pixels[..., order]


def scaled_to_bytes(pixels: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Scales and clips values so that the range becomes 0 to 255: uint8.

    Raises:
        UserError: for NaN.
    """
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        raise UserError(
            "pixels that are no number (NaN): save them as the value that is black"
        )
    low, high = value_range
    result = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), _ROWS):
        rows = slice(start, start + _ROWS)
        scaled = (pixels[rows].astype(np.float64) - low) * 255 / (high - low)
        result[rows] = np.clip(np.rint(scaled), 0, 255)
    return result


def raw_mode(image: Image.Image) -> str | None:
    """The pixel format in the file; Pillow knows it only until it loads the pixels."""
    for tile in getattr(image, "tile", ()):
        first = tile.args[0] if isinstance(tile.args, tuple) else tile.args
        # GIF has a number there.
        return first if isinstance(first, str) else None
    return None


def grey(image: np.ndarray) -> np.ndarray:
    """Brightness, weighted like the eye (ITU-R 601): uint8 (H, W, 3) to (H, W, 1).

    A pixel with R = G = B keeps its value.
    """
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def resized(
    image: np.ndarray, size: tuple[int, int], resampling: Image.Resampling
) -> np.ndarray:
    """Resizes an image, or scores, of uint8 or float32 (H, W, channels).

    Args:
        image: the image.
        size: the new height and width.
        resampling: Pillow's filter.

    Returns:
        The same dtype, (*size, channels).
    """
    height, width = size
    # One channel at a time: in RGBA, Pillow would blank transparent pixels.
    channels = (Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0))
    return np.stack(
        [
            np.asarray(channel.resize((width, height), resampling))
            for channel in channels
        ],
        axis=-1,
    )


def upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned upright by its orientation tag."""
    image.load()
    return _turned(image, image)


def _turned(pixels: Image.Image, tagged: Image.Image) -> Image.Image:
    """An image, turned by another one's orientation tag."""
    turn = turn_of(tagged)
    return pixels if turn is None else pixels.transpose(turn)


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """How an open file's orientation tag turns or mirrors it; None: not at all."""
    # ImageOps.exif_transpose also rewrites the tags and fails if another tag is
    # damaged; a damaged tag is no reason to refuse intact pixels.
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None


def on_white(image: Image.Image) -> np.ndarray:
    """The pixels of a decoded image, laid on white, as RGB.

    Returns:
        uint8 (H, W, 3), read-only.
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    result = np.empty((image.height, image.width, 3), np.uint8)
    # Row by row, as it were: Pillow would hold the whole picture up to four times.
    for top in range(0, image.height, _ROWS):
        box = (0, top, image.width, min(top + _ROWS, image.height))
        result[top : box[3]] = _strip_on_white(image.crop(box))
    result.flags.writeable = False
    return result


def _strip_on_white(image: Image.Image) -> np.ndarray:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _stored_rgba(image: Image.Image) -> np.ndarray:
    if image.mode != "RGBA":
        raise UserError(
            f"has {'+'.join(image.getbands())}, not four channels: save it as an RGBA "
            "PNG, with the fourth channel as alpha"
        )
    return np.asarray(image)


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Scales 16 bits to 8; Pillow's own conversion clips at 255."""
    # In this form, NaN fails the comparison, too.
    if pixels.dtype.kind == "f" or not 0 <= pixels.min() <= pixels.max() <= 65535:
        raise UserError(_NO_WHITE.format("32-bit"))
    return scaled_to_bytes(pixels, (0, 65535))
