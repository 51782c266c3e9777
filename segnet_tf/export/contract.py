"""Common to all exports: images of 0 to 255 in, one label per pixel out.

Images have as many channels as the model takes (`segnet_tf.datasets.images.CHANNELS`).
The file names the classes.
"""

from dataclasses import asdict, replace

import keras
import tensorflow as tf

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.images import CHANNELS
from segnet_tf.errors import UserError
from segnet_tf.inference.receptive_field import receptive_field
from segnet_tf.inference.tiling import check_size, check_values

__all__ = ["checked", "head", "labels_json"]

ANY_SIDE = 64
"""Height and width of the image that a model is tried with if no size is given."""


def checked(
    model: keras.Model, info: DatasetInfo, size: tuple[int, int] | None = None
) -> DatasetInfo:
    """Checks that a model can be exported.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, C) in [0, 255].
        info: the classes that it predicts.
        size: height and width to export for; None: any.

    Returns:
        `info`, with the number of channels that the model takes.

    Raises:
        UserError: if the model has other shapes or another number of classes, or does
            not fit the size, or if the size is too large.
    """
    shapes = (tuple(model.input_shape), tuple(model.output_shape))
    if any(len(shape) != 4 for shape in shapes) or shapes[0][-1] not in CHANNELS:
        raise UserError(
            f"{model.name}: maps {shapes[0]} to {shapes[1]}; an exported model must "
            "map images (B, H, W, 1, 3 or 4) to logits (B, H, W, classes)"
        )
    if shapes[1][-1] != info.num_classes:
        raise UserError(
            f"{model.name}: predicts {shapes[1][-1]} classes, but {info.name} has "
            f"{info.num_classes}"
        )
    if size is None:
        height, width = (side or ANY_SIDE for side in shapes[0][1:3])
        size = height, width
    check_size(*size)
    if shapes[0][1:3] not in ((None, None), size):
        raise UserError(
            f"{model.name}: takes {shapes[0][1]}x{shapes[0][2]} only, "
            f"not {size[0]}x{size[1]}"
        )
    image = keras.KerasTensor((1, *size, shapes[0][-1]), "float32")
    given = model.compute_output_spec(image).shape[1:3]
    if given != size:
        raise UserError(
            f"{model.name}: turns {size[0]}x{size[1]} into {given[0]}x{given[1]}: an "
            "exported model must give a label for every pixel"
        )
    check_values(*size, receptive_field(model))
    return replace(info, channels=shapes[0][-1])


def head(logits, output: str):
    """Logits (B, H, W, classes) as the output that was asked for.

    Args:
        logits: float32.
        output: "logits" or "probabilities", float32 (B, H, W, classes), or "labels",
            uint8 (B, H, W).
    """
    if output == "logits":
        return logits
    if output == "probabilities":
        return tf.nn.softmax(logits)
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)


def labels_json(model: keras.Model, info: DatasetInfo) -> dict:
    """The labels.json of a file that takes any size: classes and receptive field."""
    reach = receptive_field(model)
    return {**asdict(info), "footprint": reach and asdict(reach)}
