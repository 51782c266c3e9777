"""Exports, run by the runtimes they are for, against Keras and NumPy loops."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from conftest import ROOT
from keras import layers
from networks import ON_DEVICE, network
from numpy.testing import assert_allclose, assert_array_equal

from segnet_tf.commands.export import MOST_BY_DEFAULT, default_size, output_path
from segnet_tf.datasets import load
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.export import converter, parity, winograd
from segnet_tf.export.describe import describe, operators
from segnet_tf.export.onnx import export_onnx
from segnet_tf.export.quantization import calibration_files
from segnet_tf.export.savedmodel import export_savedmodel
from segnet_tf.export.tflite import export_tflite
from segnet_tf.export.xnnpack import xnnpack_model
from segnet_tf.inference.model_file import SHIPPED_MODELS, read_labels, save_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.inference.receptive_field import receptive_field, size_multiple
from segnet_tf.inference.runtimes import Runtime, open_runtime, open_tflite
from segnet_tf.inference.tflite_metadata import interpreter, read_metadata, resize
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models.networks import build


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Times are not what these tests are about; small convolutions stand for large."""
    monkeypatch.setattr(parity, "RUNS", 1)
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", {3: 16, 7: 8})


EACH = pytest.mark.parametrize("name", ON_DEVICE)


def scene(height: int, width: int) -> np.ndarray:
    image, _ = load("synthetic", "val:1").read(0)
    return parity.fitted(image, (height, width))


def round_trip_model(channels: int, levels: int = 1) -> keras.Model:
    """Pools and unpools: what comes out is the maxima at their places, else zero."""
    x = image = keras.Input((None, None, channels))
    stack = []
    for _ in range(levels):
        pooled, positions = MaxPoolingWithArgmax2D()(x)
        stack.append((x, positions))
        x = pooled
    for before, positions in reversed(stack):
        x = MaxUnpooling2D()(x, positions, like=before)
    return keras.Model(image, x)


def expected_round_trip(x: np.ndarray, levels: int = 1) -> np.ndarray:
    pooled, which = reference.pool(x)
    if levels > 1:
        pooled = expected_round_trip(pooled, levels - 1)
    return reference.unpool(pooled, which, *x.shape[1:3])


def tricky(kind: str, shape: tuple) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = {
        "ties": rng.integers(0, 3, shape),
        "all zero": np.zeros(shape),
        "all negative": -1 - rng.random(shape),
        "tiny": 1e-30 * rng.random(shape),
        "mixed": rng.choice([-1e30, -1e-30, 1e-30, 1e30], shape),
    }
    return values[kind].astype(np.float32)


KINDS = pytest.mark.parametrize(
    "kind", ("ties", "all zero", "all negative", "tiny", "mixed")
)


# --- XNNPACK's operators --------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 1), (2, 3)])
@pytest.mark.parametrize("floor", [False, True])
def test_positions_for_xnnpack_are_the_reference(kind, size, floor):
    x = tricky(kind, (1, *size, 3))
    twin = xnnpack_model(round_trip_model(3), *size, floor=floor)
    assert_array_equal(twin(x), expected_round_trip(x))


# What TensorFlow's GPU delegate takes, from `gpu_compatibility.cc` before CEIL was
# added to it; only the names that our networks may need.
GPU_OPERATORS = set(
    "ADD CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE FLOOR "
    "FULLY_CONNECTED LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL NEG PAD QUANTIZE "
    "RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RSQRT SLICE SOFTMAX "
    "SPACE_TO_DEPTH SPLIT SPLIT_V SQRT STRIDED_SLICE SUB TRANSPOSE_CONV "
    "DELEGATE".split()
)


