"""Networks small enough for tests, their batch normalisations not idle."""

import keras
import numpy as np

from segnet_tf.datasets.synthetic import INFO
from segnet_tf.models import MODELS

SMALL = {
    "segnet": {"stages": ((8, 8), (16, 16), (16, 16, 16))},
    "segnet_basic": {"filters": 8},
    "segnet_lite": {"width": 0.5},
}


def network(name: str) -> keras.Model:
    """A small network whose batch normalisations do something."""
    keras.utils.set_random_seed(1)
    model = MODELS[name](INFO.num_classes, **SMALL[name])
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, shape),
                    rng.normal(0, 0.3, shape),
                    rng.normal(0, 0.3, shape),
                    rng.uniform(0.5, 1.5, shape),
                ]
            )
    return model
