"""From a Keras model to what other programs run: TFLite, SavedModel, ONNX.

Everything that leaves here takes images of 0 to 255, in as many channels as its model
(`segnet_tf.images.CHANNELS`), and carries its class names.
"""

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.calibration import check_calibration
from segnet_tf.converter import converted, write_archive
from segnet_tf.datasets.split import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.files import replacing, write_json
from segnet_tf.footprint import footprint, size_multiple
from segnet_tf.images import CHANNELS
from segnet_tf.lowering import in_float32, lowered, one_image, sum_limits
from segnet_tf.models import with_pooling_mode
from segnet_tf.saving import LABELS_ENTRY
from segnet_tf.tflite_file import Facts, append_facts, multiple_that_runs
from segnet_tf.tiling import check_size

__all__ = [
    "INPUTS",
    "QUANTIZE",
    "export_onnx",
    "export_savedmodel",
    "export_tflite",
]

QUANTIZE = ("none", "float16", "dynamic", "int8")
INPUTS = ("uint8", "float32")

ANY_SIDE = 64
"""Of an image, to see what a network makes of one where no size was asked for."""


def export_tflite(
    model: keras.Model,
    path: str | os.PathLike,
    info: DatasetInfo,
    size: tuple[int, int],
    quantize: str = "none",
    output: str = "logits",
    input_dtype: str = "uint8",
    calibration: Sequence[np.ndarray] = (),
) -> Facts:
    """Writes a `.tflite` file of builtin operators only.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, C) in [0, 255].
        path: replaced in one step.
        info: the classes the model predicts.
        size: height and width of the input tensor.
        quantize: "none" is float32; "float16" halves the file; "dynamic" has 8-bit
            weights; "int8" computes in 8 bits.
        output: "logits" or "probabilities", float32 (1, H, W, classes), or "labels",
            uint8 (1, H, W).
        input_dtype: "uint8" or "float32", 0 to 255 either way.
        calibration: images, uint8 (height, width, C), for int8.

    Returns:
        What the file says about itself.

    Raises:
        UserError: for a model, size or calibration that cannot be exported.
    """
    info = _checked(model, info, size)
    check_calibration(quantize, calibration)
    multiple = size_multiple(model)
    fits = size[0] % multiple == 0 and size[1] % multiple == 0
    if quantize == "int8":
        limits = sum_limits(model, (image.astype(np.float32) for image in calibration))
        twin = lowered(model, *size, integer=True, limits=limits)
    else:
        # Where bytes count rather than speed, the kernels stay small.
        twin = lowered(model, *size, winograd=quantize == "none")
    # The converter gives an integer file its integer input.
    dtype = "float32" if quantize == "int8" else input_dtype
    image = tf.TensorSpec((1, *size, model.input_shape[-1]), dtype, name="image")

    @tf.function(input_signature=[image])
    def serve(image):
        logits = twin(tf.cast(image, tf.float32), training=False)
        return {output: _head(logits, output)}

    flat = converted(serve, twin, quantize, input_dtype, calibration)
    with replacing(path) as temporary:
        temporary.write_bytes(flat)
        multiple = multiple_that_runs(temporary, multiple) if fits else None
        facts = Facts(info, output, size, multiple, footprint(model))
        append_facts(temporary, facts)
    write_json(Path(path).with_name(LABELS_ENTRY), asdict(info))
    return facts


def _checked(
    model: keras.Model, info: DatasetInfo, size: tuple[int, int] | None = None
) -> DatasetInfo:
    """What the file is to say of its classes, and of its input's channels."""
    shapes = (tuple(model.input_shape), tuple(model.output_shape))
    if any(len(shape) != 4 for shape in shapes) or shapes[0][-1] not in CHANNELS:
        raise UserError(
            f"{model.name}: maps {shapes[0]} to {shapes[1]}; what can be exported "
            "maps images (B, H, W, 1, 3 or 4) to logits (B, H, W, classes)"
        )
    if shapes[1][-1] != info.num_classes:
        raise UserError(
            f"{model.name}: predicts {shapes[1][-1]} classes, but {info.name} has "
            f"{info.num_classes}"
        )
    if size is None:
        size = tuple(side or ANY_SIDE for side in shapes[0][1:3])
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
            f"{model.name}: turns {size[0]}x{size[1]} into {given[0]}x{given[1]}: what "
            "can be exported gives a label for every pixel"
        )
    return replace(info, channels=shapes[0][-1])


