"""SegNet for TensorFlow / Keras 3, from training to the phone.

Importing this package imports neither TensorFlow nor Keras; the names below bring
them in when first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "MaxPoolingWithArgmax2D": "segnet_tf.layers",
    "MaxUnpooling2D": "segnet_tf.layers",
    "FCN": "segnet_tf.models",
    "MODELS": "segnet_tf.models",
    "BayesianSegNet": "segnet_tf.models",
    "BayesianSegNetBasic": "segnet_tf.models",
    "SegNet": "segnet_tf.models",
    "SegNetBasic": "segnet_tf.models",
    "SegNetLite": "segnet_tf.models",
    "with_pooling_mode": "segnet_tf.models",
    "MonteCarlo": "segnet_tf.uncertainty",
    "load_model": "segnet_tf.saving",
    "save_model": "segnet_tf.saving",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
