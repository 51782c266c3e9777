"""`synthetic`: generated driving scenes, the data set that needs no download.

CamVid's eleven classes and colours; every scene is drawn from (seed, index), so all
machines see the same streets. A split's name may end in a number, as in "train:40", to
take that many of its scenes. To draw scenes as files:

    python -m segnet_tf.datasets.synthetic FOLDER [--count N]
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
"""Seed and number of scenes of each split: no scene is in two."""


def load(split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """A split of generated scenes, each 192x256.

    Raises:
        UserError: for a split that is none of `SPLITS`, or has fewer scenes, and for
            any `data_dir`: whoever gives one means other data.
    """
    if data_dir is not None:
        raise UserError(
            f"synthetic: is generated and reads no folder: for {data_dir}, name its "
            "data set with --dataset (your own images and masks: folder)"
        )
    found = re.fullmatch(rf"({'|'.join(SPLITS)})(?::(\d+))?", split)
    if found is None:
        raise UserError(
            f"synthetic: no split {split!r}: use {', '.join(SPLITS)}, or such as "
            "train:40 for the first 40 scenes"
        )
    name = found[1]
    seed, available = SPLITS[name]
    count = int(found[2] or available)
    if not 1 <= count <= available:
        raise UserError(f"synthetic: {split}: there are 1 to {available} scenes")
    names = tuple(f"{name}_{index:03d}.png" for index in range(count))
    return Split(INFO, name, names, lambda n: _drawn(seed, int(n)), sources=names)


# Drawing a scene costs more than reading a file; all of them fit into 90 MB.
@cache
def _drawn(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    return draw_scene(seed, index)
