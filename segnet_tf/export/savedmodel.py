"""SavedModel: the format that TensorFlow Serving, KServe and their like load."""

import os
from pathlib import Path

import keras
import tensorflow as tf

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.export.contract import checked, head, labels_json
from segnet_tf.export.converter import write_archive
from segnet_tf.files import replacing, write_json
from segnet_tf.inference.labels_json import LABELS_ENTRY
from segnet_tf.models.clone import as_float32

__all__ = ["export_savedmodel"]


def export_savedmodel(
    model: keras.Model,
    path: str | os.PathLike,
    info: DatasetInfo,
    input: str = "uint8",
) -> None:
    """Writes a SavedModel as TensorFlow Serving and KServe expect it.

    It has two signatures. Both take images of any size; all images of a batch have one
    size.

    - serving_default: `image` uint8 or float32 (B, H, W, C) in [0, 255].
    - serve_encoded: `encoded` string (B,), the bytes of JPEG or PNG files (only PNG for
      four channels).

    Both return `labels` uint8 (B, H, W) and `probabilities` float32 (B, H, W, classes).
    `assets.extra/labels.json` names the classes and has the receptive field (see
    `segnet_tf.inference.tiling`). Loading needs nothing of this package.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, C) in [0, 255].
        path: a folder that is not there yet; servers want a version, a whole number, as
            its name.
        info: the classes that the model predicts.
        input: dtype of `image`, "uint8" or "float32".

    Raises:
        UserError: if the folder is there, or if the model does not fit `info`.
    """
    path = Path(path)
    info = checked(model, info)
    if path.exists():
        raise UserError(f"{path}: already there: choose another --output")
    twin = as_float32(model)

    def predict(image):
        logits = twin(tf.cast(image, tf.float32), training=False)
        return {
            "labels": head(logits, "labels"),
            "probabilities": tf.nn.softmax(logits),
        }

    shape = (None, None, None, info.channels)
    images = tf.TensorSpec(shape, input, name="image")
    files = tf.TensorSpec((None,), tf.string, name="encoded")
    endpoints = {
        "serving_default": tf.function(predict, input_signature=[images]),
        "serve_encoded": tf.function(
            lambda encoded: predict(_decoded(encoded, info.channels)),
            input_signature=[files],
        ),
    }
    with replacing(path) as temporary:
        write_archive(temporary, twin, endpoints)
        write_json(temporary / "assets.extra" / LABELS_ENTRY, labels_json(model, info))


def _decoded(encoded, channels: int):
    """uint8 (B, H, W, channels) from the bytes of B files."""

    def decode(data):
        known = tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff"
        known |= tf.strings.substr(data, 0, 4) == b"\x89PNG"
        tf.debugging.assert_equal(known, True, "an image is not a JPEG or PNG file")
        return tf.io.decode_image(data, channels, expand_animations=False)

    tf.debugging.assert_positive(tf.size(encoded), "the batch holds no image")
    size = tf.shape(decode(encoded[0]))

    def decode_alike(data):
        image = decode(data)
        tf.debugging.assert_equal(
            tf.shape(image), size, "the images of a batch must be of one size"
        )
        return tf.ensure_shape(image, (None, None, channels))

    return tf.map_fn(decode_alike, encoded, fn_output_signature=tf.uint8)
