"""The networks: one module for each family, and `networks`, the table of all.

Importing this folder does not import TensorFlow; its names import it at first use.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "FCN": "fcn",
    "NETWORKS": "networks",
    "BayesianSegNet": "bayesian",
    "BayesianSegNetBasic": "bayesian",
    "SegNet": "segnet",
    "SegNetBasic": "segnet_basic",
    "SegNetLite": "segnet_lite",
    "build": "networks",
    "with_pooling_mode": "clone",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
