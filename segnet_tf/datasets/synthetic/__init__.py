"""`synthetic`: generated driving scenes, the data set that needs no download.

The classes and colours are CamVid's eleven. Every scene is drawn from (seed, index), so
that all machines see the same streets. A split's name may end in a number of scenes, as
in "train:40". This command writes scenes as files:

    segnet data synthetic --write FOLDER [--split SPLIT] [--count N]
"""

import os
import re
from functools import cache

import numpy as np

from segnet_tf.datasets import camvid
from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.datasets.synthetic.street import draw_scene
from segnet_tf.errors import UserError

__all__ = ["INFO", "SPLITS", "draw_scene", "load"]

INFO = DatasetInfo("synthetic", camvid.INFO.classes, camvid.INFO.colours)

SPLITS = {"train": (0, 400), "val": (1, 40), "test": (2, 100)}
"""Seed and number of scenes of each split; no scene is in two splits."""


def load(split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """A split of generated scenes, each 192x256.

    Args:
        split: a key of `SPLITS`, with or without a number of scenes, as in "train:40".
        data_dir: must be None: a folder is of another data set.

    Raises:
        UserError: if the split is unknown or has fewer scenes, or if there is a
            `data_dir`.
    """
    if data_dir is not None:
        raise UserError(
            "synthetic: this data set is generated and reads no folder: for "
            f"{data_dir}, name its data set with --dataset (folder, for your own "
            "images and masks)"
        )
    found = re.fullmatch(rf"({'|'.join(SPLITS)})(?::(\d+))?", split)
    if found is None:
        raise UserError(
            f"synthetic: no split {split!r}: use {', '.join(SPLITS)}, or a number of "
            "its scenes, such as train:40"
        )
    name = found[1]
    seed, available = SPLITS[name]
    count = int(found[2] or available)
    if not 1 <= count <= available:
        raise UserError(f"synthetic: {split}: choose 1 to {available} scenes")
    names = tuple(f"{name}_{index:03d}.png" for index in range(count))
    return Split(INFO, name, names, lambda n: _drawn(seed, int(n)), sources=names)


# Drawing a scene takes longer than reading a file; all scenes fit into 90 MB.
@cache
def _drawn(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    return draw_scene(seed, index)
