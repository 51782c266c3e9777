"""The networks, by name."""

import keras

from segnet_tf.layers import POOLING_MODES, MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models.bayesian import BayesianSegNet, BayesianSegNetBasic
from segnet_tf.models.fcn import FCN, FCNS
from segnet_tf.models.pretrained import ENCODER_VARIABLES
from segnet_tf.models.segnet import SegNet
from segnet_tf.models.segnet_lite import SegNetLite
from segnet_tf.models.variants import VARIANTS, SegNetBasic

__all__ = [
    "ENCODER_VARIABLES",
    "FCN",
    "MODELS",
    "BayesianSegNet",
    "BayesianSegNetBasic",
    "SegNet",
    "SegNetBasic",
    "SegNetLite",
    "as_float32",
    "with_pooling_mode",
]

MODELS = {
    "segnet": SegNet,
    "segnet_lite": SegNetLite,
    "bayesian_segnet": BayesianSegNet,
    "bayesian_segnet_basic": BayesianSegNetBasic,
    **FCNS,
    **VARIANTS,
}


def with_pooling_mode(model: keras.Model, mode: str) -> keras.Model:
    """The same network and weights with pooling positions held in another way.

    Args:
        model: any model of `MODELS`, fresh or loaded.
        mode: "argmax", "window" or "mask"; see `segnet_tf.layers`.

    Returns:
        A new, uncompiled model; the weights are copied, `model` is left as it was.

    Raises:
        ValueError: for an unknown mode.
    """
    if mode not in POOLING_MODES:
        raise ValueError(f"mode must be one of {POOLING_MODES}, not {mode!r}")

    def change(layer, config):
        if isinstance(layer, MaxPoolingWithArgmax2D | MaxUnpooling2D):
            config["mode"] = mode

    return _twin(model, change)


def as_float32(model: keras.Model) -> keras.Model:
    """A network trained in mixed precision, with the same weights, all in float32."""
    return _twin(model, lambda _, config: config.update(dtype="float32"))


def _twin(model: keras.Model, change) -> keras.Model:
    def clone(layer):
        config = layer.get_config()
        change(layer, config)
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=clone)
    twin.set_weights(model.get_weights())
    return twin
