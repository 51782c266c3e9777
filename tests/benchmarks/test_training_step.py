"""The timed networks differ in their layers alone, not in values and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import network, street

from benchmarks import training_step
from segnet_tf.layers import (
    FastDepthwiseConv2D,
    FusedBatchNormalization,
    MaxPoolingWithArgmax2D,
)
from segnet_tf.models.clone import with_pooling_mode
from segnet_tf.training.pixel_loss import PixelLoss


@pytest.fixture(scope="module")
def models() -> dict[str, keras.Model]:
    return training_step.variants(with_pooling_mode(network("segnet_lite"), "input"))


def test_every_part_is_replaced(models):
    def kinds(name):
        return {type(layer) for layer in models[name].layers}

    ours = {FusedBatchNormalization, FastDepthwiseConv2D}
    assert ours <= kinds("as it is")
    assert not ours & kinds("all three")
    assert FusedBatchNormalization not in kinds("Keras' batch normalisation")
    assert FastDepthwiseConv2D not in kinds("Keras' depthwise convolution")
    modes = {
        layer.mode
        for layer in models["positions as window"].layers
        if isinstance(layer, MaxPoolingWithArgmax2D)
    }
    assert modes == {"window"} and len(models) == 5


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("positions as window", 1e-5),
        ("Keras' depthwise convolution", 2e-3),
        # Another rounding before a pooling moves a few maxima.
        ("all three", 5e-2),
    ],
)
def test_a_step_has_the_same_values(models, name, tolerance):
    """Loss and every gradient, to the rounding of sums in another order."""
    images, labels = street(2, 45, 62)
    results = []
    for model in (models["as it is"], models[name]):
        with tf.GradientTape() as tape:
            loss = PixelLoss()(labels, model(images, training=True))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [v.value for v in variables])
        results.append((loss, gradients))
    (loss, gradients), (expected, others) = results
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for one, other in zip(gradients, others, strict=True):
        apart = np.linalg.norm(one - other)
        assert apart <= tolerance * np.linalg.norm(other) + 1e-6
