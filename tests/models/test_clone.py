"""One way to clone a model with changed layers."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import network, small

from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models.clone import (
    as_float32,
    clone,
    one_tensor,
    rebuilt,
    with_pooling_mode,
)


@pytest.fixture
def image(rng) -> np.ndarray:
    return rng.uniform(0, 255, (1, 21, 30, 3)).astype(np.float32)


@pytest.fixture
def half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def with_a_bare_sum() -> keras.Model:
    """A network that adds by `+`, which is an operation and no layer."""
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    skip = layers.Conv2D(4, 1, name="skip")(inputs)
    return keras.Model(inputs, layers.Conv2D(2, 1, name="last")(x + skip), name="sum")


def test_a_clone_is_the_network(image):
    model = network("segnet_basic")
    twin = clone(model, lambda layer: None)
    assert twin is not model and twin.name == model.name
    np.testing.assert_array_equal(twin(image), model(image))
    for ours, theirs in zip(twin.weights, model.weights, strict=True):
        assert ours is not theirs


def test_a_replaced_layer_gets_the_weights_of_its_name(image):
    model = network("segnet")

    def leaky(layer):
        if isinstance(layer, layers.ReLU):
            return layers.LeakyReLU(0.0, name=layer.name)
        return None

    twin = clone(model, leaky)
    assert any(isinstance(layer, layers.LeakyReLU) for layer in twin.layers)
    np.testing.assert_allclose(twin(image), model(image), rtol=1e-5, atol=1e-5)


def test_a_bare_operation_in_mixed_precision(half_precision, image):
    model = with_a_bare_sum()
    assert model.get_layer("first").compute_dtype == "bfloat16"
    twin = as_float32(model)
    kinds = {layer.compute_dtype for layer in twin.layers if layer.weights}
    assert kinds == {"float32"}
    assert twin(image).dtype == "float32"
    for ours, theirs in zip(twin.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_rebuilt_changes_what_a_layer_has(half_precision):
    layer = rebuilt(layers.Conv2D(4, 3, name="x"), dtype="float32", filters=5)
    assert (layer.compute_dtype, layer.filters, layer.name) == ("float32", 5, "x")


def test_a_loaded_model_takes_one_tensor(tmp_path, image):
    model = small("segnet_basic")
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", compile=False)
    for single in (one_tensor(loaded), clone(loaded, lambda layer: None)):
        assert not isinstance(single.input, list)
        np.testing.assert_allclose(single(image), model(image), rtol=1e-5, atol=1e-5)


def test_another_size_and_another_call(image):
    """As exports use it: a fixed input, and layers called in a way of their own."""
    model, called = small("segnet_basic"), []

    def call(layer, *arguments, **options):
        called.append(layer.name)
        return layer(*arguments, **options)

    fixed = keras.Input(batch_shape=(1, 21, 30, 3))
    twin = clone(model, lambda layer: None, fixed, call)
    assert twin.input_shape == (1, 21, 30, 3)
    assert {layer.name for layer in twin.layers[1:]} <= set(called)
    np.testing.assert_allclose(twin(image), model(image), rtol=1e-5, atol=1e-5)


def test_pooling_mode_reaches_poolings_and_unpoolings():
    twin = with_pooling_mode(small("segnet_lite"), "mask")
    positional = MaxPoolingWithArgmax2D | MaxUnpooling2D
    found = [layer.mode for layer in twin.layers if isinstance(layer, positional)]
    assert len(found) == 8 and set(found) == {"mask"}
