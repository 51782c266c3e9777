"""Images that show an int8 network which values to expect: NumPy and Pillow alone."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segnet_tf.errors import UserError
from segnet_tf.images import IMAGE_SUFFIXES, read_image, resized

__all__ = ["calibration_images", "check_calibration"]

CALIBRATION_IMAGES = 100
"""The least that int8 ranges are taken from."""


def calibration_images(
    folder: str | os.PathLike, size: tuple[int, int], channels: int = 3
) -> list[np.ndarray]:
    """Up to `CALIBRATION_IMAGES` images of a folder, spread over it, at one size.

    Returns:
        uint8 (height, width, channels) each, resized.

    Raises:
        UserError: where the folder holds no image.
    """
    found = sorted(
        path
        for path in Path(folder).glob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    if not found:
        raise UserError(f"{folder}: no images there to calibrate with")
    count = min(len(found), CALIBRATION_IMAGES)
    spread = [found[i * len(found) // count] for i in range(count)]
    return [
        resized(read_image(path, channels), size, Image.Resampling.BILINEAR)
        for path in spread
    ]


def check_calibration(quantize: str, images: Sequence[np.ndarray]) -> None:
    """Refuses int8 without images enough.

    Raises:
        UserError: saying how many there are.
    """
    if quantize == "int8" and len(images) < CALIBRATION_IMAGES:
        raise UserError(
            f"int8 takes its ranges from {CALIBRATION_IMAGES} images or more, not "
            f"{len(images)}: name a folder of training images with --calibration"
        )
