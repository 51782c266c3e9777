"""SUN RGB-D, the SegNet paper's indoor benchmark: 37 classes, from a folder.

Song, Lichtenberg, Xiao, "SUN RGB-D: A RGB-D scene understanding benchmark suite" (CVPR
2015). TFDS does not have it. The repository ankurhanda/sunrgbd-meta-data links to the
archives. The folder holds each of them, unpacked into a folder of its name:

    SUNRGBD-train_images/img-000001.jpg ... img-005285.jpg
    SUNRGBD-test_images/img-000001.jpg ... img-005050.jpg
    sunrgbd_train_test_labels/img-000001.png ... img-010335.png

The labels of the test images come first: train image n has label n + 5050. Ids are 1 to
37; 0 is void.
"""

import os
import re
from pathlib import Path

import numpy as np

from segnet_tf.datasets.class_list import default_colours
from segnet_tf.datasets.dataset import DatasetInfo, MissingSplit, Split
from segnet_tf.datasets.masks import read_pair
from segnet_tf.errors import UserError

__all__ = ["INFO", "SPLITS", "load"]

_TEST_IMAGES = 5050
_LABELS = "sunrgbd_train_test_labels"
_FOLDERS = {"train": "SUNRGBD-train_images", "test": "SUNRGBD-test_images"}

SPLITS = ("train", "val", "trainval", "test")

# In the order of their ids from 1, as SUN RGB-D's own toolbox names them (seg37list).
_CLASSES = (
    """wall floor cabinet bed chair sofa table door window bookshelf picture counter
    blinds desk shelves curtain dresser pillow mirror floor_mat clothes ceiling books
    fridge tv paper towel shower_curtain box whiteboard person night_stand toilet sink
    lamp bathtub bag"""
).split()

INFO = DatasetInfo(
    name="sun_rgbd",
    classes=tuple(_CLASSES),
    colours=tuple(default_colours(_CLASSES)),
    ignore_label=0,
)


def load(split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """A split of SUN RGB-D.

    Args:
        split: "trainval" or "test", the official halves (5,285 and 5,050 images);
            "val", every tenth image of "trainval"; or "train", the rest of it.
        data_dir: the folder that holds the three folders above.

    Raises:
        MissingSplit: if the folder of its images is missing.
        UserError: if the split is unknown, or if labels are missing or faulty.
    """
    if split not in SPLITS:
        raise UserError(f"sun_rgbd: no split {split!r}; it has {', '.join(SPLITS)}")
    if not data_dir:
        raise UserError(
            "sun_rgbd: no folder given: use --data-dir DIR, with "
            f"{_FOLDERS['train']}, {_FOLDERS['test']} and {_LABELS} in it"
        )
    official = "test" if split == "test" else "train"
    pairs = _pairs(Path(data_dir), official)
    if split == "val":
        pairs = pairs[9::10]
    elif split == "train":
        pairs = [pair for place, pair in enumerate(pairs) if place % 10 != 9]
    if not pairs:
        raise UserError(f"sun_rgbd: {data_dir} has no image for split {split!r}")

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        image_path, label_path = pairs[index]
        image, mask = read_pair(image_path, label_path)
        if mask.max() > INFO.num_classes:
            raise UserError(f"{label_path}: id {mask.max()}, expected 0 to 37")
        # Void is 0, one below the first class, and wraps around to 255.
        return image, mask - np.uint8(1)

    sources = tuple(image for image, _ in pairs)
    return Split(INFO, split, tuple(path.name for path in sources), read, sources)


def _pairs(root: Path, official: str) -> list[tuple[Path, Path]]:
    images, labels = root / _FOLDERS[official], root / _LABELS
    for folder, fault in ((labels, UserError), (images, MissingSplit)):
        if not folder.is_dir():
            raise fault(f"sun_rgbd: {folder}: no such folder")
    offset = _TEST_IMAGES if official == "train" else 0
    pairs = []
    for image in sorted(images.glob("img-*.jpg")):
        number = re.fullmatch(r"img-(\d{6})", image.stem)
        if number is None:
            raise UserError(f"{image}: expected a name like img-000001.jpg")
        label = labels / f"img-{int(number[1]) + offset:06d}.png"
        if not label.is_file():
            raise UserError(f"{image}: its labels are missing ({label})")
        pairs.append((image, label))
    return pairs
