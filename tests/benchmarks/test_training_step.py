"""Both networks that are timed compute the same."""

import keras
import numpy as np
from networks import network

from benchmarks import training_step
from segnet_tf.layers import FusedBatchNormalization


def test_keras_layers_in_the_place_of_the_fused_ones(rng):
    model = network("segnet_lite")
    plain = training_step.with_keras_layers(model)
    kinds = [type(layer) for layer in plain.layers]
    assert keras.layers.BatchNormalization in kinds
    assert FusedBatchNormalization not in kinds
    assert FusedBatchNormalization in [type(layer) for layer in model.layers]
    image = rng.uniform(0, 255, (1, 32, 48, 3)).astype("float32")
    np.testing.assert_allclose(plain(image), model(image), atol=1e-4)
