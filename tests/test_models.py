"""Every network: size, names, odd shapes, learning, saving, pooling modes."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from segnet_tf.datasets import camvid
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.losses import PixelCrossEntropy
from segnet_tf.models import MODELS, SegNet, SegNetBasic, SegNetLite, with_pooling_mode
from segnet_tf.models.segnet import LocalResponseNormalization
from segnet_tf.saving import load_model, read_labels, save_model

SMALL = {
    "segnet": {"stages": ((8, 8), (16, 16), (16, 16, 16))},
    "segnet_basic": {"filters": 16},
    "segnet_lite": {"width": 0.5},
}
"""Arguments that make each network small enough to try things on."""

ALL = pytest.mark.parametrize("name", MODELS)


def small(name: str, num_classes: int = 11, **arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    return MODELS[name](num_classes, **SMALL[name], **arguments)


def trainable_parameters(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def street(count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    from segnet_tf.datasets.synthetic import draw_scene

    scenes = [draw_scene(5, index, height, width) for index in range(count)]
    images, labels = (np.stack(parts) for parts in zip(*scenes, strict=True))
    return images.astype(np.float32), labels


def test_parameters_of_the_paper():
    assert trainable_parameters(SegNet()) == 29_441_419
    assert trainable_parameters(SegNetBasic()) == 1_416_075


def test_segnet_lite_is_small():
    assert trainable_parameters(SegNetLite()) <= 1_500_000


def test_layer_names_follow_the_prototxt():
    names = [layer.name for layer in SegNet().layers]
    convolutions = [n for n in names if n.startswith("conv") and "bn" not in n]
    convolutions = [n for n in convolutions if "relu" not in n]
    stages = (2, 2, 3, 3, 3)
    encoder = [f"conv{s}_{i}" for s, n in enumerate(stages, 1) for i in range(1, n + 1)]
    assert convolutions == encoder + [f"{name}_D" for name in reversed(encoder)]
    assert {f"pool{n}" for n in range(1, 6)} <= set(names)
    assert {f"upsample{n}" for n in range(1, 6)} <= set(names)
    relus = {n.removesuffix("_relu") for n in names if n.endswith("_relu")}
    assert relus == set(convolutions) - {"conv1_1_D"}


def test_segnet_basic_has_no_relu_in_its_decoder():
    names = {layer.name for layer in SegNetBasic(filters=8).layers}
    assert {n for n in names if n.endswith("relu")} == {
        f"conv{stage}_relu" for stage in range(1, 5)
    }


@ALL
def test_every_level_unpools_to_its_own_positions(name):
    model = small(name)
    pools = [la for la in model.layers if isinstance(la, MaxPoolingWithArgmax2D)]
    unpools = [la for la in model.layers if isinstance(la, MaxUnpooling2D)]
    assert len(pools) == len(unpools) == (3 if name == "segnet" else 4)
    for pool, unpool in zip(pools, reversed(unpools), strict=True):
        # (values, positions) positionally, and the pooling's input as `like`.
        assert unpool.input[1] is pool.output[1]


@ALL
@pytest.mark.parametrize("size", [(32, 32), (45, 60), (37, 51), (1, 1), (3, 70)])
def test_any_size_in_same_size_out(name, size):
    model = small(name)
    image = np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype("float32")
    logits = model(image)
    assert logits.shape == (2, *size, 11)
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()


@ALL
def test_other_class_and_channel_counts(name):
    model = small(name, num_classes=3, input_channels=4)
    assert model(np.zeros((1, 16, 16, 4), "float32")).shape == (1, 16, 16, 3)


@ALL
def test_all_modes_give_the_same_logits(name):
    model = small(name)
    image = np.random.default_rng(1).uniform(0, 255, (1, 45, 38, 3)).astype("float32")
    expected = model(image, training=False)
    for mode in ("window", "mask"):
        twin = with_pooling_mode(model, mode)
        modes = {la.mode for la in twin.layers if hasattr(la, "mode")}
        assert modes == {mode}
        np.testing.assert_allclose(twin(image, training=False), expected, atol=1e-4)
    with pytest.raises(ValueError, match="mode must be one of"):
        with_pooling_mode(model, "nearest")


@pytest.mark.parametrize(
    "name, arguments, steps",
    [
        ("segnet", SMALL["segnet"], 280),
        ("segnet_basic", SMALL["segnet_basic"], 160),
        ("segnet_lite", {"encoder_weights": "imagenet"}, 280),
    ],
)
def test_overfits_four_scenes(name, arguments, steps):
    images, labels = street(4, 64, 96)
    keras.utils.set_random_seed(0)
    model = MODELS[name](**arguments)
    rate = keras.optimizers.schedules.CosineDecay(1e-2, steps)
    model.compile(keras.optimizers.Adam(rate), PixelCrossEntropy())
    # One batch, so the moving statistics settle on the very images they are used on.
    model.fit(images, labels, batch_size=4, epochs=steps, verbose=0)
    predictions = model.predict(images, verbose=0).argmax(-1)
    assert (predictions == labels)[labels != 255].mean() > 0.95


@ALL
def test_a_new_process_loads_the_same_logits(name, tmp_path):
    model = small(name)
    model.compile("adam", PixelCrossEntropy())
    images, labels = street(1, 40, 50)
    model.fit(images, labels, verbose=0)
    path = tmp_path / "model.keras"
    save_model(model, path, camvid.INFO)
    expected = np.asarray(model(images, training=False))
    code = (
        "import sys, numpy, segnet_tf\n"
        "model = segnet_tf.load_model(sys.argv[1])\n"
        "images = numpy.load(sys.argv[2])\n"
        "numpy.save(sys.argv[3], model(images, training=False))\n"
    )
    np.save(tmp_path / "images.npy", images)
    files = [str(tmp_path / part) for part in ("images.npy", "logits.npy")]
    subprocess.run([sys.executable, "-c", code, str(path), *files], check=True)
    np.testing.assert_array_equal(np.load(files[1]), expected)
    assert read_labels(path) == camvid.INFO
    loaded = load_model(path)
    assert not hasattr(loaded, "optimizer") or loaded.optimizer is None


def test_imagenet_encoder_is_loaded_whole():
    model = SegNetLite(encoder_weights="imagenet")
    fresh = SegNetLite()
    for layer in model.layers:
        is_encoder = layer.name.startswith(("stem", "block"))
        if is_encoder and layer.weights:
            twin = fresh.get_layer(layer.name)
            for weight, start in zip(layer.weights, twin.weights, strict=True):
                assert np.abs(weight.numpy() - start.numpy()).max() > 0


def test_imagenet_encoder_that_does_not_fit_names_the_layer():
    with pytest.raises(ValueError, match="layer stem.*width=1 and RGB"):
        SegNetLite(width=0.5, encoder_weights="imagenet")
    with pytest.raises(ValueError, match="encoder_weights"):
        SegNetLite(encoder_weights="cifar")


def reference_lrn(x, radius, bias, alpha, beta):
    out = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        low, high = max(0, index[-1] - radius), index[-1] + radius + 1
        energy = (x[index[:-1]][low:high] ** 2).sum()
        out[index] = x[index] / (bias + alpha * energy) ** beta
    return out


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("float16", 2e-3)])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_local_response_normalisation(rng, channels, dtype, rtol):
    x = rng.uniform(0, 255, (2, 3, 4, channels)).astype(dtype)
    layer = LocalResponseNormalization(dtype=dtype)
    expected = reference_lrn(x.astype(np.float64), 2, 1.0, 2e-5, 0.75)
    assert layer(x).dtype == dtype
    np.testing.assert_allclose(layer(x), expected, rtol=rtol)
    assert LocalResponseNormalization.from_config(layer.get_config()).beta == 0.75


@pytest.mark.slow
def test_segnet_lite_is_eight_times_faster_than_segnet():
    import time

    image = tf.random.uniform((1, 360, 480, 3), 0, 255)
    predict = {}
    for builder in (SegNet, SegNetLite):
        model = builder()
        predict[builder] = tf.function(lambda x, m=model: m(x, training=False))
        predict[builder](image)
    seconds = {builder: [] for builder in predict}
    for _ in range(5):
        for builder, function in predict.items():
            start = time.perf_counter()
            function(image).numpy()
            seconds[builder].append(time.perf_counter() - start)
    medians = {builder: np.median(times) for builder, times in seconds.items()}
    assert medians[SegNet] / medians[SegNetLite] >= 8
