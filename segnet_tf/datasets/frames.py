"""Reads the frames of an animation and the pages of a TIFF file, one after another."""

import os
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
from PIL import Image

from segnet_tf.datasets.images import pixels_of
from segnet_tf.datasets.opening import opened
from segnet_tf.datasets.tiff_kinds import refuse_misread

__all__ = ["MASK", "REDUCED", "frame_count", "places", "read_frames"]

MOVING = frozenset(("GIF", "PNG", "TIFF", "WEBP"))
"""Formats whose further frames are pictures of their own. In others, such as a camera's
MPO, they show the first one again."""

_NEW_SUBFILE_TYPE = 254
REDUCED, MASK = 1, 4
"""A tag of a TIFF page, and two of its bits: a thumbnail or a mask of another page."""


def frame_count(path: str | os.PathLike) -> int:
    """The number of pictures in a file; its pixels are not read.

    Raises:
        UserError: if the file is missing, damaged or not an image.
    """
    with opened(path) as image:
        return len(places(image))


def read_frames(
    path: str | os.PathLike,
    channels: int = 3,
    value_range: tuple[float, float] | None = None,
    look: Callable[[Image.Image], object] | None = None,
) -> Iterator[np.ndarray]:
    """Reads every frame of a file, as `segnet_tf.datasets.images.read_image` does.

    Args:
        path: the file.
        channels: as for `read_image`.
        value_range: as for `read_image`.
        look: gets the opened image first, at each frame.

    Yields:
        uint8 (H, W, channels), read-only; each frame has its own size.

    Raises:
        UserError: as `read_image` does, when the damaged frame is reached.
    """
    with opened(path) as image:
        for place in places(image):
            image.seek(place)
            refuse_misread(image)
            if look is not None:
                look(image)
            yield pixels_of(path, image, channels, value_range)


def places(image: Image.Image) -> list[int]:
    """Which frames of an open file are pictures, by number; the first one always is.

    The file is at the first one then.
    """
    if image.format != "TIFF":
        several = getattr(image, "n_frames", 1) if image.format in MOVING else 1
        return list(range(several))
    found = []
    for place in count():
        try:
            image.seek(place)
        except EOFError:
            break
        except SyntaxError:
            # Such as a mask of one bit, which Pillow does not read, but whose tags it
            # tells. A picture that it does not read has its line when its turn comes.
            pass
        kind = image.tag_v2.get(_NEW_SUBFILE_TYPE, 0)  # pyright: ignore
        if place == 0 or not kind & (REDUCED | MASK):
            found.append(place)
    image.seek(0)
    return found
