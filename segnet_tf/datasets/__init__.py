"""The data sets: `load(name, split, data_dir)` gives labelled images.

Importing this folder imports no data set; `DATASETS` and `load` import them.
"""

from typing import Any

from segnet_tf.datasets.dataset import IGNORE_LABEL, DatasetInfo, Split

__all__ = ["DATASETS", "IGNORE_LABEL", "DatasetInfo", "Split", "load"]


def __getattr__(name: str) -> Any:
    if name not in ("DATASETS", "load"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from segnet_tf.datasets import registry

    return getattr(registry, name)
