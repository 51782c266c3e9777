"""SegNet for TensorFlow / Keras 3, from training to the phone.

Importing this package imports neither TensorFlow nor Keras. The names below import
them at their first use.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "FCN": "segnet_tf.models.fcn",
    "NETWORKS": "segnet_tf.models.networks",
    "BayesianSegNet": "segnet_tf.models.bayesian",
    "BayesianSegNetBasic": "segnet_tf.models.bayesian",
    "MaxPoolingWithArgmax2D": "segnet_tf.layers.pooling",
    "MaxUnpooling2D": "segnet_tf.layers.pooling",
    "MonteCarlo": "segnet_tf.inference.monte_carlo",
    "Predictor": "segnet_tf.inference.predictor",
    "SegNet": "segnet_tf.models.segnet",
    "SegNetBasic": "segnet_tf.models.segnet_basic",
    "SegNetLite": "segnet_tf.models.segnet_lite",
    "load_model": "segnet_tf.inference.model_file",
    "save_model": "segnet_tf.inference.model_file",
    "with_pooling_mode": "segnet_tf.models.clone",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
