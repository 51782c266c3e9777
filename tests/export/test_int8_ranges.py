"""The ranges of int8 files, against Keras' values and the bounds in the graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from networks import network
from numpy.testing import assert_allclose
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.optimize.calibrator import Calibrator
from tensorflow.lite.tools import flatbuffer_utils

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.export.converter import converted
from segnet_tf.export.describe import operators
from segnet_tf.export.ranges import measured_ranges
from segnet_tf.export.tflite import export_tflite
from segnet_tf.export.xnnpack import xnnpack_model
from segnet_tf.inference.runtimes import open_tflite
from segnet_tf.inference.tflite_metadata import interpreter
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D

TWO = DatasetInfo("two", ("a", "b"), ((0, 0, 0),) * 2)


def scenes(size: tuple[int, int], count: int = 100) -> list[np.ndarray]:
    return [draw_scene(7, index, *size)[0] for index in range(count)]


def context_model() -> keras.Model:
    """A ReLU6 is added to wide features; both are pooled and unpooled."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 16, -8)(image)
    wide = layers.Conv2D(4, 3, padding="same", name="wide")(x)
    narrow = layers.Conv2D(4, 1, name="narrow_conv")(wide)
    x = layers.Add(name="sum")([wide, layers.ReLU(6.0, name="narrow")(narrow)])
    pooled, positions = MaxPoolingWithArgmax2D()(x)
    x = MaxUnpooling2D()(pooled, positions, like=x)
    return keras.Model(image, layers.Conv2D(2, 1)(x))


def float_file(model: keras.Model, size: tuple[int, int]) -> bytes:
    """The float32 file that an int8 one is made of."""
    twin = xnnpack_model(model, *size, integer=True)
    image = tf.TensorSpec((1, *size, 3), tf.float32)
    serve = tf.function(lambda x: {"logits": twin(x)}, input_signature=[image])
    return converted(serve, twin, "none", "float32", ())


def contents(flat: bytes):
    file = flatbuffer_utils.convert_bytearray_to_object(bytearray(flat))
    return file, file.subgraphs[0]


def code_of(file, operator) -> int:
    code = file.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def relu6_and_masks(flat: bytes) -> tuple[list[int], list[int]]:
    """The results of ReLU6, and what an unpooling multiplies its values by."""
    file, graph = contents(flat)
    maker = {i: op for op in graph.operators for i in op.outputs}
    relu6, masks = [], []
    for operator in graph.operators:
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", None)
        if fused == schema.ActivationFunctionType.RELU6:
            relu6.append(operator.outputs[0])
        if code_of(file, operator) != schema.BuiltinOperator.DEPTH_TO_SPACE:
            continue
        products = [maker[i] for i in maker[operator.inputs[0]].inputs]
        [values] = set.intersection(*({*product.inputs} for product in products))
        masks += [i for product in products for i in product.inputs if i != values]
    return relu6, masks


def stored_ranges(flat: bytes) -> dict[int, tuple[float, float, float]]:
    """Of each int8 tensor: what -128 and 127 stand for, and one step."""
    found = {}
    for index, tensor in enumerate(contents(flat)[1].tensors):
        if tensor.type == schema.TensorType.INT8 and len(tensor.quantization.scale) < 2:
            [step], [zero] = tensor.quantization.scale, tensor.quantization.zeroPoint
            found[index] = step * (-128 - zero), step * (127 - zero), step
    return found


@pytest.fixture(
    scope="module",
    params=["even", "odd", pytest.param("segnet_lite", marks=pytest.mark.slow)],
)
def file(request, tmp_path_factory):
    size = (45, 38) if request.param == "odd" else (32, 48)
    path = tmp_path_factory.mktemp(request.param) / "model.tflite"
    lite = request.param == "segnet_lite"
    model, info = (network("segnet_lite"), INFO) if lite else (context_model(), TWO)
    export_tflite(model, path, info, size, quantize="int8", calibration=scenes(size))
    return path


def test_no_range_is_wider_than_the_values(file):
    flat = file.read_bytes()
    relu6, masks = relu6_and_masks(flat)
    ranges = stored_ranges(flat)
    assert relu6 and len(masks) % 4 == 0 and masks
    for tensors, top in ((relu6, 6), (masks, 1)):
        for low, high, step in (ranges[tensor] for tensor in tensors):
            assert -step < low <= 0 < high < top + step


def test_all_between_the_ends_is_int8(file):
    """A SPLIT whose last result nobody reads stayed in float32 if chance had it so."""
    loaded = interpreter(file)
    loaded.allocate_tensors()
    found = operators(loaded)
    assert found["operators"]["QUANTIZE"] == found["operators"]["DEQUANTIZE"] == 1
    # QUANTIZE is the image's, from uint8; a SLICE takes the last line of an odd size.
    cut = "SLICE" in found["operators"]
    assert found["not_delegated"].keys() == {"QUANTIZE", *(["SLICE"] if cut else [])}
    assert cut or found["delegated_pieces"] == 1


