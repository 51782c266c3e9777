"""The fused layer is Keras' own in all but speed; statistics taken anew."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segnet_tf.layers.batch_norm import FusedBatchNormalization, recalibrate_batch_norm
from segnet_tf.models import SegNetBasic


def both(rng, channels: int, **arguments):
    """The layer and Keras' own, with the same weights."""
    shape = (None, None, None, channels)
    weights = [
        rng.uniform(0.5, 1.5, channels),
        rng.normal(0, 1, channels),
        rng.normal(0, 1, channels),
        rng.uniform(0.5, 1.5, channels),
    ]
    layers = []
    for kind in (FusedBatchNormalization, keras.layers.BatchNormalization):
        layer = kind(momentum=0.9, **arguments)
        layer.build(shape)
        layer.set_weights(weights)
        layers.append(layer)
    return layers


def step(layer, x, upstream):
    """What a training step sees: outputs, gradients, statistics."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * upstream)
    sources = [x, *(v.value for v in layer.trainable_variables)]
    gradients = tape.gradient(loss, sources)
    return [y, *gradients, *(v.numpy() for v in layer.non_trainable_variables)]


@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (1, 1, 2, 4), (3, 8, 8, 1)])
def test_a_training_step_is_kerass_own(rng, shape):
    x = rng.normal(3, 2, shape).astype(np.float32)
    upstream = rng.normal(0, 1, shape).astype(np.float32)
    ours, kerass = (step(layer, x, upstream) for layer in both(rng, shape[-1]))
    for value, expected in zip(ours, kerass, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_dtypes(rng, dtype):
    x = rng.normal(0, 1, (4, 6, 6, 3)).astype(np.float32)
    ours, kerass = (
        step(layer, x, np.ones_like(x)) for layer in both(rng, 3, dtype=dtype)
    )
    assert ours[0].dtype == kerass[0].dtype == dtype.removeprefix("mixed_")
    tolerance = 0.05 if "mixed" in dtype else 1e-7
    for value, expected in zip(ours, kerass, strict=True):
        value, expected = (np.asarray(v, np.float64) for v in (value, expected))
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


def test_prediction_and_a_frozen_layer_use_the_moving_statistics(rng):
    x = rng.normal(0, 1, (2, 4, 4, 3)).astype(np.float32)
    ours, kerass = both(rng, 3)
    np.testing.assert_array_equal(ours(x), kerass(x))
    ours.trainable = kerass.trainable = False
    np.testing.assert_array_equal(ours(x, training=True), kerass(x, training=True))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_unknown_sizes_in_a_compiled_function(rng, jit_compile):
    layer, kerass = both(rng, 3)

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)],
    )
    def run(x):
        return layer(x, training=True)

    x = rng.normal(0, 1, (2, 5, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(run(x), kerass(x, training=True), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, kerass.moving_variance, rtol=1e-5)


def test_saved_and_loaded(rng, tmp_path):
    layer, _ = both(rng, 3)
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[0], FusedBatchNormalization)
    for variable, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(variable, expected)


def test_reestimated_statistics_are_the_batches_average(rng):
    model = SegNetBasic(num_classes=3, filters=8)
    batches = [rng.uniform(0, 255, (2, 16, 16, 3)).astype(np.float32) for _ in range(3)]
    features = keras.Model(model.input, model.get_layer("conv1").output)
    first = [features(batch).numpy() for batch in batches]
    weights = [v.numpy() for v in model.trainable_variables]
    assert recalibrate_batch_norm(model, batches) == 3
    norm = model.get_layer("conv1_bn")
    means = np.mean([f.mean(axis=(0, 1, 2)) for f in first], axis=0)
    variances = np.mean([f.var(axis=(0, 1, 2)) for f in first], axis=0)
    np.testing.assert_allclose(norm.moving_mean, means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variances, rtol=1e-4)
    assert norm.momentum == 0.9
    for before, variable in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(before, variable)


def test_reestimated_statistics_reproduce_a_single_batch(rng):
    """With one batch, prediction normalises by just what training did."""
    model = SegNetBasic(num_classes=3, filters=8)
    batch = rng.uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    recalibrate_batch_norm(model, [batch])
    np.testing.assert_allclose(
        model(batch, training=False), model(batch, training=True), rtol=1e-3, atol=1e-3
    )


def test_no_batch_to_reestimate_from():
    with pytest.raises(ValueError, match="no batch"):
        recalibrate_batch_norm(SegNetBasic(num_classes=3, filters=8), [])
