"""The range of values that images of more than 8 bits use.

A camera of 12 bits fills a sixteenth of a 16-bit file, and reflectances of satellites
not much more. Scaled by what the file could hold, they would be black.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.datasets.images import deep_pixels
from segnet_tf.errors import UserError

__all__ = [
    "fills_little",
    "found_range",
    "other_range",
    "range_line",
    "range_lines",
    "range_of",
    "share_outside",
]

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


def range_line(value_range: tuple[float, float]) -> str:
    """How images of more than 8 bits are scaled."""
    return "more than 8 bits: {:.5g} is black, {:.5g} is white".format(*value_range)


def range_lines(split: Split, trained: DatasetInfo | None) -> list[str]:
    """How images are scaled, and how that differs from a model's training images.

    Args:
        split: the images.
        trained: what the model says of itself; None: nothing.
    """
    lines, own = [], split.info.value_range
    if own:
        lines.append(range_line(own))
    if trained and trained.value_range != own:
        lines.append(
            f"warning: these images {_scale(own)}, but the model's training images "
            f"{_scale(trained.value_range)}: the scores may say little"
        )
    return lines + [f"warning: {line}" for line in other_range(split)]


def _scale(value_range: tuple[float, float] | None) -> str:
    if value_range is None:
        return "have 8 bits"
    return "are scaled by {:.5g} to {:.5g}".format(*value_range)


def other_range(split: Split) -> list[str]:
    """A line if the images of a split hardly use the range that they are scaled by, or
    go far beyond it."""
    whole = split.info.value_range
    paths = [path for path in split.sources if isinstance(path, Path)]
    own = found_range(paths, split.info.channels) if whole and paths else None
    if not own or not whole:
        return []
    if not (fills_little(own, whole) or own[1] - own[0] > 2 * (whole[1] - whole[0])):
        return []
    return [
        f"{split.name}: its images use {own[0]:.5g} to {own[1]:.5g}, but are "
        f"scaled by {whole[0]:.5g} to {whole[1]:.5g}"
    ]


def fills_little(own: tuple[float, float], whole: tuple[float, float]) -> bool:
    """Whether a range is less than an eighth of another one, or beside it."""
    (least, most), (low, high) = own, whole
    return most - least < (high - low) / 8 or least > high or most < low


def share_outside(values: np.ndarray, value_range: tuple[float, float]) -> float:
    """The share of values that a range clips; those without data do not count.

    Args:
        values: of any shape; a sample of many is taken.
        value_range: the values that become black and white.
    """
    values = values.reshape(-1)
    values = values[:: 1 + len(values) // 10**6]
    values = _measured(values[np.isfinite(values)])
    low, high = value_range
    return float(((values < low) | (values > high)).mean()) if values.size else 0.0


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
