"""Data sets by name: `load("camvid", "train", data_dir)` gives a readable split.

Who needs no more than the facts of one, to label a photo, does not wait for the modules
of all of them: `DATASETS` and `load` bring those in when first used.
"""

from segnet_tf.datasets.split import IGNORE_LABEL, DatasetInfo, Split

__all__ = ["DATASETS", "IGNORE_LABEL", "DatasetInfo", "Split", "load"]


def __getattr__(name: str):
    if name not in ("DATASETS", "load"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from segnet_tf.datasets import registry

    return getattr(registry, name)
