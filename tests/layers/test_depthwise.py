"""The depthwise convolution is Keras' own in all but the speed of one gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from segnet_tf.layers import FastDepthwiseConv2D, depthwise


def reference(x, kernel):
    """The convolution with padding "same", pixel by pixel, in float64."""
    rows, columns = kernel.shape[:2]
    ends = [((n - 1) // 2, n // 2) for n in (rows, columns)]
    padded = np.pad(x.astype(np.float64), [(0, 0), *ends, (0, 0)])
    y = np.zeros(x.shape)
    for i, j in np.ndindex(rows, columns):
        y += padded[:, i : i + x.shape[1], j : j + x.shape[2]] * kernel[i, j, :, 0]
    return y


def reference_gradients(x, kernel, upstream):
    """Of sum(y * upstream), with respect to x and to the kernel."""
    rows, columns = kernel.shape[:2]
    ends = [((n - 1) // 2, n // 2) for n in (rows, columns)]
    padded = np.pad(x.astype(np.float64), [(0, 0), *ends, (0, 0)])
    of_padded, of_kernel = np.zeros(padded.shape), np.zeros(kernel.shape)
    height, width = x.shape[1:3]
    for i, j in np.ndindex(rows, columns):
        window = np.s_[:, i : i + height, j : j + width]
        of_padded[window] += upstream * kernel[i, j, :, 0]
        of_kernel[i, j, :, 0] = (padded[window] * upstream).sum((0, 1, 2))
    (top, _), (left, _) = ends
    return of_padded[:, top : top + height, left : left + width], of_kernel


def built(kind, size, channels, **arguments):
    keras.utils.set_random_seed(0)
    layer = kind(size, padding="same", use_bias=False, **arguments)
    layer.build((None, None, None, channels))
    return layer


def step(layer, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) * upstream)
    return layer(x), *tape.gradient(loss, [x, layer.kernel.value])


WAYS = {
    "eager": lambda function: function,
    "graph": tf.function,
    "unknown sizes": lambda function: tf.function(
        function, input_signature=[tf.TensorSpec([None, None, None, 3])] * 2
    ),
    "jit": lambda function: tf.function(function, jit_compile=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [5, 7, (5, 9), (6, 6)])
@pytest.mark.parametrize("shape", [(2, 9, 12, 3), (1, 4, 3, 3), (1, 1, 1, 3)])
def test_values_and_gradients(rng, way, size, shape):
    layer = built(FastDepthwiseConv2D, size, 3)
    x, upstream = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    function = WAYS[way](lambda x, upstream: step(layer, x, upstream))
    y, of_x, of_kernel = function(tf.constant(x), tf.constant(upstream))
    kernel = layer.kernel.numpy()
    assert_allclose(y, reference(x, kernel), atol=1e-5)
    expected = reference_gradients(x, kernel, upstream)
    assert_allclose(of_x, expected[0], atol=1e-5)
    assert_allclose(of_kernel, expected[1], atol=1e-4)


def gradient_paddings(layer, dtype="float32"):
    """The padding of each filter gradient in the graph of a step."""
    spec = tf.TensorSpec([1, 9, 9, 3], dtype)
    graph = (
        tf.function(lambda x: step(layer, x, 1)[2]).get_concrete_function(spec).graph
    )
    return [
        operation.get_attr("padding")
        for operation in graph.get_operations()
        if operation.type == "DepthwiseConv2dNativeBackpropFilter"
    ]


@pytest.mark.skipif(depthwise.has_gpu(), reason="a GPU keeps its own kernels")
def test_only_large_filters_take_the_other_kernel():
    assert gradient_paddings(built(FastDepthwiseConv2D, 5, 3)) == [b"EXPLICIT"]
    assert gradient_paddings(built(FastDepthwiseConv2D, 3, 3)) == [b"SAME"]
    double = built(FastDepthwiseConv2D, 5, 3, dtype="float64")
    assert gradient_paddings(double, "float64") == [b"SAME"]


def test_a_gpu_keeps_its_own_kernels(monkeypatch):
    monkeypatch.setattr(depthwise, "has_gpu", lambda: True)
    assert gradient_paddings(built(FastDepthwiseConv2D, 5, 3)) == [b"SAME"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"dilation_rate": 2},
        {"strides": 2},
        {"padding": "valid"},
        {"use_bias": True, "bias_initializer": "ones"},
        {"activation": "relu"},
        {"depth_multiplier": 2},
        {"dtype": "mixed_bfloat16"},
    ],
)
def test_every_other_option_is_kerass_own(rng, arguments):
    x = rng.normal(size=(2, 11, 13, 3)).astype(np.float32)
    own, kerass = (
        kind(5, **{"padding": "same", "use_bias": False, **arguments})
        for kind in (FastDepthwiseConv2D, keras.layers.DepthwiseConv2D)
    )
    for layer in (own, kerass):
        layer.build(x.shape)
    own.set_weights(kerass.get_weights())
    results = []
    for layer in (own, kerass):
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 2)
        results.append((y, *tape.gradient(loss, [v.value for v in layer.variables])))
    for value, expected in zip(*results, strict=True):
        assert_allclose(
            tf.cast(value, "float32"),
            tf.cast(expected, "float32"),
            rtol=1e-4,
            atol=1e-4,
        )


def test_it_is_saved_as_itself(tmp_path, rng):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, built(FastDepthwiseConv2D, 5, 3)(image))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[-1]) is FastDepthwiseConv2D
    x = rng.normal(size=(1, 8, 8, 3)).astype(np.float32)
    assert_allclose(loaded(x), model(x))
