"""LabelMeFacade, streets of Europe and America, from a folder.

Froehlich, Rodner, Denzler, "A fast approach for pixelwise labeling of facade images"
(ICPR 2010), for non-commercial research. The folder holds

    images/<place>__<picture>.jpg
    labels/<place>__<picture>.png    RGB

Doors and windows count as building here. Black ("various") is void. Poles, signs,
fences and people have no class: they are black, or hidden in the class behind them.
"""

import hashlib
import os
from itertools import groupby
from pathlib import Path

import numpy as np

from segnet_tf.datasets.dataset import IGNORE_LABEL, DatasetInfo, Split, split_lines
from segnet_tf.datasets.masks import read_pair
from segnet_tf.errors import UserError

__all__ = ["INFO", "SPLITS", "load"]

SPLITS = ("train", "val", "all")

_VAL_SHARE = 0.1
_SEED = "segnet_tf"

_COLOURS = {
    (0, 0, 0): IGNORE_LABEL,
    (128, 0, 0): 0,
    (128, 128, 0): 0,  # door
    (0, 0, 128): 0,  # window
    (128, 0, 128): 1,
    (128, 128, 128): 2,
    (128, 64, 0): 3,
    (0, 128, 128): 4,
    (0, 128, 0): 5,
}
"""The colours of the labels -> ids."""

INFO = DatasetInfo(
    name="labelmefacade",
    classes=("building", "car", "pavement", "road", "sky", "vegetation"),
    colours=(
        (128, 0, 0),
        (128, 0, 128),
        (128, 128, 128),
        (128, 64, 0),
        (0, 128, 128),
        (0, 128, 0),
    ),
)


def load(split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """A split of LabelMeFacade.

    Args:
        split: "all"; "val", at most a tenth of the pictures, of places that the rest
            does not show; "train", the rest; or the path of a text file that lists
            pictures by name, with or without suffix.
        data_dir: the folder that holds images/ and labels/.

    Raises:
        UserError: if the folder or a label is missing, or if a label is faulty.
    """
    if not data_dir:
        raise UserError(
            "labelmefacade: no folder given: use --data-dir DIR, with images and "
            "labels in it"
        )
    root = Path(data_dir)
    paths = sorted((root / "images").glob("*.jpg"))
    if not paths:
        raise UserError(f"labelmefacade: {root / 'images'} has no .jpg")
    if split in SPLITS:
        left_out = _left_out(paths)
        kept = {"train": set(paths) - left_out, "val": left_out, "all": set(paths)}
        paths = sorted(kept[split])
    else:
        paths = _listed(paths, Path(split))
    pairs = [(path, _label(path, root)) for path in paths]

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        return read_pair(*pairs[index], _COLOURS)

    names = tuple(path.name for path in paths)
    return Split(INFO, Path(split).stem, names, read, tuple(paths))


def _place(image: Path) -> str:
    return image.stem.partition("__")[0]


def _left_out(paths: list[Path]) -> set[Path]:
    """Whole places in an order of their own, up to a tenth of all pictures."""
    places = {place: set(found) for place, found in groupby(paths, _place)}
    left_out: set[Path] = set()
    for place in sorted(
        places, key=lambda place: hashlib.sha1(f"{_SEED} {place}".encode()).digest()
    ):
        if len(left_out | places[place]) <= _VAL_SHARE * len(paths):
            left_out |= places[place]
    return left_out


def _label(image: Path, root: Path) -> Path:
    label = root / "labels" / f"{image.stem}.png"
    if not label.is_file():
        raise UserError(f"{image}: its labels are missing ({label})")
    return label


def _listed(paths: list[Path], listing: Path) -> list[Path]:
    lines = split_lines("labelmefacade", str(listing), SPLITS, "pictures")
    where = {key: path for path in paths for key in (path.name, path.stem)}
    for line in lines:
        if line not in where:
            raise UserError(f"{listing}: {line} is not in {paths[0].parent}")
    return [where[line] for line in lines]
