"""The data sets, by name."""

import os

from segnet_tf.datasets import camvid, folder, sun_rgbd, synthetic, tfds_sets
from segnet_tf.datasets.split import Split
from segnet_tf.errors import UserError

__all__ = ["DATASETS", "load"]

DATASETS = {
    "synthetic": synthetic.load,
    "camvid": camvid.load,
    "folder": folder.load,
    "sun_rgbd": sun_rgbd.load,
    **tfds_sets.LOADERS,
}


def load(name: str, split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """One split of a data set.

    Args:
        name: a key of `DATASETS`.
        split: the name of a split; for folders also a text file of frame names.
        data_dir: where the data set lies; not needed by "synthetic".

    Raises:
        UserError: for an unknown name or split, or data that is not there.
    """
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise UserError(f"no data set {name!r}: there is {known}")
    return DATASETS[name](split, data_dir)
