"""int8: the calibration images, and the value ranges of clipped sums."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segnet_tf.datasets.images import IMAGE_SUFFIXES, read_image, resized
from segnet_tf.errors import UserError

__all__ = [
    "Limits",
    "calibration_files",
    "calibration_images",
    "check_calibration",
    "sum_limits",
]

CALIBRATION_IMAGES = 100
"""Least number of calibration images."""


def calibration_files(folder: str | os.PathLike) -> list[Path]:
    """Up to `CALIBRATION_IMAGES` image files of a folder, spread over it.

    Raises:
        UserError: if the folder holds no image.
    """
    found = sorted(
        path
        for path in Path(folder).glob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not found:
        raise UserError(f"{folder}: no images there to calibrate with")
    count = min(len(found), CALIBRATION_IMAGES)
    return [found[i * len(found) // count] for i in range(count)]


def calibration_images(
    files: Sequence[str | os.PathLike],
    size: tuple[int, int],
    channels: int = 3,
    value_range: tuple[float, float] | None = None,
) -> list[np.ndarray]:
    """Image files, each resized to uint8 (height, width, channels).

    Args:
        files: paths of the images.
        size: height and width.
        channels: 1, 3 or 4.
        value_range: see `segnet_tf.datasets.images.read_image`.

    Raises:
        UserError: if a file cannot be read.
    """
    return [
        resized(
            read_image(path, channels, value_range), size, Image.Resampling.BILINEAR
        )
        for path in files
    ]


def check_calibration(quantize: str | None, count: int) -> None:
    """Refuses int8 with fewer than `CALIBRATION_IMAGES` images.

    Args:
        quantize: a key of `segnet_tf.export.formats.PRECISIONS`, or None.
        count: number of images.

    Raises:
        UserError: the message says how many there are.
    """
    if quantize == "int8" and count < CALIBRATION_IMAGES:
        raise UserError(
            f"int8 takes its ranges from {CALIBRATION_IMAGES} images or more, not "
            f"{count}: name a folder of training images with --calibration"
        )


Limits = dict[str, list[tuple[float, float] | None]]
"""Name of an Add layer -> the range to clip each of its two summands to. None: no
clipping."""


def sum_limits(model, images: Iterable[np.ndarray]) -> Limits:
    """The range in which each summand of a clipped sum changes the result.

    min(max(a + b, 0), 6) stays the same if a is clipped to -max(b)..6 - min(b). Without
    the clipping, one large summand would take most of the 256 steps that 0 to 6 needs.

    Args:
        model: a functional keras.Model.
        images: float32 (H, W, channels); the summands are measured on them.
    """
    import keras
    import tensorflow as tf

    sums = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Add) and len(layer.input) == 2
    ]
    tops = {}
    for layer in sums:
        users = [node.operation for node in layer._outbound_nodes]
        if len(users) == 1 and isinstance(users[0], keras.layers.ReLU):
            if users[0].max_value is not None:
                tops[layer.name] = float(users[0].max_value)
    if not tops:
        return {}
    summands = {name: model.get_layer(name).input for name in tops}
    probe = tf.function(keras.Model(model.inputs[0], summands))
    low, high = {}, {}
    for image in images:
        for name, values in probe(image[None]).items():
            lows = [float(tf.reduce_min(value)) for value in values]
            highs = [float(tf.reduce_max(value)) for value in values]
            low[name] = np.minimum(low.get(name, lows), lows)
            high[name] = np.maximum(high.get(name, highs), highs)
    return {
        name: [
            _narrower(low[name][i], high[name][i], -high[name][j], top - low[name][j])
            for i, j in ((0, 1), (1, 0))
        ]
        for name, top in tops.items()
    }


def _narrower(low, high, least, most) -> tuple[float, float] | None:
    """low..high cut to least..most; None if that cuts off less than a tenth."""
    cut = max(low, least), min(high, most)
    return cut if cut[1] - cut[0] < 0.9 * (high - low) else None
