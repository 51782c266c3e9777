"""Cheaper convolutions are the convolutions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segnet_tf.export.winograd import (
    CornerConv2D,
    RowWinogradConv2D,
    WinogradConv2D,
    faster_convolutions,
)
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D


@pytest.mark.parametrize("activation", [tf.identity, tf.nn.relu6])
@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (2, 6, 4, 5), (1, 8, 10, 1)])
def test_it_is_the_convolution(rng, shape, activation):
    x = rng.normal(0, 1, shape).astype(np.float32)
    kernel = rng.normal(0, 1, (3, 3, shape[-1], 4)).astype(np.float32)
    bias = rng.normal(0, 1, 4).astype(np.float32)
    expected = activation(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
    found = WinogradConv2D(kernel, bias, activation)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (4, 5), (7, 3)])
def test_odd_sizes_stay_plain(rng, size):
    x = rng.normal(0, 1, (1, *size, 2)).astype(np.float32)
    kernel = rng.normal(0, 1, (3, 3, 2, 4)).astype(np.float32)
    bias = rng.normal(0, 1, 4).astype(np.float32)
    expected = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
    found = WinogradConv2D(kernel, bias, tf.nn.relu)(x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("activation", [tf.identity, tf.nn.relu6])
@pytest.mark.parametrize("shape", [(1, 4, 4, 3), (2, 8, 12, 5), (1, 16, 4, 1)])
def test_along_the_rows_it_is_the_convolution(rng, shape, activation):
    x = rng.normal(0, 1, shape).astype(np.float32)
    kernel = rng.normal(0, 1, (7, 7, shape[-1], 6)).astype(np.float32)
    bias = rng.normal(0, 3, 6).astype(np.float32)
    exact = tf.nn.conv2d(x.astype(float), kernel.astype(float), 1, "SAME") + bias
    found = RowWinogradConv2D(kernel, bias, activation)(x)
    np.testing.assert_allclose(found, activation(exact), rtol=1e-5, atol=2e-5 * 30)


def test_along_the_rows_few_digits_are_lost(rng):
    """With 64 channels, as in SegNet-Basic: three times float32's own error at most."""
    x = np.maximum(rng.normal(0, 1, (1, 32, 64, 64)), 0).astype(np.float32)
    kernel = rng.normal(0, 1 / 56, (7, 7, 64, 64)).astype(np.float32)
    exact = tf.nn.conv2d(x.astype(float), kernel.astype(float), 1, "SAME")
    plain = np.abs(tf.nn.conv2d(x, kernel, 1, "SAME").numpy() - exact).max()
    found = RowWinogradConv2D(kernel, np.zeros(64))(x).numpy()
    assert np.abs(found - exact).max() < max(3 * plain, 3e-5)


@pytest.mark.parametrize("size", [(1, 1), (8, 6), (10, 8), (7, 9)])
def test_along_the_rows_other_sizes_stay_plain(rng, size):
    x = rng.normal(0, 1, (1, *size, 2)).astype(np.float32)
    kernel = rng.normal(0, 1, (7, 7, 2, 4)).astype(np.float32)
    bias = rng.normal(0, 1, 4).astype(np.float32)
    expected = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
    found = RowWinogradConv2D(kernel, bias, tf.nn.relu)(x)
    np.testing.assert_array_equal(found, expected)


def test_what_is_replaced(rng):
    """Large convolutions with what follows; no small, strided or dilated ones."""

    def convolution(x, name, filters=128, **arguments):
        return keras.layers.Conv2D(filters, 3, padding="same", name=name, **arguments)(
            x
        )

    image = keras.Input((8, 8, 128))
    x = convolution(image, "whole")
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = convolution(x, "clipped")
    x = keras.layers.ReLU(6.0, name="relu6")(x)
    x = convolution(x, "branching")
    x = keras.layers.Add()([x, keras.layers.ReLU(name="branch")(x)])
    x = convolution(x, "strided", strides=2)
    x = convolution(x, "dilated", dilation_rate=2)
    x = convolution(x, "activated", activation="relu")
    x = convolution(x, "narrow", filters=127)
    model = keras.Model(image, convolution(x, "after_narrow"))
    fast, idle = faster_convolutions(model, winograd=True)
    assert set(fast) == {"whole", "clipped", "branching"}
    assert idle == {"norm", "relu", "relu6"}
    assert faster_convolutions(model, winograd=False) == ({}, set())


def test_kernels_of_other_sizes():
    image = x = keras.Input((8, 8, 64))
    for name, filters, size in (("row", 64, 7), ("narrow", 63, 7), ("small", 64, 5)):
        x = keras.layers.Conv2D(filters, size, padding="same", name=name)(x)
    model = keras.Model(image, x)
    fast, _ = faster_convolutions(model, winograd=True)
    assert [*fast] == ["row"] and isinstance(fast["row"], RowWinogradConv2D)
    assert faster_convolutions(model, winograd=False) == ({}, set())


@pytest.mark.parametrize("use_bias", [False, True])
def test_batch_normalisation_is_folded(rng, use_bias):
    image = keras.Input((4, 4, 128))
    x = keras.layers.Conv2D(128, 3, padding="same", use_bias=use_bias, name="conv")(
        image
    )
    x = keras.layers.BatchNormalization(name="norm")(x)
    model = keras.Model(image, keras.layers.ReLU(name="relu")(x))
    for variable in model.weights:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape) * 0.1)
    fast, _ = faster_convolutions(model, winograd=True)
    batch = rng.normal(0, 1, (1, 4, 4, 128)).astype(np.float32)
    np.testing.assert_allclose(fast["conv"](batch), model(batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (2, 6, 4, 1)])
def test_corners_are_those_of_the_map(rng, shape):
    x = rng.normal(0, 1, shape).astype(np.float32)
    kernel = rng.normal(0, 1, (3, 3, shape[-1], 4)).astype(np.float32)
    bias = rng.normal(0, 1, 4).astype(np.float32)
    expected = tf.nn.relu6(tf.nn.conv2d(x, kernel, 1, "SAME") + bias).numpy()
    whole, *corners = CornerConv2D(kernel, bias, tf.nn.relu6)(x)
    np.testing.assert_array_equal(whole, expected)
    for corner, (row, column) in zip(corners, np.ndindex(2, 2), strict=True):
        np.testing.assert_allclose(
            corner, expected[:, row::2, column::2], rtol=1e-5, atol=1e-6
        )


def test_no_corners_of_odd_sizes(rng):
    x = rng.normal(0, 1, (1, 4, 5, 3)).astype(np.float32)
    assert len(CornerConv2D(np.ones((3, 3, 3, 2)), np.zeros(2))(x)) == 1


@pytest.mark.parametrize("shown", [False, True])
def test_corners_where_a_pooling_reads_alone(shown):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", name="conv")(image)
    x = keras.layers.ReLU(name="relu")(x)
    pooled, positions = MaxPoolingWithArgmax2D()(x)
    y = MaxUnpooling2D()(pooled, positions, like=x)
    model = keras.Model(image, keras.layers.Add()([x, y]) if shown else y)
    replaced, idle = faster_convolutions(model, winograd=False)
    assert (set(replaced), idle) == ((set(), set()) if shown else ({"conv"}, {"relu"}))
