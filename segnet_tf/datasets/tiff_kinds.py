"""TIFF files that Pillow opens, but reads as other pixels than they have.

Pillow chooses a decoder by some of the tags that describe pixels. What the others say,
it leaves out: planes then become neighbouring pixels, negative values bright ones.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from segnet_tf.errors import UserError

__all__ = ["refuse_misread", "typed"]

_BITS, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_BANDS, _PLANES, _EXTRA, _FORMAT = 277, 284, 338, 339
"""Tags."""

_INVERTED, _RGB, _CMYK = 0, 2, 5
"""Photometric interpretations."""

_SIGNED, _FLOAT = 2, 3
"""Sample formats."""

_ALPHA = {1, 2}
"""Kinds of an extra band."""


def refuse_misread(image: Image.Image) -> None:
    """Refuses an open file whose current page Pillow would misread, not only fail at.

    Raises:
        UserError: if it is a TIFF file of such a kind; the message says what to save
            instead.
    """
    if image.format == "TIFF":
        for fault, holds in _faults(image):
            if holds:
                raise UserError(fault)


def _faults(image: Image.Image) -> Iterator[tuple[str, bool]]:
    tags = image.tag_v2  # pyright: ignore

    def first(tag: int, default: int) -> int:
        value = tags.get(tag, default)
        return value[0] if isinstance(value, tuple) else value

    bits, bands = max(_all(tags.get(_BITS, 1))), first(_BANDS, 1)
    photometric, signed = first(_PHOTOMETRIC, 1), first(_FORMAT, 1)
    usual = bits == 8 and photometric == _RGB and bands in (3, 4)
    yield (
        "bands in planes of their own (PlanarConfiguration 2): save it with "
        "interleaved bands",
        bands > 1 and first(_PLANES, 1) == 2 and not usual,
    )
    yield (
        "inverted grey of more than 8 bits (white is 0): save it with black as 0",
        photometric == _INVERTED and bits > 8,
    )
    yield (
        "2 bands, of which neither is alpha: save the one that counts as grey, or "
        "three as RGB",
        bands == 2 and not _ALPHA & {*_all(tags.get(_EXTRA, 0))},
    )
    yield (
        f"CMYK of {bits} bits: save it as RGB",
        photometric == _CMYK and bits > 8,
    )
    swapped = bits > 8 and signed in (_SIGNED, _FLOAT)
    yield (
        "compressed values of more than 8 bits, signed or floats, whose bytes are in "
        "big-endian order: save it as little-endian, or uncompressed",
        swapped and tags.prefix == b"MM" and first(_COMPRESSION, 1) != 1,
    )


def _all(value) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def typed(image: Image.Image) -> np.ndarray | None:
    """The values of decoded pixels whose type Pillow's mode does not give, or None.

    Returns:
        int8 or uint32, (H, W).
    """
    if image.format != "TIFF" or image.mode not in ("L", "I"):
        return None
    tags = image.tag_v2  # pyright: ignore
    kind = max(_all(tags.get(_BITS, 1))), max(_all(tags.get(_FORMAT, 1)))
    dtype = {(8, _SIGNED): np.int8, (32, 1): np.uint32}.get(kind)
    if dtype is None:
        return None
    return np.asarray(image).view(dtype)
