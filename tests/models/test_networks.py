"""Every network: size, names, odd shapes, learning, saving, pooling modes."""

import os
import subprocess
import sys
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from networks import SMALL, small, street, trainable_parameters

from segnet_tf.datasets import camvid
from segnet_tf.export.xnnpack import xnnpack_model
from segnet_tf.inference.model_file import read_labels, save_model
from segnet_tf.layers.devices import has_gpu
from segnet_tf.layers.normalization import LocalResponseNormalization
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models import SegNet, SegNetBasic, SegNetLite
from segnet_tf.models.clone import with_pooling_mode
from segnet_tf.models.networks import NETWORKS, build
from segnet_tf.training.pixel_loss import PixelLoss

ALL = pytest.mark.parametrize("name", NETWORKS)

untouched = cache(small)
"""A small network, for tests that leave it as it is."""


def test_parameters_of_the_paper():
    assert trainable_parameters(SegNet()) == 29_441_419
    assert trainable_parameters(SegNetBasic()) == 1_416_075


@ALL
def test_the_record_says_how_many_parameters(name):
    assert trainable_parameters(build(name)) == NETWORKS[name].parameters


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


LEVELS = {
    **dict.fromkeys(("segnet", "bayesian_segnet"), 3),
    **dict.fromkeys(("segnet_lite", "segnet_basic", "bayesian_segnet_basic"), 4),
    **dict.fromkeys(("basic_encoder_addition", "basic_single_channel_decoder"), 4),
}
"""Poolings of the small networks that unpool."""


@ALL
def test_every_level_unpools_to_its_own_positions(name):
    model = untouched(name)
    pools = [la for la in model.layers if isinstance(la, MaxPoolingWithArgmax2D)]
    unpools = [la for la in model.layers if isinstance(la, MaxUnpooling2D)]
    assert len(pools) == len(unpools)
    assert bool(unpools) == NETWORKS[name].unpools
    if name in LEVELS:
        assert len(unpools) == LEVELS[name]
    for pool, unpool in zip(pools, reversed(unpools), strict=True):
        # (values, positions) positionally, and the pooling's input as `like`.
        assert unpool.input[1] is pool.output[1]


@ALL
@pytest.mark.parametrize("size", [(32, 32), (45, 60), (37, 51), (1, 1), (3, 70)])
def test_any_size_in_same_size_out(name, size):
    model = untouched(name)
    image = np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype("float32")
    logits = model(image)
    assert logits.shape == (2, *size, 11)
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()


@ALL
def test_one_graph_serves_all_sizes(name):
    # As training, evaluation and a SavedModel run it.
    model = untouched(name)
    spec = tf.TensorSpec((None, None, None, 3), tf.float32)
    graph = tf.function(lambda x: model(x, training=False), input_signature=[spec])
    image = np.random.default_rng(3).uniform(0, 255, (1, 19, 30, 3)).astype("float32")
    expected = model(image, training=False).numpy()
    atol = 1e-4 * np.ptp(expected)
    np.testing.assert_allclose(graph(image), expected, atol=atol)


@ALL
@pytest.mark.parametrize("classes, channels", [(3, 4), (1, 1)])
def test_other_class_and_channel_counts(name, classes, channels):
    model = small(name, num_classes=classes, input_channels=channels)
    image = np.zeros((1, 16, 16, channels), "float32")
    assert model(image).shape == (1, 16, 16, classes)


@ALL
def test_all_modes_give_the_same_logits(name):
    model = untouched(name)
    image = np.random.default_rng(1).uniform(0, 255, (1, 45, 38, 3)).astype("float32")
    expected = model(image, training=False)
    for mode in ("window", "mask"):
        twin = with_pooling_mode(model, mode)
        positional = MaxPoolingWithArgmax2D | MaxUnpooling2D
        modes = {la.mode for la in twin.layers if isinstance(la, positional)}
        assert modes <= {mode}
        # A GPU adds in another order, to logits of hundreds.
        near = {"rtol": 1e-6 if has_gpu() else 1e-7, "atol": 1e-4}
        np.testing.assert_allclose(twin(image, training=False), expected, **near)
    with pytest.raises(ValueError, match="mode must be one of"):
        with_pooling_mode(model, "nearest")


QUICK = {
    "segnet": (SMALL["segnet"], 280),
    "segnet_basic": (SMALL["segnet_basic"], 160),
    "segnet_lite": ({"encoder_weights": "imagenet"}, 280),
}
"""Arguments, and steps to learn four scenes of 64x96 by heart."""


@pytest.mark.parametrize("name", QUICK)
def test_overfits_four_scenes(name):
    arguments, steps = QUICK[name]
    keras.utils.set_random_seed(0)
    assert overfitted(build(name, **arguments), (64, 96), steps) > 0.95


DEEP = {"encoder": ((16, 16), (32, 32), (32,), (48,), (48,)), "dropout": 0.2}
"""Half of so few features, six times, leaves too little to learn by heart."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "fcn8s" else pytest.mark.slow)
        for name in NETWORKS
        if name not in QUICK
    ],
)
def test_the_others_overfit_four_small_scenes(name):
    model = small(name, **(DEEP if name == "bayesian_segnet" else {}))
    # Interpolated scores of 3x4 places can draw no more.
    least = 0.85 if name == "basic_bilinear" else 0.95
    # Deconvolutions of all features, never normalised: 1e-2 shakes them.
    rate = 3e-3 if name.endswith("no_dim_reduction") else 1e-2
    assert overfitted(model, (48, 64), 300, rate) > least


def overfitted(model, size, steps, rate=1e-2) -> float:
    """Accuracy on four scenes after so many steps on them."""
    images, labels = street(4, *size)
    rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(rate), PixelLoss())
    # One batch, so the moving statistics settle on the very images they are used on.
    model.fit(images, labels, batch_size=4, epochs=steps, verbose=0)
    predictions = model.predict(images, verbose=0).argmax(-1)
    return float((predictions == labels)[labels != 255].mean())


def test_a_new_process_loads_the_same_logits(tmp_path):
    images, labels = street(1, 40, 50)
    np.save(tmp_path / "images.npy", images)
    expected = {}
    for name in NETWORKS:
        model = small(name)
        model.compile("sgd", PixelLoss(), run_eagerly=True)
        model.train_on_batch(images, labels)
        path = tmp_path / f"{name}.keras"
        save_model(model, path, camvid.INFO)
        expected[name] = np.asarray(model(images, training=False))
        assert read_labels(path) == camvid.INFO
    # One process for all of them: it is TensorFlow's import that takes its time.
    code = (
        "import sys, numpy, segnet_tf\n"
        "images = numpy.load('images.npy')\n"
        "for name in sys.argv[1:]:\n"
        "    model = segnet_tf.load_model(name + '.keras')\n"
        "    assert getattr(model, 'optimizer', None) is None\n"
        "    numpy.save(name + '.npy', model(images, training=False))\n"
    )
    command = [sys.executable, "-c", code, *NETWORKS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    for name, logits in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), logits, name)


@ALL
def test_export_knows_every_layer(name):
    model = untouched(name)
    image = np.random.default_rng(2).uniform(0, 255, (1, 21, 30, 3)).astype("float32")
    expected = model(image, training=False).numpy()
    found = xnnpack_model(model, 21, 30)(image, training=False)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(expected))


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
    with pytest.raises(ValueError, match="layer stem.*needs width=1"):
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
