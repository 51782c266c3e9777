"""The range of values that images of more than 8 bits use.

A camera of 12 bits fills a sixteenth of a 16-bit file, and reflectances of satellites
not much more. Scaled by what the file could hold, they would be black.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segnet_tf.datasets.images import deep_pixels
from segnet_tf.errors import UserError

__all__ = ["found_range", "range_of"]

_IMAGES = 32
_VALUES = 20_000  # of each image
_CLIPPED = 0.1  # percent of the values at either end


def found_range(paths: Sequence[Path], channels: int = 3) -> tuple[float, float] | None:
    """The range of some images, spread over a list of them.

    Args:
        paths: of the images.
        channels: of an image as it is read; a fourth one of the file counts only if it
            is read.

    Returns:
        See `range_of`; None if they have 8 bits, or if none can be read.
    """
    chosen = np.linspace(0, len(paths) - 1, min(_IMAGES, len(paths))).astype(int)
    samples = []
    for index in chosen:
        try:
            pixels = deep_pixels(paths[index])
        except UserError as error:
            if "opencv" in str(error):
                raise
            # The file itself is reported where all files are read.
            continue
        if pixels is not None:
            if pixels.ndim == 3 and channels != 4:
                pixels = pixels[..., :3]
            values = pixels.reshape(-1)
            samples.append(values[:: 1 + len(values) // _VALUES])
    return range_of(np.concatenate(samples)) if samples else None


def range_of(values: np.ndarray) -> tuple[float, float]:
    """The values that become black and white.

    That is what a camera of so many bits can give, if whole numbers reach its upper
    half: 0 to 4095 for values up to 4000. Otherwise one value in a thousand is clipped
    at either end; the lower end is 0 unless the values lie far above it.

    A lowest or highest value far from all others is no measurement, but marks pixels
    without data, such as 65535 or -9999. It does not count.

    Args:
        values: of any shape; NaN does not count.
    """
    values = values[np.isfinite(values)]
    values = _measured(values)
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [_CLIPPED, 100 - _CLIPPED]).tolist()
    whole = values.dtype.kind in "iu"
    if whole and 0 <= values.min() and values.max() < 2**16:
        full = 2 ** max(8, int(values.max()).bit_length()) - 1
        if high > full / 2 and low < full / 4:
            return 0.0, float(full)
    if 0 <= low < high / 20:
        low = 0.0
    return low, high if high > low else low + 1


def _measured(values: np.ndarray) -> np.ndarray:
    """The values without a lowest and a highest one that stand alone."""
    levels = np.unique(values)
    if len(levels) > 3:
        low, second = levels[[0, 1]].astype(float)
        before, high = levels[[-2, -1]].astype(float)
        if high - before > before - second:
            values = values[values != levels[-1]]
        if second - low > before - second:
            values = values[values != levels[0]]
    return values
