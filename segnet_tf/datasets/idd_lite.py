"""IDD-Lite, streets of India in seven groups of classes, from a folder.

Varma et al., "IDD: A dataset for exploring problems of autonomous navigation in
unconstrained environments" (WACV 2019); the Lite edition has 320x227 pixels. Its terms
allow research and other non-commercial use. The archive holds

    leftImg8bit/train/<drive>/<frame>_image.jpg    1,403 images
    gtFine/train/<drive>/<frame>_label.png         ids 0 to 6, 255 is void

and the same for val (204 images).
"""

import os
from pathlib import Path

import numpy as np

from segnet_tf.datasets.dataset import (
    DatasetInfo,
    MissingSplit,
    Split,
    Stored,
    split_lines,
    unknown_ids,
)
from segnet_tf.datasets.masks import read_pair
from segnet_tf.errors import UserError

__all__ = ["INFO", "SPLITS", "load"]

SPLITS = ("train", "val")

INFO = DatasetInfo(
    name="idd_lite",
    classes=(
        "drivable",
        "non-drivable",
        "living things",
        "vehicles",
        "roadside objects",
        "far objects",
        "sky",
    ),
    colours=(
        (128, 64, 128),
        (244, 35, 232),
        (220, 20, 60),
        (0, 0, 142),
        (220, 190, 40),
        (70, 70, 70),
        (70, 130, 180),
    ),
)


def load(split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """A split of IDD-Lite.

    Args:
        split: "train" or "val", or the path of a text file that lists frames of any
            split as <drive>/<frame>, one per line; a line <drive> lists all its frames.
        data_dir: the folder that holds leftImg8bit/ and gtFine/.

    Raises:
        MissingSplit: if the folder does not have this split.
        UserError: if the folder or a label is missing, or if a label is faulty.
    """
    if not data_dir:
        raise UserError(
            "idd_lite: no folder given: use --data-dir DIR, with leftImg8bit and "
            "gtFine in it"
        )
    images = Path(data_dir) / "leftImg8bit"
    if not images.is_dir():
        raise UserError(f"idd_lite: {images}: no such folder")
    if split in SPLITS:
        if not (images / split).is_dir():
            raise MissingSplit(
                f"idd_lite: split {split!r} is not here ({images / split})"
            )
        paths = _frames(images / split)
    else:
        paths = _listed(images, Path(split))
    pairs = [(path, _label(path, Path(data_dir))) for path in paths]

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = read_pair(*pairs[index])
        wrong = unknown_ids(labels, INFO.num_classes)
        if wrong.size:
            raise UserError(
                f"{pairs[index][1]}: id {wrong.max()}, expected 0 to 6, or 255 for "
                "void: is this the full IDD? Its labels are others"
            )
        return image, labels

    return Split(
        INFO,
        Path(split).stem,
        tuple(map(_name, paths)),
        read,
        tuple(paths),
        stored=Stored.pairs(pairs, INFO.num_classes),
    )


def _frames(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*/*_image.jpg"))
    if not found:
        raise UserError(f"idd_lite: {folder} has no <drive>/<frame>_image.jpg")
    return found


def _name(image: Path) -> str:
    return f"{image.parent.name}/{image.name.removesuffix('_image.jpg')}"


def _label(image: Path, root: Path) -> Path:
    split = image.parent.parent.name
    label = root / "gtFine" / split / f"{_name(image)}_label.png"
    if not label.is_file():
        raise UserError(f"{image}: its labels are missing ({label})")
    return label


def _listed(images: Path, listing: Path) -> list[Path]:
    lines = split_lines("idd_lite", str(listing), SPLITS, "frames")
    where: dict[str, list[Path]] = {}
    for split in SPLITS:
        for path in sorted((images / split).glob("*/*_image.jpg")):
            for key in (_name(path), path.parent.name):
                where.setdefault(key, []).append(path)
    paths = []
    for line in lines:
        if line not in where:
            raise UserError(f"{listing}: {line} is not in {images}")
        paths += where[line]
    return paths
