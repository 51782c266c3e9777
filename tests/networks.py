"""Every network small enough to try things on, and scenes to try them with."""

import keras
import numpy as np

from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.models.networks import FCNS, TABLE_1, build

_VGG = {"encoder": ((8, 8), (16, 16), (16, 16, 16))}
_FCN = {"encoder": ((8,), (8,), (16,), (16,), (32,)), "fc_filters": 32}

SMALL = {
    "segnet": _VGG,
    "segnet_lite": {"width": 0.5},
    "segnet_lite1": {"width": 0.5},
    "bayesian_segnet": _VGG,
    "bayesian_segnet_basic": {"filters": 16},
    **dict.fromkeys(FCNS, _FCN),
    **dict.fromkeys(TABLE_1, {"filters": 16}),
}
"""Arguments that make a network small; one that is not here is small already."""

ON_DEVICE = ("segnet", "segnet_basic", "segnet_lite")
"""The networks that every form of export is tried with."""


def small(name: str, num_classes: int = 11, **arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build(name, num_classes, **{**SMALL.get(name, {}), **arguments})


def network(name: str) -> keras.Model:
    """A small network whose batch normalisations do something."""
    keras.utils.set_random_seed(1)
    model = build(name, **SMALL.get(name, {}))
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


def trainable_parameters(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def street(count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    scenes = [draw_scene(5, index, height, width) for index in range(count)]
    images, labels = (np.stack(parts) for parts in zip(*scenes, strict=True))
    return images.astype(np.float32), labels