@pytest.mark.parametrize(
    "name",
    [
        "segnet_basic",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("segnet_lite", "fcn8s")),
    ],
)
def test_a_file_for_gpus_has_only_their_operators(name, tmp_path):
    model, size = network(name), (64, 64)
    scores, used = {}, {}
    for consumer in (None, "gpu"):
        path = tmp_path / f"{consumer}.tflite"
        options = {"input": "float32", "consumer": consumer}
        export_tflite(model, path, INFO, size, **options)
        loaded = interpreter(path)
        loaded.allocate_tensors()
        used[consumer] = set(operators(loaded)["operators"])
        scores[consumer] = open_tflite(path).run(scene(*size))
    assert used["gpu"] <= GPU_OPERATORS, used["gpu"] - GPU_OPERATORS
    assert ("CEIL" in used[None]) == (name != "fcn8s"), "or else the test sees nothing"
    assert_allclose(scores["gpu"], scores[None], atol=1e-4 * np.ptp(scores[None]))


@pytest.mark.parametrize("size", [(8, 12), (5, 7)])
def test_integer_form_is_the_reference_where_differences_are_whole_steps(size):
    x = tricky("ties", (1, *size, 3))
    twin = xnnpack_model(round_trip_model(3), *size, integer=True)
    assert_array_equal(twin(x), expected_round_trip(x))


@EACH
@pytest.mark.parametrize("fewer_products", [False, True])
@pytest.mark.parametrize("size", [(32, 48), (45, 38)])
def test_network_for_xnnpack_is_the_network(name, size, fewer_products):
    model = network(name)
    image = scene(*size)[None].astype(np.float32)
    expected = model(image, training=False).numpy()
    twin = xnnpack_model(model, *size, winograd=fewer_products)
    output = twin(image, training=False).numpy()
    # SegNetBasic's roots differ in the last bits; nothing else should.
    assert_allclose(output, expected, atol=1e-4 * np.ptp(expected))


def test_network_for_xnnpack_is_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network("segnet_lite")
    finally:
        keras.config.set_dtype_policy("float32")
    assert {
        layer.dtype_policy.name for layer in xnnpack_model(model, 32, 32).layers
    } == {"float32"}


@pytest.mark.parametrize(
    "name, multiple", [("segnet", 32), ("segnet_basic", 16), ("segnet_lite", 16)]
)
def test_multiple_of_the_full_networks(name, multiple):
    assert size_multiple(build(name)) == multiple


# --- TFLite --------------------------------------------------------------------------


def exported(tmp_path, model, size, **arguments):
    path = tmp_path / "model.tflite"
    export_tflite(model, path, INFO, size, **arguments)
    return path


def allocated(path):
    loaded = interpreter(path)
    loaded.allocate_tensors()
    return loaded


def run(path, image):
    return open_runtime(path).run(image)


@pytest.fixture(scope="module")
def round_trips(tmp_path_factory):
    """Pooling and unpooling at three levels, as CamVid's 45 rows do: 45, 23, 12."""
    info = DatasetInfo("three", ("a", "b", "c"), ((0,) * 3,) * 3)
    paths = {}
    for size in ((45, 60), (16, 24)):
        paths[size] = tmp_path_factory.mktemp("trips") / "model.tflite"
        export_tflite(
            round_trip_model(3, levels=3),
            paths[size],
            info,
            size,
            input="float32",
        )
    return paths


@KINDS
@pytest.mark.parametrize("size", [(45, 60), (16, 24)])
def test_litert_puts_maxima_where_the_reference_does(round_trips, size, kind):
    x = tricky(kind, (1, *size, 3))
    expected = expected_round_trip(x, levels=3)[0]
    assert_array_equal(run(round_trips[size], x[0]), expected)


@EACH
def test_network_is_one_piece_and_right(name, tmp_path):
    model = network(name)
    path = exported(tmp_path, model, (64, 96))
    found = operators(allocated(path))
    assert found["not_delegated"] == {}
    assert found["delegated_pieces"] == 1
    # Batch normalisation and ReLU must have gone into the convolutions.
    assert not {"RELU", "RELU6", "RESHAPE", "PADV2"} & set(found["operators"])
    # Noise, since in even areas the corners of a window differ by rounding alone.
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    report = parity.measure(model, open_runtime(path), "none", [noise])
    assert report["passed"], report["failures"]


