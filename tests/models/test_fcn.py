"""FCN: what is added where, the bilinear start, sizes, bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import trainable_parameters

from segnet_tf.layers.resampling import BilinearKernel, CropLike
from segnet_tf.models import FCN
from segnet_tf.models.networks import build

TINY = {"encoder": ((4,), (4,), (4,), (4,), (4,)), "fc_filters": 8}


@pytest.mark.parametrize(
    "name, deconvolutions, pools",
    [
        ("fcn32s", {"upscore32": 32}, []),
        ("fcn16s", {"upscore32": 2, "upscore16": 16}, ["pool4"]),
        ("fcn8s", {"upscore32": 2, "upscore16": 2, "upscore8": 8}, ["pool4", "pool3"]),
    ],
)
def test_scores_are_added_and_upsampled_as_in_the_paper(name, deconvolutions, pools):
    model = build(name, **TINY)
    assert model.name == name
    found = {
        layer.name: layer.strides[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2DTranspose)
    }
    assert found == deconvolutions
    for name, stride in found.items():
        kernel = model.get_layer(name).kernel
        assert kernel.shape == (2 * stride, 2 * stride, 11, 11)
    adds = [la for la in model.layers if isinstance(la, keras.layers.Add)]
    scores = [add.input[1]._keras_history.operation for add in adds]
    assert [score.input._keras_history.operation.name for score in scores] == pools
    assert model.get_layer("fc6").kernel.shape == (7, 7, 4, 8)
    assert model.get_layer("fc6_drop").rate == model.get_layer("fc7_drop").rate == 0.5


def test_parameters_of_the_lighter_form():
    model = FCN(fc_filters=None)
    assert trainable_parameters(model) == 14_767_873
    assert not any(layer.name.startswith("fc") for layer in model.layers)


@pytest.mark.slow
def test_parameters_of_the_full_form():
    assert trainable_parameters(FCN()) == 134_361_345


@pytest.mark.parametrize("stride", [2, 8])
def test_deconvolutions_start_as_bilinear_interpolation(rng, stride):
    x = rng.normal(size=(1, 6, 7, 3)).astype("float32")
    layer = keras.layers.Conv2DTranspose(
        3,
        2 * stride,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=BilinearKernel(stride),
    )
    expected = tf.image.resize(x, (6 * stride, 7 * stride), "bilinear")
    # At the edge a convolution meets zeros, where resizing repeats the last pixel.
    inner = np.s_[:, stride:-stride, stride:-stride]
    np.testing.assert_allclose(layer(x).numpy()[inner], expected[inner], atol=1e-5)


def test_a_wider_bilinear_kernel_keeps_what_is_constant():
    layer = keras.layers.Conv2DTranspose(
        2, 8, 2, padding="same", kernel_initializer=BilinearKernel(2)
    )
    y = layer(np.full((1, 8, 8, 2), 3.0, "float32")).numpy()
    np.testing.assert_allclose(y[:, 4:-4, 4:-4], 3.0, atol=1e-6)
    again = BilinearKernel.from_config(BilinearKernel(2).get_config())
    kernel = layer.kernel.numpy()
    np.testing.assert_array_equal(again(kernel.shape), kernel)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_crop_takes_the_other_tensors_size(dtype):
    x = np.arange(24).reshape(1, 4, 6, 1).astype(dtype)
    layer = CropLike(dtype=dtype)
    y = layer(x, np.zeros((1, 3, 5, 7), dtype))
    np.testing.assert_array_equal(y, x[:, :3, :5])
    assert y.dtype == dtype
    symbolic = keras.Input((None, None, 7))
    assert layer(keras.Input((None, None, 2)), symbolic).shape[1:] == (None, None, 2)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"stride must be one of \(8, 16, 32\)"):
        FCN(stride=4)
    with pytest.raises(ValueError, match="five stages, not 2"):
        FCN(encoder=((8,), (8,)))
