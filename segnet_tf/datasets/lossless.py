"""Which image files give back the values that were written into them, as masks need."""

import os
from pathlib import Path

from PIL import Image

from segnet_tf.datasets.images import raw_mode
from segnet_tf.errors import UserError

__all__ = ["is_lossy", "refuse_scaled_values"]

_LOSSLESS_TIFF = frozenset(
    "raw tiff_ccitt group3 group4 tiff_lzw tiff_adobe_deflate tiff_deflate packbits "
    "lzma zstd tiff_raw_16 tiff_thunderscan".split()
)
"""Pillow's names of the compressions that keep pixels."""


def is_lossy(path: str | os.PathLike, image: Image.Image) -> bool:
    """Whether the file's compression changes pixels, or may.

    JPEG 2000 has a form that keeps them, but a file does not tell whether it was cut.
    """
    if image.format == "WEBP":
        return b"VP8L" not in _chunks(Path(path).read_bytes())
    if image.format == "TIFF":
        return image.info.get("compression", "raw") not in _LOSSLESS_TIFF
    return image.format in ("JPEG", "MPO", "AVIF", "JPEG2000")


def refuse_scaled_values(image: Image.Image) -> None:
    """Raises UserError if Pillow would give other values than the file has."""
    if ";16" in (raw_mode(image) or "") and not image.mode.startswith("I"):
        raise UserError(
            "16 bits a colour, of which Pillow reads 8: save masks as PNG of 8 bits"
        )
    if image.format == "PPM" and image.mode != "1":
        for tile in getattr(image, "tile", ()):
            given = tile.args if isinstance(tile.args, tuple) else ()
            most = given[-1] if given and isinstance(given[-1], int) else 255
            if tile.codec_name.startswith("ppm") and most not in (255, 65535):
                raise UserError(
                    f"values from 0 to {most}, which Pillow stretches: save it as PNG"
                )


def _chunks(webp: bytes) -> set[bytes]:
    """The names of the chunks of a WebP file, those inside of frames included."""
    names, place = set(), 12
    while place + 8 <= len(webp):
        name, size = webp[place : place + 4], webp[place + 4 : place + 8]
        names.add(name)
        # A frame of an animation holds chunks behind 16 bytes of its own.
        inside = 16 if name == b"ANMF" else int.from_bytes(size, "little")
        place += 8 + inside + inside % 2
    return names