def test_float32_is_the_fast_form_and_float16_the_small_one(tmp_path):
    """Winograd's sixteen depthwise convolutions for each large one, in float32 only."""
    model = network("segnet")
    large = len(winograd.faster_convolutions(model, winograd=True)[0])
    assert large == 8
    for quantize, count in (("none", 16 * large), ("float16", 0)):
        path = exported(tmp_path, model, (32, 32), quantize=quantize)
        found = operators(allocated(path))["operators"]
        assert found.get("DEPTHWISE_CONV_2D", 0) == count
        # Each map is padded in four ways, of which one is "same" padding.
        assert found.get("PAD", 0) == 3 * count / 16


def test_odd_size(tmp_path):
    model = network("segnet_basic")
    path = exported(tmp_path, model, (45, 60))
    assert read_metadata(path).multiple is None
    image = scene(45, 60)
    expected = model(image[None].astype(np.float32), training=False)[0]
    assert_allclose(run(path, image), expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("name", ["segnet", "segnet_lite"])
def test_file_at_a_multiple_takes_other_multiples(name, tmp_path):
    model = network(name)
    path = exported(tmp_path, model, (32, 48), input="float32")
    metadata = read_metadata(path)
    metadata.check_size(64, 16)
    loaded = interpreter(path)
    resize(loaded, 64, 16)
    image = scene(64, 16)[None].astype(np.float32)
    loaded.set_tensor(loaded.get_input_details()[0]["index"], image)
    loaded.invoke()
    output = loaded.get_tensor(loaded.get_output_details()[0]["index"])
    expected = model(image, training=False)
    assert_allclose(output, expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("size, multiple", [((32, 48), 16), ((30, 48), None)])
def test_size_that_a_file_does_not_take(size, multiple):
    from segnet_tf.inference.tflite_metadata import Metadata

    metadata = Metadata(INFO, "logits", size, multiple)
    metadata.check_size(*size)
    with pytest.raises(UserError, match="40x48: this file takes"):
        metadata.check_size(40, 48)


def test_size_at_which_a_runtime_cannot_count_the_values():
    from segnet_tf.inference.tflite_metadata import Metadata
    from segnet_tf.inference.tiling import ReceptiveField

    field = ReceptiveField(16, 64, channels=64)
    metadata = Metadata(INFO, "logits", (32, 48), 16, field)
    metadata.check_size(5792, 5792)
    with pytest.raises(UserError, match="5808x5808: .* 2,158,903,296 values"):
        metadata.check_size(5808, 5808)


def test_export_refuses_a_size_at_which_a_runtime_cannot_count(tmp_path):
    names = tuple(f"class {n}" for n in range(128))
    info = replace(INFO, classes=names, colours=((0, 0, 0),) * 128)
    model = build("segnet_lite", 128)
    with pytest.raises(UserError, match="4096x4096: .* 2,147,483,648 values"):
        export_tflite(model, tmp_path / "m.tflite", info, (4096, 4096))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "output, dtype, depth",
    [
        ("logits", "float32", (11,)),
        ("probabilities", "float32", (11,)),
        ("labels", "uint8", ()),
    ],
)
def test_outputs(output, dtype, depth, tmp_path):
    model = network("segnet_basic")
    path = exported(tmp_path, model, (32, 48), result=output)
    image = scene(32, 48)
    got = run(path, image)
    assert got.dtype == dtype and got.shape == (32, 48, *depth)
    logits = model(image[None].astype(np.float32), training=False)[0].numpy()
    if output == "labels":
        assert (got == logits.argmax(-1)).mean() > 0.999
    if output == "probabilities":
        assert_allclose(got, tf.nn.softmax(logits), atol=1e-3)


def test_float16_halves_large_kernels_alone(tmp_path, monkeypatch):
    share = 0.03
    monkeypatch.setattr(converter, "LARGE", share)
    model = network("segnet")
    path = exported(tmp_path, model, (32, 32), quantize="float16")
    constants = allocated(path).get_tensor_details()
    halves = [np.prod(t["shape"]) for t in constants if t["dtype"] == np.float16]
    kernels = [
        np.prod(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    # Biases and the few constants of pooling are next to nothing beside the kernels.
    large = [size for size in kernels if size >= share * sum(kernels)]
    assert 0 < len(large) < len(kernels)
    assert sorted(halves) == sorted(large)
    image = scene(32, 32)
    expected = model(image[None].astype(np.float32), training=False)[0]
    assert_allclose(run(path, image), expected, atol=0.01 * np.ptp(expected))


def test_half_precision_and_8_bit_weights_are_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(converter, "LARGE", 0.001)
    model = network("segnet")
    sizes = {}
    for quantize in ("none", "float16", "dynamic"):
        path = exported(tmp_path, model, (32, 32), quantize=quantize)
        sizes[quantize] = path.stat().st_size
        if quantize == "float16":
            found = operators(allocated(path))
            assert found["not_delegated"] == {} and found["delegated_pieces"] == 1
    assert sizes["float16"] < 0.7 * sizes["none"]
    assert sizes["dynamic"] < sizes["float16"]


def test_int8_positions_are_exact(tmp_path):
    """Whole numbers, one a quantisation step, survive the trip through 8 bits."""
    info = DatasetInfo("three", ("a", "b", "c"), ((0,) * 3,) * 3)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (8, 12, 3), dtype=np.uint8) for _ in range(100)]
    images[0][0, 0], images[0][7, 11] = 0, 255
    path = tmp_path / "model.tflite"
    export_tflite(
        round_trip_model(3), path, info, (8, 12), quantize="int8", calibration=images
    )
    assert interpreter(path).get_input_details()[0]["dtype"] == np.uint8
    for image in images[:10]:
        expected = expected_round_trip(image[None].astype(np.float32))[0]
        output = run(path, image)
        assert_array_equal(output > 0.5, expected > 0.5)
        assert_allclose(output, expected, atol=1.5)


def test_int8_needs_images(tmp_path):
    with pytest.raises(UserError, match="100 images or more, not 1"):
        exported(
            tmp_path,
            network("segnet"),
            (32, 32),
            quantize="int8",
            calibration=[scene(32, 32)],
        )
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images there"):
        calibration_files(tmp_path / "empty")
    assert not (tmp_path / "model.tflite").exists()


def test_what_cannot_be_exported(tmp_path):
    vector = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(UserError, match="an exported model must map images"):
        exported(tmp_path, vector, (32, 32))
    with pytest.raises(UserError, match="predicts 3 classes, but synthetic has 11"):
        exported(tmp_path, round_trip_model(3), (32, 32))
    image = keras.Input((None, None, 3))
    logits = keras.layers.Conv2D(11, 1)(keras.ops.erfinv(image))
    with pytest.raises(UserError, match="TFLite's builtin operators"):
        exported(tmp_path, keras.Model(image, logits), (32, 32))
    assert not list(tmp_path.iterdir())


# --- What a file says ----------------------------------------------------------------


@pytest.fixture(scope="module")
def lite_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lite")
    return exported(folder, network("segnet_basic"), (32, 48), result="labels")


def test_metadata_is_in_the_file_and_beside_it(lite_file):
    metadata = read_metadata(lite_file)
    assert metadata.info == INFO == read_labels(lite_file)
    assert (metadata.output, metadata.size) == ("labels", (32, 48))
    assert metadata.multiple == 16
    beside = json.loads(lite_file.with_name("labels.json").read_text())
    assert beside["classes"] == list(INFO.classes)


def test_description_names_the_tensors(lite_file):
    text = describe(lite_file)
    assert "uint8 (1, 32, 48, 3)" in text and "uint8 (1, 32, 48)" in text
    assert "multiples of 16" in text and "10 Bicyclist" in text


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda data: data[: len(data) // 2], "names no classes"),
        (lambda data: b"", "not a .tflite file"),
        (lambda data: b"PNG" + data, "not a .tflite file"),
        (lambda data: data[: data.rindex(b"PK\1\2") - 400], "names no classes"),
    ],
    ids=["cut off", "empty", "foreign", "archive cut off"],
)
def test_damaged_file(lite_file, tmp_path, spoil, message):
    path = tmp_path / "damaged.tflite"
    path.write_bytes(spoil(lite_file.read_bytes()))
    with pytest.raises(UserError, match=message):
        read_metadata(path)


