"""Reads masks from disk: class ids from greys, palettes or colours.

Every fault of a file raises a `UserError` of one line that names the file.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from segnet_tf.datasets.images import opened, read_image, upright
from segnet_tf.errors import UserError

__all__ = ["read_mask", "read_pair"]

# Pillow stretches greyscale of 2 or 4 bits from 0..3 or 0..15 to 0..255. This is right
# for pictures, but ids must come back as they were written.
_STRETCHES = {"L;2": 85, "L;4": 17}


def read_mask(
    path: str | os.PathLike, colours: Mapping[tuple[int, int, int], int] | None = None
) -> np.ndarray:
    """Reads the class ids of a mask, uint8 (H, W), read-only.

    The ids are the values of a greyscale image, and the indices of a palette image with
    any colours. RGB masks are looked up in `colours`, without alpha; if there are no
    `colours`, all three channels must be equal and hold the ids. If all `colours` are
    greys, greyscale is looked up, too, and 255 stays 255 unless it is one of them.

    Args:
        path: the file.
        colours: RGB triple -> class id, 0 to 255.

    Raises:
        UserError: if the file is missing, damaged or a JPEG, if it has a fraction, an
            id above 255 or a colour that is not in `colours`, or if a palette shows an
            index in the colour of another class (image optimisers reorder palettes).
    """
    colours = colours or {}
    with opened(path) as image:
        if image.format in ("JPEG", "MPO"):
            raise UserError("JPEG changes the ids it stores: save masks as PNG")
        stretch = _STRETCHES.get(_raw_mode(image) or "", 1)
        mask = upright(image)
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
    """Reads an image and its mask with `read_image` and `read_mask`.

    Returns:
        The image, uint8 (H, W, channels), and the class ids, uint8 (H, W).

    Raises:
        UserError: if either is faulty, or if their sizes differ.
    """
    image, mask = read_image(image_path, channels), read_mask(mask_path, colours)
    if image.shape[:2] != mask.shape:
        with opened(image_path) as stored:
            turned = stored.size == mask.shape[::-1]
        raise UserError(
            f"{mask_path}: {mask.shape[1]}x{mask.shape[0]}, but "
            f"{Path(image_path).name} is {image.shape[1]}x{image.shape[0]}"
            + (", turned by its EXIF tag: turn the mask as well" if turned else "")
        )
    return image, mask


def _raw_mode(image: Image.Image) -> str | None:
    """The pixel format in the file; Pillow knows it only until it loads the pixels."""
    for tile in getattr(image, "tile", ()):
        return tile.args[0] if isinstance(tile.args, tuple) else tile.args
    return None


def _checked_ids(pixels: np.ndarray) -> np.ndarray:
    if (pixels != np.rint(pixels)).any():  # also true for NaN
        raise UserError("fractions in a float mask, expected class ids, 0 to 255")
    if not 0 <= pixels.min() <= pixels.max() <= 255:
        wrong = pixels.min() if pixels.min() < 0 else pixels.max()
        kind = "float" if pixels.dtype.kind == "f" else "16-bit"
        raise UserError(f"class id {wrong} in a {kind} mask, expected 0 to 255")
    return pixels.astype(np.uint8)


def _check_palette(mask: Image.Image, ids: np.ndarray, colours: Mapping) -> None:
    """Refuses a palette that contradicts the colour table; other colours are fine."""
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
                    f"palette index {index} has the colour of class {meant}, so the "
                    "palette was reordered: save the mask as RGB or with class ids"
                )


def _is_grey(colour: tuple[int, int, int]) -> bool:
    return len(set(colour)) == 1


def _looked_up_greys(mask: Image.Image, colours: Mapping) -> np.ndarray:
    # A mask of one bit has white, but not the id 255.
    table = colours if mask.mode == "1" else {(255, 255, 255): 255, **colours}
    try:
        return _looked_up(np.asarray(mask.convert("RGB")), table)
    except UserError as error:
        raise UserError(
            f"{error}: all its colours are greys, so that grey masks are looked up: "
            "leave the colours out if masks hold ids"
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
            "a mask in colours, but no colour table: save class ids, or give every "
            "class its colour"
        )
    return pixels[..., 0]
