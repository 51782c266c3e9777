"""Reading images and masks from disk: NumPy and Pillow, nothing else.

Whatever is wrong with a file, the outcome is a `UserError` of one line that names it.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
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
    "read_mask",
    "read_pair",
    "resized",
]

CHANNELS = {1: "grey", 3: "RGB", 4: "RGB and a fourth, stored as alpha"}
"""What the channels of an image are, by their number."""

# A list of our own keeps out what else Pillow opens: EPS, for one, starts Ghostscript.
# JPEG brings in MPO, which many cameras write under the name .jpg.
_FORMATS = "PNG JPEG BMP GIF TIFF WEBP AVIF JPEG2000 PPM".split()

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

# Greyscale of 2 or 4 bits: Pillow stretches 0..3 and 0..15 over 0..255, which is right
# for pictures, but ids must come back as they were written.
_STRETCHES = {"L;2": 85, "L;4": 17}


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
        UserError: where the file is missing, damaged, no image, of more than 179
            million pixels (Pillow's limit), of pixels that have no known white, or not
            RGBA where that is asked for.
        ValueError: for a number of channels that is not in `CHANNELS`.
    """
    if channels not in CHANNELS:
        raise ValueError(f"channels must be one of {[*CHANNELS]}, not {channels!r}")
    with _opened(path) as image:
        upright = _upright(image)
        if channels == 4:
            return _stored_rgba(upright)
        return grey(_rgb(upright)) if channels == 1 else _rgb(upright)


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
    channels = (Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0))
    return np.stack(
        [np.asarray(channel.resize(size[::-1], resampling)) for channel in channels],
        axis=-1,
    )


def read_mask(
    path: str | os.PathLike, colours: Mapping[tuple[int, int, int], int] | None = None
) -> np.ndarray:
    """Class ids of a mask, uint8 (H, W), read-only.

    Greyscale holds the ids as its values and a palette as its indices, whatever its
    colours. Colour masks are looked up in `colours`, alpha left aside; without
    `colours` they are read where all three channels are equal. Where all of `colours`
    are greys, greyscale is looked up, too, and 255 stays 255 unless it is one of them.

    Args:
        colours: RGB triple -> class id, 0 to 255.

    Raises:
        UserError: where the file is missing, damaged or a JPEG, holds a fraction, an id
            above 255 or a colour that is not in `colours`, or where a palette draws an
            index in the colour of another class (optimisers of images reorder
            palettes).
    """
    colours = colours or {}
    with _opened(path) as image:
        if image.format in ("JPEG", "MPO"):
            raise UserError("JPEG changes the ids it stores, save masks as PNG")
        stretch = _STRETCHES.get(_raw_mode(image), 1)
        mask = _upright(image)
        if mask.mode == "P":
            ids = np.asarray(mask)
            _check_palette(mask, ids, colours)
        elif mask.mode in ("1", "L") and colours and all(map(_is_grey, colours)):
            ids = _looked_up_greys(mask, colours)
        elif mask.mode in ("1", "L"):
            ids = np.asarray(mask, np.uint8) // np.uint8(stretch)
        elif mask.mode.startswith(("I", "F")):
            ids = _checked_ids(np.asarray(mask))
        elif colours:
            ids = _looked_up(np.asarray(mask.convert("RGB")), colours)
        else:
            ids = _equal_channels(np.asarray(mask.convert("RGB")))
        return ids


def read_pair(
    image_path: str | os.PathLike,
    mask_path: str | os.PathLike,
    colours: Mapping[tuple[int, int, int], int] | None = None,
    channels: int = 3,
) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask, as `read_image` and `read_mask` give them.

    Raises:
        UserError: as theirs, and where the two are not of one size.
    """
    image, mask = read_image(image_path, channels), read_mask(mask_path, colours)
    if image.shape[:2] != mask.shape:
        with _opened(image_path) as stored:
            turned = stored.size == mask.shape[::-1]
        raise UserError(
            f"{mask_path}: {mask.shape[1]}x{mask.shape[0]}, but "
            f"{Path(image_path).name} is {image.shape[1]}x{image.shape[0]}"
            + (", turned by its EXIF tag: turn the mask as well" if turned else "")
        )
    return image, mask


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
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


def _upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned as its orientation tag says."""
    image.load()
    # ImageOps.exif_transpose also rewrites the tags and fails where one of the others
    # is damaged; a broken tag is no reason to refuse sound pixels.
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
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


def _raw_mode(image: Image.Image) -> str | None:
    """How the pixels lie in the file, known only until they are loaded."""
    for tile in image.tile:
        return tile.args[0] if isinstance(tile.args, tuple) else tile.args
    return None


def _checked_ids(pixels: np.ndarray) -> np.ndarray:
    if (pixels != np.rint(pixels)).any():  # NaN is among them
        raise UserError("fractions in a float mask, expected class ids, 0 to 255")
    if not 0 <= pixels.min() <= pixels.max() <= 255:
        wrong = pixels.min() if pixels.min() < 0 else pixels.max()
        kind = "float" if pixels.dtype.kind == "f" else "16-bit"
        raise UserError(f"class id {wrong} in a {kind} mask, expected 0 to 255")
    return pixels.astype(np.uint8)


def _check_palette(mask: Image.Image, ids: np.ndarray, colours: Mapping) -> None:
    """Refuses a palette that contradicts the colour table; one unlike it is fine."""
    palette = np.reshape(mask.getpalette("RGB") or [], (-1, 3))
    drawn = {
        int(index): colours.get(tuple(palette[index].tolist()))
        for index in np.unique(ids)
        if index < len(palette)
    }
    if drawn and None not in drawn.values():
        for index, meant in drawn.items():
            if index != meant:
                raise UserError(
                    f"palette index {index} has the colour of class {meant}: the "
                    "palette was reordered, save the mask as RGB or with class ids"
                )


def _is_grey(colour: tuple[int, int, int]) -> bool:
    return len(set(colour)) == 1


def _looked_up_greys(mask: Image.Image, colours: Mapping) -> np.ndarray:
    # A mask of one bit has white, and no id 255.
    table = colours if mask.mode == "1" else {(255, 255, 255): 255, **colours}
    try:
        return _looked_up(np.asarray(mask.convert("RGB")), table)
    except UserError as error:
        raise UserError(
            f"{error}: all its colours are greys, so that grey masks are looked up; "
            "leave colours away where masks hold ids"
        ) from None


def _looked_up(pixels: np.ndarray, colours: Mapping) -> np.ndarray:
    packing = np.array([65536, 256, 1], np.uint32)
    keys = np.array(list(colours), np.uint32) @ packing
    order = np.argsort(keys)
    ids = np.array(list(colours.values()), np.uint8)[order]
    codes = pixels @ packing
    place = np.minimum(np.searchsorted(keys[order], codes), len(keys) - 1)
    unknown = keys[order][place] != codes
    if unknown.any():
        y, x = np.argwhere(unknown)[0]
        raise UserError(
            f"colour {tuple(pixels[y, x].tolist())} at x {x}, y {y} is not in the "
            f"colour table ({unknown.mean():.1%} of the pixels are not)"
        )
    return ids[place]


def _equal_channels(pixels: np.ndarray) -> np.ndarray:
    if (pixels != pixels[..., :1]).any():
        raise UserError(
            "colours and no colour table to read class ids from: save class ids, or "
            "give every class its colour"
        )
    return pixels[..., 0]