def test_flatbuffer_damaged_before_the_archive(lite_file, tmp_path):
    path = tmp_path / "damaged.tflite"
    path.write_bytes(lite_file.read_bytes()[:100])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.json", json.dumps(read_metadata(lite_file).as_dict()))
    with pytest.raises(UserError, match="LiteRT cannot run it"):
        describe(path)


def test_reading_a_file_needs_no_tensorflow(lite_file):
    check = (
        "import sys; from segnet_tf.export.describe import describe; "
        f"describe({str(lite_file)!r}); "
        "print({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    output = subprocess.check_output([sys.executable, "-c", check], text=True)
    assert output.strip().endswith("set()")


# --- Parity --------------------------------------------------------------------------


def runtime_of(model, change=lambda logits: logits, output="logits"):
    def run(image):
        return change(model(image[None].astype(np.float32), training=False)[0].numpy())

    return Runtime(run, output, INFO)


def one_pixel_in_a_hundred(logits):
    changed = logits.copy()
    changed[::10, ::10] = np.roll(changed[::10, ::10], 1, axis=-1)
    return changed


@pytest.mark.parametrize(
    "quantize, change, failures",
    [
        ("none", lambda logits: logits, 0),
        ("none", lambda logits: logits + 0.01 * np.ptp(logits), 1),
        ("none", one_pixel_in_a_hundred, 2),
        ("float16", lambda logits: logits + 0.01 * np.ptp(logits), 0),
        ("float16", one_pixel_in_a_hundred, 1),
        ("int8", lambda logits: logits, 0),
        ("int8", lambda logits: -logits, 1),
        ("none", lambda logits: logits * np.nan, 2),
    ],
)
def test_verdict(quantize, change, failures):
    model = network("segnet_lite")
    split = load("synthetic", "val:2")
    images = parity.trial_images((48, 64), split, [])
    # The network as it is scores next to nothing: let it be its own teacher.
    taught = type(split)(
        INFO,
        "own",
        split.names,
        lambda index: (
            images[index],
            model(images[index][None].astype(np.float32))[0].numpy().argmax(-1),
        ),
    )
    report = parity.measure(model, runtime_of(model, change), quantize, images, taught)
    assert len(report["failures"]) == failures, report
    assert report["passed"] is (failures == 0)
    assert report["mean_iou"]["keras"] == 1
    json.dumps(report)
    assert "parity" in parity.summary(report)


def test_int8_without_a_data_set_is_not_judged():
    model = network("segnet_lite")
    report = parity.measure(model, runtime_of(model), "int8", [scene(32, 32)])
    assert report["passed"] is None
    assert "not judged" in parity.summary(report)


@pytest.mark.parametrize(
    "passed, name", [(True, "m.tflite"), (False, "m.tflite.rejected")]
)
def test_failing_file_does_not_get_its_name(tmp_path, passed, name):
    path = tmp_path / "m.tflite"
    path.write_text("old")

    def check(written):
        assert written.read_text() == "new"
        return {"passed": passed}

    parity.accept(path, lambda to: to.write_text("new"), check)
    assert path.read_text() == ("new" if passed else "old")
    expected = {"m.tflite", name, f"{name}.json"}
    assert {found.name for found in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_not_judged_leaves_nothing(tmp_path, error):
    def check(_):
        raise error

    def write(path):
        path.write_text("new")
        path.with_name("labels.json").write_text("new")

    path = tmp_path / "m.tflite"
    path.write_text("old")
    (tmp_path / "labels.json").write_text("old")
    with pytest.raises(error):
        parity.accept(path, write, check)
    assert {found.read_text() for found in tmp_path.iterdir()} == {"old"}
    parity.accept(path, write, lambda _: {"passed": True})
    assert path.read_text() == (tmp_path / "labels.json").read_text() == "new"
    names = {"m.tflite", "labels.json", "m.tflite.json"}
    assert {found.name for found in tmp_path.iterdir()} == names


def test_fitted_pads_and_cuts_at_the_bottom_and_right():
    image = np.arange(6).reshape(2, 3)
    assert_array_equal(parity.fitted(image, (3, 2)), [[0, 1], [3, 4], [3, 4]])
    assert_array_equal(parity.fitted(image, (1, 4), fill=9), [[0, 1, 2, 9]])


# --- SavedModel and ONNX -------------------------------------------------------------

SERVER = """
import sys
import numpy as np
import tensorflow as tf

folder, data = sys.argv[1:]
loaded = tf.saved_model.load(folder)
images = np.load(data)["images"]
direct = loaded.signatures["serving_default"](image=tf.constant(images))
files = [tf.io.encode_png(image) for image in images]
encoded = loaded.signatures["serve_encoded"](encoded=tf.stack(files))
for name in ("labels", "probabilities"):
    np.testing.assert_array_equal(direct[name], encoded[name])
np.savez(data, **{name: value.numpy() for name, value in direct.items()})
gif = b"GIF89a" + files[0].numpy()
smaller = tf.io.encode_jpeg(images[0, :9]).numpy()
for encoded, message in (
    ([files[0].numpy(), smaller], "must be of one size"),
    ([gif], "is not a JPEG or PNG"),
    ([b""], "is not a JPEG or PNG"),
    (np.zeros(0, object), "the batch holds no image"),
):
    try:
        encoded = tf.constant(encoded, tf.string)
        loaded.signatures["serve_encoded"](encoded=encoded)
    except tf.errors.InvalidArgumentError as error:
        assert message in str(error), error
    else:
        raise AssertionError(f"went through: {message}")
assert not any(name.startswith("segnet_tf") for name in sys.modules)
"""


@pytest.mark.parametrize("input_dtype", ("uint8", "float32"))
def test_savedmodel_serves_without_this_package(tmp_path, input_dtype):
    model = network("segnet")
    folder = tmp_path / "streets" / "1"
    export_savedmodel(model, folder, INFO, input_dtype)
    with pytest.raises(UserError, match="already there"):
        export_savedmodel(model, folder, INFO)
    assert (folder / "assets.extra" / "labels.json").is_file()
    images = np.stack([scene(37, 50), scene(37, 50)[::-1]])
    if input_dtype == "float32":
        report = parity.measure(model, open_runtime(folder), "none", [images[0]])
        assert report["passed"], report["failures"]
        return
    np.savez(tmp_path / "data.npz", images=images)
    command = [sys.executable, "-c", SERVER, folder, tmp_path / "data.npz"]
    elsewhere = {**os.environ, "PYTHONPATH": ""}
    result = subprocess.run(
        command, cwd=tmp_path, env=elsewhere, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    served = np.load(tmp_path / "data.npz")
    assert served["labels"].dtype == np.uint8
    logits = model(images.astype(np.float32), training=False).numpy()
    assert (served["labels"] == logits.argmax(-1)).mean() > 0.999
    assert_allclose(served["probabilities"], tf.nn.softmax(logits), atol=1e-3)


@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
@EACH
def test_onnx_gives_the_same(name, tmp_path):
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    model = network(name)
    path = tmp_path / "model.onnx"
    export_onnx(model, path, INFO)
    images = [scene(45, 60), scene(45, 60)[::-1]]
    runtime = open_runtime(path)
    report = parity.measure(model, runtime, "none", images)
    assert report["passed"], report["failures"]
    assert runtime.receptive_field == receptive_field(model) is not None


def test_onnx_without_its_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match="needs the package onnx"):
        export_onnx(network("segnet"), tmp_path / "m.onnx", INFO)


# --- The command ---------------------------------------------------------------------


def test_command(run_command, tmp_path):
    save_model(network("segnet"), tmp_path / "m.keras", INFO)
    flags = ["--model", "m.keras", "--size", "64x96"]
    result = run_command("export.py", *flags, cwd=tmp_path, check=False)
    assert result.returncode in (0, 1), result.stderr
    name = "m_float32.tflite" + (".rejected" if result.returncode else "")
    report = json.loads((tmp_path / f"{name}.json").read_text())
    assert report["delegated_pieces"] == 1
    assert ("passed" if not result.returncode else "FAILED") in result.stdout
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--describe", "nothing.tflite"], "nothing.tflite: no such model file"),
        (["--model", "m.keras", "--output", "m.bin"], "must end in .tflite"),
        (
            ["--model", "m.keras", "--format", "savedmodel", "--output", "m"],
            "servers want a version",
        ),
        (["--model", "m.keras", "--output", "dir.tflite"], "dir.tflite: is a folder"),
        (["--model", "m.keras", "--calibration", "x"], "is for --quantize int8"),
        (
            ["--model", "m.keras", "--format", "savedmodel", "--result", "labels"],
            "--result is for --format tflite",
        ),
        (
            ["--model", "m.keras", "--format", "onnx", "--input", "uint8"],
            "--input is for --format tflite and savedmodel",
        ),
        (["--model", "m.keras", "--for", "nobody"], "--for: no 'nobody'"),
        (
            ["--model", "m.keras", "--for", "mediapipe", "--result", "labels"],
            "--for mediapipe: reads logits, not labels",
        ),
        (
            ["--model", "m.keras", "--format", "onnx", "--for", "gpu"],
            "--for is for --format tflite",
        ),
        (["--height", "64"], "--height: is called --size HxW now"),
        (["--size", "64"], "invalid HxW size value: '64'"),
        (["--size", "0x64"], "invalid HxW size value: '0x64'"),
        (["--format", "coreml"], "no 'coreml': choose from tflite, savedmodel, onnx"),
        (["--quantize", "int4"], "no 'int4': choose from none, float16"),
        (["--quantize", "int8"], "100 images or more, not 0"),
    ],
)
def test_command_refuses(run_command, tmp_path, flags, message):
    (tmp_path / "m.keras").touch()
    (tmp_path / "dir.tflite").mkdir()
    result = run_command("export.py", *flags, cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["dir.tflite", "m.keras"]


def exported_at_64(model, path):
    info = replace(INFO, classes=INFO.classes[:2], colours=INFO.colours[:2])
    return export_tflite(model, path, info, (64, 64))


@pytest.mark.parametrize(
    "layer, message",
    [
        (layers.Conv2D(2, 3, strides=2, padding="same"), "turns 64x64 into 32x32"),
        (layers.Conv2D(2, 3), "turns 64x64 into 62x62"),
    ],
)
def test_what_does_not_keep_the_size_is_refused(tmp_path, layer, message):
    image = keras.Input((None, None, 3))
    with pytest.raises(UserError, match=message):
        exported_at_64(keras.Model(image, layer(image)), tmp_path / "m.tflite")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "size, message", [((0, 64), "no image has"), ((10**6, 10**6), "in one piece")]
)
def test_sizes_out_of_reach(tmp_path, size, message):
    with pytest.raises(UserError, match=message):
        export_tflite(network("segnet_lite"), tmp_path / "m.tflite", INFO, size)
    assert not any(tmp_path.iterdir())


