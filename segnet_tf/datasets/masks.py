"""Reads masks from disk: class ids from greys, palettes or colours.

Every fault of a file raises a `UserError` of one line that names the file.
"""

import operator
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from segnet_tf.datasets.dataset import IGNORE_LABEL
from segnet_tf.datasets.images import raw_mode, read_image, upright
from segnet_tf.datasets.lossless import is_lossy, refuse_scaled_values
from segnet_tf.datasets.opening import opened
from segnet_tf.errors import UserError

__all__ = ["Mask", "are_greys", "check_sizes", "read_mask", "read_pair"]

# Pillow stretches greyscale of 2 or 4 bits from 0..3 or 0..15 to 0..255. This is right
# for pictures, but ids must come back as they were written.
_STRETCHES = {"L;2": 85, "L;4": 17}

_SOFT = 32
"""The tolerance to propose: compression and smoothing change colours by so much."""


@dataclass(frozen=True)
class Mask:
    """A mask as it was read.

    Attributes:
        ids: uint8 (H, W), read-only.
        near: number of pixels that have not the colour of a class, but nearly.
        between: number of pixels that are near to no colour, or to several, and are
            therefore `IGNORE_LABEL`.
    """

    ids: np.ndarray
    near: int = 0
    between: int = 0


def read_mask(
    path: str | os.PathLike,
    colours: Mapping[tuple[int, int, int], int] | None = None,
    tolerance: int = 0,
    same: Callable[[int, int], bool] = operator.eq,
) -> Mask:
    """Reads the class ids of a mask.

    The ids are the values of a greyscale image, and the indices of a palette image with
    any colours. RGB masks are looked up in `colours`; if there are no `colours`, all
    three channels must be equal and hold the ids. If all `colours` are greys, greyscale
    is looked up, too, and 255 stays 255 unless it is one of them. Pixels of RGBA, or of
    grey with alpha, that are fully transparent, but not all of them, are
    `IGNORE_LABEL`. Ids of greys and palettes stay, even if they are transparent.

    Args:
        path: the file.
        colours: RGB triple -> class id, 0 to 255.
        tolerance: largest difference, in any channel, between a pixel and the colour
            that it is taken for.
        same: whether two ids mean the same, such as two of void.

    Raises:
        UserError: if the file is missing or damaged; if its compression changes pixels,
            unless colours are looked up with a tolerance; if it has a fraction, an id
            above 255 or a colour that is not in `colours`; or if a palette shows an
            index in the colour of another class (image optimisers reorder palettes).
    """
    colours = colours or {}
    with opened(path) as image:
        lossy = image.format if is_lossy(path, image) else None
        refuse_scaled_values(image)
        stretch = _STRETCHES.get(raw_mode(image) or "", 1)
        mask = upright(image)
        by_colour = colours and (
            are_greys(colours)
            if mask.mode in ("1", "L")
            else not mask.mode.startswith(("P", "I", "F"))
        )
        if lossy and not (by_colour and tolerance):
            raise UserError(f"{lossy} changes the ids it stores: save masks as PNG")
        if mask.mode == "P":
            ids = np.asarray(mask)
            _check_palette(mask, ids, colours, same)
        elif by_colour and mask.mode in ("1", "L"):
            return _looked_up_greys(mask, colours, tolerance)
        elif mask.mode in ("1", "L"):
            ids = np.asarray(mask, np.uint8) // np.uint8(stretch)
        elif mask.mode.startswith(("I", "F")):
            ids = _checked_ids(np.asarray(mask))
        else:
            return _of_channels(mask, colours, tolerance)
        return Mask(ids)


def _of_channels(mask: Image.Image, colours: Mapping, tolerance: int) -> Mask:
    """The ids of a mask in RGB or RGBA, or in grey with alpha."""
    pixels = np.asarray(mask.convert("RGB"))
    clear = None
    if mask.has_transparency_data:
        clear = np.asarray(mask.convert("RGBA"))[..., 3] == 0
        if clear.any() and not clear.all():
            # Programs leave any colour there, often one of a class.
            pixels = np.where(clear[..., None], pixels[~clear][0], pixels)
        else:
            clear = None
    found = (
        _looked_up(pixels, colours, tolerance)
        if colours
        else Mask(_equal_channels(pixels))
    )
    if clear is None:
        return found
    return replace(found, ids=np.where(clear, np.uint8(IGNORE_LABEL), found.ids))