def _head(logits, output: str):
    if output == "logits":
        return logits
    if output == "probabilities":
        return tf.nn.softmax(logits)
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)


def export_savedmodel(
    model: keras.Model,
    path: str | os.PathLike,
    info: DatasetInfo,
    input_dtype: str = "uint8",
) -> None:
    """Writes a SavedModel as TF Serving and KServe expect it.

    Signatures, both for images of any size, all of one size in a batch:
        serving_default: `image` uint8 or float32 (B, H, W, C) in [0, 255].
        serve_encoded: `encoded` string (B,), the bytes of JPEG or PNG files (of four
            channels: PNG alone).
        Both return `labels` uint8 (B, H, W) and `probabilities` float32
        (B, H, W, classes).

    The class names lie in `assets.extra/labels.json`, with the network's footprint
    (see `segnet_tf.tiling`). Nothing of this package is needed to load it.

    Args:
        path: a folder that is not there yet; servers want a whole number as its name,
            the version.

    Raises:
        UserError: for a folder that is there, or a model that does not fit `info`.
    """
    path = Path(path)
    info = _checked(model, info)
    if path.exists():
        raise UserError(f"{path}: already there: choose another --output")
    twin = _float32(model)

    def predict(image):
        logits = twin(tf.cast(image, tf.float32), training=False)
        return {
            "labels": _head(logits, "labels"),
            "probabilities": tf.nn.softmax(logits),
        }

    shape = (None, None, None, info.channels)
    images = tf.TensorSpec(shape, input_dtype, name="image")
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
        write_json(temporary / "assets.extra" / LABELS_ENTRY, _labels(model, info))


def _labels(model: keras.Model, info: DatasetInfo) -> dict:
    """What a file says of itself that takes any size."""
    reach = footprint(model)
    return {**asdict(info), "footprint": reach and asdict(reach)}


def _decoded(encoded, channels: int):
    """uint8 (B, H, W, channels) from the bytes of B files."""

    def decode(data):
        known = tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff"
        known |= tf.strings.substr(data, 0, 4) == b"\x89PNG"
        tf.debugging.assert_equal(known, True, "an image is no JPEG or PNG file")
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


def _float32(model: keras.Model) -> keras.Model:
    """The model with every layer in float32, whatever it was trained in."""

    twin = keras.models.clone_model(model, clone_function=in_float32)
    twin.set_weights(model.get_weights())
    return one_image(twin)


def export_onnx(model: keras.Model, path: str | os.PathLike, info: DatasetInfo) -> None:
    """Writes an ONNX file: `image` float32 (B, H, W, C) in [0, 255] -> `logits`.

    Through Keras' exporter, which needs the packages onnx and tf2onnx; positions are
    held as `window`. The class names are in the file's metadata under the key
    "labels", with the network's footprint.

    Raises:
        UserError: without those packages, or for a model that does not fit `info`.
    """
    info = _checked(model, info)
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format onnx needs the package {error.name}: "
            "pip install 'segnet-tf[onnx]'"
        ) from None

    shape = (None, None, None, info.channels)
    image = keras.InputSpec(shape=shape, dtype="float32", name="image")
    twin = _float32(with_pooling_mode(model, "window"))
    with replacing(path) as temporary, warnings.catch_warnings():
        # tf2onnx asks NumPy for names that it will take away one day.
        warnings.simplefilter("ignore", FutureWarning)
        twin.export(temporary, "onnx", verbose=False, input_signature=[image])
        stored = onnx.load(temporary)
        labels = json.dumps(_labels(model, info))
        onnx.helper.set_model_props(stored, {"labels": labels})
        onnx.save(stored, temporary)
