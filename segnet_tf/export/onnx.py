"""ONNX, through Keras' exporter."""

import json
import os
import warnings

import keras

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.export.contract import checked, labels_json
from segnet_tf.files import replacing
from segnet_tf.models.clone import as_float32, with_pooling_mode

__all__ = ["export_onnx"]


def export_onnx(model: keras.Model, path: str | os.PathLike, info: DatasetInfo) -> None:
    """Writes an ONNX file: `image` float32 (B, H, W, C) in [0, 255] -> `logits`.

    Keras' exporter needs the packages onnx and tf2onnx. Pooling positions have the form
    `window`. The file's metadata holds the class names and the receptive field as JSON,
    under the key "labels".

    Args:
        model: logits float32 (B, H, W, classes) from images of any size.
        path: the file; it is replaced in one step.
        info: the classes that the model predicts.

    Raises:
        UserError: if a package is missing, or if the model does not fit `info`.
    """
    info = checked(model, info)
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format onnx needs the package {error.name}: "
            "pip install onnx onnxruntime tf2onnx"
        ) from None

    shape = (None, None, None, info.channels)
    image = keras.InputSpec(shape=shape, dtype="float32", name="image")
    twin = as_float32(with_pooling_mode(model, "window"))
    with replacing(path) as temporary, warnings.catch_warnings():
        # tf2onnx uses names that NumPy will remove.
        warnings.simplefilter("ignore", FutureWarning)
        twin.export(temporary, "onnx", verbose=False, input_signature=[image])
        stored = onnx.load(temporary)
        labels = json.dumps(labels_json(model, info))
        onnx.helper.set_model_props(stored, {"labels": labels})
        onnx.save(stored, temporary)
