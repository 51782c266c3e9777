"""From a network to the bytes of a `.tflite` file: TensorFlow's converter, set up.

Sources for the choices: LiteRT's converter takes a Keras 3 model through a SavedModel
(from its concrete functions it leaves variables behind), and a static batch of 1
(with a free one, dilated convolutions become SPACE_TO_BATCH).
"""

import os
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.errors import UserError

__all__ = ["converted", "write_archive"]


def converted(
    serve: Callable,
    model: keras.Model,
    quantize: str,
    input_dtype: str,
    calibration: Sequence[np.ndarray],
) -> bytes:
    """A flatbuffer of builtin operators.

    Args:
        serve: a tf.function of one image, (1, H, W, 3).
        model: what it calls, whose variables go along.
        quantize, input_dtype, calibration: as in `segnet_tf.export.export_tflite`.

    Raises:
        UserError: where other operators would be needed.
    """
    from tensorflow.lite.python.convert import ConverterError

    with tempfile.TemporaryDirectory() as folder:
        write_archive(folder, model, {"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        _set_up(converter, quantize, input_dtype, calibration)
        try:
            flat = converter.convert()
        except ConverterError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"{model.name}: cannot be written in TFLite's builtin operators "
                f"({reason})"
            ) from error
    # An integer file has its integer input from the converter.
    floating = quantize != "int8" and input_dtype == "uint8"
    return _dequantizing_image(flat) if floating else flat


def _set_up(converter, quantize: str, input_dtype: str, calibration) -> None:
    # No Flex operators, whatever else is asked for: stock runtimes lack them.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        batches = [image[None].astype(np.float32) for image in calibration]
        converter.representative_dataset = lambda: ([batch] for batch in batches)
        if input_dtype == "uint8":
            converter.inference_input_type = tf.uint8


def _dequantizing_image(flat: bytes) -> bytes:
    """Makes the image's CAST to float a DEQUANTIZE with scale 1, the same function.

    XNNPACK takes it, unlike CAST, and float16 needs that: the operators that widen
    float16 weights do not wait for a CAST, so they would become a piece of their own
    and widen all weights anew for every image.
    """
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(flat))
    graph = model.subgraphs[0]
    [image] = graph.inputs
    [cast] = [operator for operator in graph.operators if image in operator.inputs]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 1
    model.operatorCodes.append(code)
    cast.opcodeIndex = len(model.operatorCodes) - 1
    cast.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    cast.builtinOptions = schema.DequantizeOptionsT()
    scale = schema.QuantizationParametersT()
    scale.scale, scale.zeroPoint = [1.0], [0]
    graph.tensors[image].quantization = scale
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def write_archive(
    folder: str | os.PathLike, model: keras.Model, endpoints: dict[str, Callable]
) -> None:
    """Writes a SavedModel with one signature an endpoint."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, function in endpoints.items():
        archive.add_endpoint(name, function)
    archive.write_out(str(folder), verbose=False)