def read_pair(
    image_path: str | os.PathLike,
    mask_path: str | os.PathLike,
    colours: Mapping[tuple[int, int, int], int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Reads an image and its mask with `read_image` and `read_mask`.

    Returns:
        The image, uint8 (H, W, 3), and the class ids, uint8 (H, W).

    Raises:
        UserError: if either is faulty, or if their sizes differ.
    """
    image, ids = read_image(image_path), read_mask(mask_path, colours).ids
    check_sizes(image_path, mask_path, image, ids)
    return image, ids


def check_sizes(
    image_path: str | os.PathLike,
    mask_path: str | os.PathLike,
    image: np.ndarray,
    ids: np.ndarray,
) -> None:
    """Raises UserError if an image and its mask have not the same size."""
    (height, width), (rows, columns) = image.shape[:2], ids.shape
    if (height, width) == (rows, columns):
        return
    with opened(image_path) as stored:
        turned = stored.size == (columns, rows)
    hint = ""
    if turned:
        hint = ", turned by its EXIF tag: turn the mask as well"
    elif max(abs(height - rows), abs(width - columns)) <= 2:
        hint = ": a pixel or two too many or too few: cut the larger one"
    elif abs(height * columns - width * rows) <= max(height, width):
        factor = max(height, rows) / min(height, rows)
        hint = (
            f", {factor:.3g} times as {'large' if height > rows else 'small'}: scale "
            "one of them, a mask without smoothing"
        )
    raise UserError(
        f"{mask_path}: {columns}x{rows}, but {Path(image_path).name} is "
        f"{width}x{height}{hint}"
    )


def _checked_ids(pixels: np.ndarray) -> np.ndarray:
    if (pixels != np.rint(pixels)).any():  # also true for NaN
        raise UserError("fractions in a float mask, expected class ids, 0 to 255")
    if not 0 <= pixels.min() <= pixels.max() <= 255:
        wrong = pixels.min() if pixels.min() < 0 else pixels.max()
        kind = "float" if pixels.dtype.kind == "f" else "16-bit"
        raise UserError(f"class id {wrong} in a {kind} mask, expected 0 to 255")
    return pixels.astype(np.uint8)


def _check_palette(
    mask: Image.Image, ids: np.ndarray, colours: Mapping, same: Callable
) -> None:
    """Refuses a palette that contradicts the colour table; other colours are fine."""
    palette = np.reshape(mask.getpalette("RGB") or [], (-1, 3))
    drawn = {
        int(index): colours.get(tuple(palette[index].tolist()))
        for index in np.unique(ids)
        if index < len(palette)
    }
    for index, meant in drawn.items():
        if meant is not None and not same(index, meant):
            raise UserError(
                f"palette index {index} has the colour of class {meant}, so the "
                "palette was reordered: save the mask as RGB or with class ids"
            )


def are_greys(colours: Collection[tuple[int, int, int]]) -> bool:
    """Whether there are colours, and all are greys, so that grey masks hold them."""
    return bool(colours) and all(len(set(colour)) == 1 for colour in colours)


def _looked_up_greys(mask: Image.Image, colours: Mapping, tolerance: int) -> Mask:
    # A mask of one bit has white, but not the id 255.
    table = colours if mask.mode == "1" else {(255, 255, 255): 255, **colours}
    try:
        return _looked_up(np.asarray(mask.convert("RGB")), table, tolerance)
    except UserError as error:
        raise UserError(
            f"{error}: all its colours are greys, so that grey masks are looked up: "
            "leave the colours out if masks hold ids"
        ) from None


def _looked_up(pixels: np.ndarray, colours: Mapping, tolerance: int) -> Mask:
    packing = np.array([65536, 256, 1], np.uint32)
    known = np.array(sorted(colours), np.uint32)
    ids = np.array([colours[colour] for colour in sorted(colours)], np.uint8)
    keys = known @ packing
    codes = pixels @ packing
    place = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    unknown = keys[place] != codes
    found = ids[place]
    if not unknown.any():
        return Mask(found)
    if not tolerance:
        raise UserError(_not_listed(pixels, unknown, known, ids))
    found[unknown], near, between = _nearest(pixels[unknown], known, ids, tolerance)
    return Mask(found, near, between)


def _not_listed(pixels, unknown, known, ids) -> str:
    """What is wrong with a mask in other colours, and what can be done."""
    y, x = np.argwhere(unknown)[0]
    colour, others = pixels[y, x], pixels[unknown]
    _, close, _ = _nearest(others, known, ids, _SOFT)
    hint = ""
    if close > len(others) / 2:
        hint = (
            f"; most are within {_SOFT} of a colour, as if the mask was resized with "
            f"smoothing, or a JPEG once: --tolerance {_SOFT} reads it"
        )
    elif (others == colour).all():
        hint = "; if it is void, add a line: void {} {} {}".format(*colour)
    return (
        f"colour {tuple(colour.tolist())} at x {x}, y {y} is not in the colour table "
        f"({unknown.mean():.1%} of the pixels are not{hint})"
    )


def _nearest(
    pixels: np.ndarray, known: np.ndarray, ids: np.ndarray, tolerance: int
) -> tuple[np.ndarray, int, int]:
    """The ids of the colours that pixels (N, 3) are near to, or `IGNORE_LABEL`.

    Returns:
        uint8 (N,); the number of pixels near to one colour; the number of the others.
    """
    colours, where = np.unique(pixels, axis=0, return_inverse=True)
    best = np.full(len(colours), IGNORE_LABEL, np.uint8)
    count = np.zeros(len(colours), int)
    for colour, own in zip(known.astype(int), ids, strict=True):
        near = np.abs(colours.astype(int) - colour).max(axis=1) <= tolerance
        best[near] = own
        count += near
    best[count != 1] = IGNORE_LABEL
    certain = int((count == 1)[where].sum())
    return best[where.reshape(-1)], certain, len(pixels) - certain


def _equal_channels(pixels: np.ndarray) -> np.ndarray:
    if (pixels != pixels[..., :1]).any():
        raise UserError(
            "a mask in colours, but no colour table: save class ids, or give every "
            "class its colour"
        )
    return pixels[..., 0]