def test_the_signature_is_the_file(file):
    loaded = interpreter(file)
    loaded.allocate_tensors()
    [image], [output] = loaded.get_input_details(), loaded.get_output_details()
    [scene] = scenes(tuple(image["shape"][1:3]), 1)
    loaded.set_tensor(image["index"], scene[None])
    loaded.invoke()
    expected = loaded.get_tensor(output["index"])
    result = loaded.get_signature_runner("serving_default")(image=scene[None])
    assert list(result) == ["logits"] and np.ptp(expected) > 0
    np.testing.assert_array_equal(result["logits"], expected)


@pytest.mark.parametrize(
    "result, dtype", [("probabilities", "float32"), ("labels", "uint8")]
)
def test_results_that_are_not_scores(tmp_path, result, dtype):
    """Class ids are integers, which have no range to measure."""
    path, size = tmp_path / "model.tflite", (32, 48)
    images, model = scenes(size), context_model()
    options = {"input": "float32", "calibration": images, "result": result}
    export_tflite(model, path, TWO, size, quantize="int8", **options)
    assert interpreter(path).get_input_details()[0]["dtype"] == np.float32
    output = open_tflite(path).run(images[0])
    assert output.dtype == dtype
    labels = output if result == "labels" else output.argmax(axis=-1)
    expected = np.argmax(model(images[0][None].astype(np.float32))[0], axis=-1)
    assert 0 < expected.mean() < 1 and (labels == expected).mean() > 0.95


@pytest.mark.parametrize("size", [(32, 48), (5, 7)])
def test_measured_ranges_are_those_of_keras(size):
    model, images = context_model(), scenes(size, 3)
    flat = float_file(model, size)
    measured = measured_ranges(flat, images)
    assert measured[contents(flat)[1].inputs[0]] == (np.min(images), np.max(images))
    stack = np.stack(images).astype(np.float32)
    for name in ("wide", "narrow", "sum"):
        values = keras.Model(model.input, model.get_layer(name).output)(stack)
        expected = np.min(values), np.max(values)
        found = min(
            measured.values(), key=lambda got: np.abs(np.subtract(got, expected)).max()
        )
        assert_allclose(found, expected, atol=1e-4 * np.ptp(values), err_msg=name)


def test_tensorflows_calibrator_measures_what_was_written_over():
    """The reason for `segnet_tf.export.ranges`; if this fails, it may go."""
    images = scenes((32, 48), 3)
    flat = float_file(context_model(), (32, 48))
    calibrator = Calibrator(flat)
    batches = [image[None].astype(np.float32) for image in images]
    calibrated = calibrator.calibrate(lambda: ([batch] for batch in batches))
    theirs = [tensor.quantization for tensor in contents(calibrated)[1].tensors]
    ours = measured_ranges(flat, images)
    relu6, masks = relu6_and_masks(flat)
    for tensors, top in ((relu6, 6), (masks, 1)):
        assert max(ours[tensor][1] for tensor in tensors) <= top
        assert max(theirs[tensor].max[0] for tensor in tensors) > top + 0.5
    for tensor, (low, high) in ours.items():
        assert theirs[tensor].min[0] <= low + 1e-4
        assert theirs[tensor].max[0] >= high - 1e-4


def test_values_that_are_always_zero(tmp_path):
    path, size = tmp_path / "model.tflite", (32, 48)
    model, images = context_model(), scenes(size)
    dead = model.get_layer("narrow_conv")
    dead.set_weights([np.zeros_like(weight) for weight in dead.get_weights()])
    export_tflite(model, path, TWO, size, quantize="int8", calibration=images)
    expected = model(images[0][None].astype(np.float32))[0]
    output = open_tflite(path).run(images[0])
    # Values that tie but for rounding may end up one pixel further.
    within = np.abs(output - expected) < 0.05 * np.ptp(expected)
    assert np.ptp(expected) > 0 and within.mean() > 0.9


def test_values_without_a_range_are_refused(tmp_path):
    model = context_model()
    wide = model.get_layer("wide")
    wide.set_weights([np.full_like(weight, np.nan) for weight in wide.get_weights()])
    with pytest.raises(UserError, match="wide.*NaN or infinite for a calibration"):
        export_tflite(
            model,
            tmp_path / "model.tflite",
            TWO,
            (32, 32),
            quantize="int8",
            calibration=scenes((32, 32)),
        )
    assert not list(tmp_path.iterdir())