def test_a_layer_used_twice(tmp_path):
    """Its receptive field is not known, so large images run whole; all else works."""
    image = keras.Input((None, None, 3))
    twice = layers.Conv2D(3, 3, padding="same", name="twice")
    model = keras.Model(image, layers.Conv2D(2, 1)(twice(twice(image))))
    metadata = exported_at_64(model, tmp_path / "m.tflite")
    assert metadata.receptive_field is None
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    expected = np.asarray(model(noise[None].astype(np.float32)))[0].argmax(-1)
    labels = Predictor(tmp_path / "m.tflite").labels(noise)
    assert (labels == expected).mean() > 0.999


def test_a_model_of_one_size_is_refused_at_another(tmp_path):
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, layers.Conv2D(2, 1)(image))
    with pytest.raises(UserError, match="takes 32x32 only, not 64x64"):
        exported_at_64(model, tmp_path / "m.tflite")


def test_a_file_that_holds_its_size_says_so(tmp_path):
    """Bilinear resizing is written down with the size it was exported at."""
    x = image = keras.Input((None, None, 3))
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    model = keras.Model(image, layers.Conv2D(2, 1)(x))
    metadata = exported_at_64(model, tmp_path / "m.tflite")
    assert metadata.multiple is None
    predictor = Predictor(tmp_path / "m.tflite")
    assert predictor.labels(np.zeros((64, 64, 3), np.uint8)).shape == (64, 64)
    with pytest.raises(UserError, match="^32x32: this file takes 64x64"):
        predictor.labels(np.zeros((32, 32, 3), np.uint8))


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_a_deep_convolution_under_the_last_pooling(tmp_path, options):
    """Winograd's form needs even sizes there: the multiple has to say so."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((None, None, 3))
    x = layers.Conv2D(128, 3, padding="same")(layers.Rescaling(1 / 255)(x))
    before = layers.BatchNormalization(**options)(x)
    x, positions = MaxPoolingWithArgmax2D("argmax")(before)
    x = layers.Conv2D(128, 3, padding="same")(x)
    x = MaxUnpooling2D("argmax")(x, positions, like=before)
    model = keras.Model(image, layers.Conv2D(2, 1)(x))
    metadata = exported_at_64(model, tmp_path / "m.tflite")
    assert metadata.multiple in (2, 4)
    predictor = Predictor(tmp_path / "m.tflite")
    for size in ((64, 64), (3 * metadata.multiple, 5 * metadata.multiple)):
        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        expected = np.asarray(model(noise[None].astype(np.float32)))[0].argmax(-1)
        assert (predictor.labels(noise) == expected).mean() > 0.99


def test_the_size_is_the_models_rounded_up(run_command, tmp_path):
    info = replace(INFO, image_size=(36, 45))
    save_model(network("segnet_basic"), tmp_path / "m.keras", info)
    run_command("export.py", "--model", "m.keras", cwd=tmp_path, check=False)
    [report] = tmp_path.glob("m_float32.tflite*.json")
    assert json.loads(report.read_text())["size"] == [48, 48]


def test_a_model_that_knows_no_size_asks_for_one(run_command, tmp_path):
    save_model(network("segnet_basic"), tmp_path / "m.keras", INFO)
    result = run_command("export.py", "--model=m.keras", cwd=tmp_path, check=False)
    assert result.returncode == 2 and "give --size HxW" in result.stderr


def test_other_classes_are_refused_before_anything_is_compared(run_command, tmp_path):
    other = DatasetInfo("other", tuple("abcdefghijk"), ((0, 0, 0),) * 11)
    save_model(network("segnet_basic"), tmp_path / "m.keras", other)
    flags = ("--model=m.keras", "--size=32x32", "--dataset=synthetic")
    result = run_command("export.py", *flags, cwd=tmp_path, check=False)
    assert result.returncode == 2 and "m.keras predicts a, b, c" in result.stderr
    assert not list(tmp_path.glob("*.tflite*"))


@pytest.mark.parametrize("name", ["segnet_lite_camvid", "segnet_lite_synthetic"])
def test_a_shipped_model_is_not_written_over(tmp_path, monkeypatch, name):
    """However it was reached: through a link, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(ROOT)
    folders = (SHIPPED_MODELS, Path("link") / "saved_models")
    for folder in folders:
        path = output_path("tflite", None, None, folder / name / "model.keras")
        assert path == Path("model_float32.tflite")
    monkeypatch.setattr("segnet_tf.commands.export.SHIPPED_MODELS", folders[1])
    path = output_path("tflite", None, "int8", folders[0] / name / "model.keras")
    assert path == Path("model_int8.tflite")


@pytest.mark.parametrize("size", [(3000, 4000), (4000, 6000), (1500, 2000), (5, 4000)])
def test_the_default_size_of_photos_is_a_megapixel(size):
    height, width = default_size(size, 16)
    assert height % 16 == width % 16 == 0
    assert height * width <= 1.05 * MOST_BY_DEFAULT
    if size[0] > 100:
        assert height / width == pytest.approx(size[0] / size[1], rel=0.03)
