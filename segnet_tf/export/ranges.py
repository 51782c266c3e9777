"""int8: the range of each tensor, measured on images, and the file that keeps to it.

TensorFlow's calibrator measures an operator's inputs once more after it has run. ADD,
MUL and SUB may write their result over an input, which then gets the result's range: a
ReLU6 that is added to features from -50 to 50 would have 15 of the 256 steps left, and
a mask that is multiplied by it 43. So the network is run here with a place of its own
for every tensor, and TensorFlow's quantiser gets these ranges.
"""

import os
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from segnet_tf.console.progress import Progress
from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.errors import UserError

__all__ = ["Ranges", "measured_ranges", "quantized"]

Ranges = dict[int, tuple[float, float]]
"""Number of a tensor in its file -> the least and the largest value."""


def quantized(flat: bytes, images: Sequence[np.ndarray], input_dtype: str) -> bytes:
    """The int8 form of a float32 file, with the ranges that the images need.

    Args:
        flat: a TFLite flatbuffer of one float32 image (1, H, W, C) and one output.
        images: uint8 (H, W, C).
        input_dtype: "uint8" or "float32"; the output stays float32.

    Raises:
        UserError: if a value of the network is NaN or infinite.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.tools import flatbuffer_utils

    read = flatbuffer_utils.convert_bytearray_to_object
    plain = read(bytearray(flat))
    ranged = deepcopy(plain)
    graph = ranged.subgraphs[0]
    for tensor, (low, high) in measured_ranges(flat, images).items():
        found = graph.tensors[tensor].quantization = schema.QuantizationParametersT()
        found.min, found.max = [low], [high]
    graph.outputs = [*graph.outputs, *_unread(graph)]
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(ranged))
    with notices_kept_back():
        image = tf.dtypes.as_dtype(input_dtype)
        small = read(bytearray(mlir_quantize(content, input_data_type=image)))
    _drop_further_outputs(small, plain)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(small))


def measured_ranges(flat: bytes, images: Sequence[np.ndarray]) -> Ranges:
    """The range of each float32 result, and of the input, over all images.

    Args:
        flat: a TFLite flatbuffer of one float32 image (1, H, W, C).
        images: uint8 (H, W, C).

    Raises:
        UserError: if a value is NaN or infinite.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    graph = flatbuffer_utils.convert_bytearray_to_object(bytearray(flat)).subgraphs[0]
    results = (i for op in graph.operators for i in op.outputs)
    kind = schema.TensorType.FLOAT32
    wanted = [i for i in (*graph.inputs, *results) if graph.tensors[i].type == kind]
    loaded = _with_all_tensors(flat)
    ranges: Ranges = {}
    with Progress(len(images), " images") as progress:
        for image in images:
            loaded.set_tensor(graph.inputs[0], image[None].astype(np.float32))
            loaded.invoke()
            for tensor in wanted:
                # LiteRT does not run while a name holds the values.
                values = loaded.tensor(tensor)
                least, most = float(values().min()), float(values().max())
                if not np.isfinite([least, most]).all():
                    name, *_ = graph.tensors[tensor].name.decode().split(";")
                    raise UserError(
                        f"{name}: NaN or infinite for a calibration image, so int8 has "
                        "no range for it: train the model again"
                    )
                low, high = ranges.get(tensor, (least, most))
                ranges[tensor] = min(low, least), max(high, most)
            progress.step()
    return ranges


def _with_all_tensors(flat: bytes):
    """A LiteRT interpreter that keeps the value of every tensor."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with notices_kept_back():
        loaded = Interpreter(
            model_content=flat,
            num_threads=os.cpu_count(),
            # XNNPACK would keep values to itself.
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        loaded.allocate_tensors()
    return loaded


def _unread(graph) -> list[int]:
    """Results that no operator reads: a pooling needs three of a window's corners.

    The quantiser leaves an operator with such a result in float32, if chance has it so:
    it goes through the graph in the order of memory addresses. If the results are
    outputs, it does not.
    """
    read = {*graph.outputs, *(i for op in graph.operators for i in op.inputs)}
    return [i for op in graph.operators for i in op.outputs if i not in read]


def _drop_further_outputs(small, plain) -> None:
    """Leaves the first output of `small`, and gives it the signature of `plain`."""
    graph = small.subgraphs[0]
    graph.outputs = graph.outputs[:1]
    unread = set(_unread(graph))
    graph.operators = [op for op in graph.operators if not unread >= {*op.outputs}]
    small.signatureDefs = deepcopy(plain.signatureDefs)
    for signature in small.signatureDefs:
        signature.inputs[0].tensorIndex = graph.inputs[0]
        signature.outputs[0].tensorIndex = graph.outputs[0]
