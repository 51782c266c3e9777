"""From a network to the bytes of a `.tflite` file, through TensorFlow's converter.

The converter gets a SavedModel, since files from the concrete functions of a Keras 3
model keep variables. It gets a static batch of 1, since a free batch size turns dilated
convolutions into SPACE_TO_BATCH.
"""

import os
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.errors import UserError
from segnet_tf.export.ranges import quantized

__all__ = ["converted", "write_archive"]

LARGE = 0.01
"""float16 halves a constant that holds at least this share of a file's elements."""


def converted(
    serve: Callable,
    model: keras.Model,
    quantize: str,
    input_dtype: str,
    calibration: Sequence[np.ndarray],
) -> bytes:
    """The bytes of a TFLite flatbuffer that holds builtin operators only.

    Args:
        serve: a tf.function of one image, (1, H, W, C).
        model: the model that it calls; its variables are stored.
        quantize: a key of `segnet_tf.export.formats.PRECISIONS`.
        input_dtype: "uint8" or "float32".
        calibration: images, uint8 (H, W, C), for int8.

    Raises:
        UserError: if the model needs other operators.
    """
    from tensorflow.lite.python.convert import ConverterError

    with tempfile.TemporaryDirectory() as folder:
        write_archive(folder, model, {"serving_default": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        # No Flex operators: stock runtimes lack them.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantize == "dynamic":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        with notices_kept_back():
            try:
                flat = converter.convert()
            except ConverterError as error:
                reason = str(error).strip().splitlines()[0]
                raise UserError(
                    f"{model.name}: cannot be written in TFLite's builtin operators "
                    f"({reason})"
                ) from error
    if quantize == "int8":
        return quantized(flat, calibration, input_dtype)
    from tensorflow.lite.tools import flatbuffer_utils

    file = flatbuffer_utils.convert_bytearray_to_object(bytearray(flat))
    if input_dtype == "uint8":
        _dequantize_image(file)
    if quantize == "float16":
        _halve_large_constants(file)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(file))


def _dequantize_image(file) -> None:
    """Replaces the image's CAST to float by DEQUANTIZE with scale 1: the same function.

    XNNPACK runs DEQUANTIZE but not CAST. float16 needs that: the operators that widen
    float16 weights do not depend on the CAST. With it they would form a piece of their
    own, which would widen all weights again for every image.
    """
    graph = file.subgraphs[0]
    [image] = graph.inputs
    [cast] = [operator for operator in graph.operators if image in operator.inputs]
    cast.opcodeIndex = _dequantize_code(file)
    cast.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    cast.builtinOptions = schema.DequantizeOptionsT()
    scale = schema.QuantizationParametersT()
    scale.scale, scale.zeroPoint = [1.0], [0]
    graph.tensors[image].quantization = scale


def _halve_large_constants(file) -> None:
    """Stores large float32 constants in float16; they are widened on loading.

    The converter's own float16 halves all constants. Biases, depthwise kernels and the
    first layers hold hardly any bytes, but they matter most: with them in float16, more
    than 0.1 % of a trained network's labels change. Without them it is 0.03 % for
    SegNet and less than 0.01 % for SegNetLite.
    """
    graph, code = file.subgraphs[0], _dequantize_code(file)
    operators, emptied = [], set()
    stored = [buffer.data for buffer in file.buffers if buffer.data is not None]
    least = LARGE * sum(len(data) // 4 for data in stored)
    for index, tensor in enumerate(list(graph.tensors)):
        data = file.buffers[tensor.buffer].data
        if tensor.type != schema.TensorType.FLOAT32 or data is None:
            continue
        values = np.frombuffer(bytes(data), np.float32)
        if values.size < least:
            continue
        half = schema.TensorT()
        half.name, half.shape = tensor.name + b"_half", tensor.shape
        half.type, half.buffer = schema.TensorType.FLOAT16, len(file.buffers)
        half.quantization = schema.QuantizationParametersT()
        buffer = schema.BufferT()
        buffer.data = values.astype(np.float16).view(np.uint8)
        file.buffers.append(buffer)
        emptied.add(tensor.buffer)
        tensor.buffer = 0  # buffer 0 has no data
        graph.tensors.append(half)
        operator = schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs, operator.outputs = [len(graph.tensors) - 1], [index]
        operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
        operator.builtinOptions = schema.DequantizeOptionsT()
        operators.append(operator)
    graph.operators = operators + graph.operators
    for index in emptied - {tensor.buffer for tensor in graph.tensors}:
        file.buffers[index].data = None


def _dequantize_code(file) -> int:
    """The index of DEQUANTIZE among the file's operators; it is added if needed."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 3
    for place, known in enumerate(file.operatorCodes):
        if (known.builtinCode, known.version) == (code.builtinCode, code.version):
            return place
    file.operatorCodes.append(code)
    return len(file.operatorCodes) - 1


def write_archive(
    folder: str | os.PathLike, model: keras.Model, endpoints: dict[str, Callable]
) -> None:
    """Writes a SavedModel with one signature for each endpoint.

    Args:
        folder: the folder of the SavedModel.
        model: the model that the endpoints call.
        endpoints: signature -> tf.function.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, function in endpoints.items():
        archive.add_endpoint(name, function)
    archive.write_out(str(folder), verbose=False)
