"""`folder`: your own images and masks, which belong together by their names.

    classes.txt          one class per line, in the order of the ids: name, or name
                         R G B, or name #rrggbb
    images/leaf 1.jpg    any image that `read_image` reads
    masks/leaf 1.png     the same stem: class ids as grey or palette indices, or RGB in
                         the colours of classes.txt; if these are all greys, such as
                         0 0 0 and 255 255 255, a grey mask holds them, too

A fifth of the images, chosen by their names, is the split "val"; the rest is "train".
To choose yourself, make images/train, images/val, images/test, masks/train and so on,
or train/images, train/masks and so on.

Void pixels have the id 255. A line `void R G B` in classes.txt is not a class, but
gives the colour of void in RGB masks. A # begins a comment. If each class has its id
before its name, as in `0 background` or `1: leaf`, the ids must be in order from 0.
"""

import hashlib
import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np

from segnet_tf.datasets.class_list import read_classes
from segnet_tf.datasets.dataset import (
    IGNORE_LABEL,
    DatasetInfo,
    MissingSplit,
    Split,
    split_lines,
    unknown_ids,
)
from segnet_tf.datasets.images import IMAGE_SUFFIXES
from segnet_tf.datasets.masks import read_pair
from segnet_tf.errors import UserError

__all__ = ["SPLITS", "load"]

SPLITS = ("train", "val", "test")

_OTHER_NAMES = {
    "train": ("training",),
    "val": ("valid", "validate", "validation", "dev", "eval"),
    "test": ("testing",),
}
_VAL_SHARE = 0.2
_SEED = "segnet_tf"
_SAMPLES = 12  # pairs to read before training starts, spread over the split

Pair = tuple[Path, Path]


def load(
    split: str, data_dir: str | os.PathLike | None = None, channels: int = 3
) -> Split:
    """A split of a folder of images and masks.

    All names are checked, and a dozen pairs are read, to find faults that all files
    share. A single faulty file raises its error when it is read; `segnet data folder`
    reads all files and finds it before.

    Args:
        split: "train", "val" or "test", or the path of a text file that lists images of
            any split (one per line, with or without suffix and folders).
        data_dir: the folder of classes.txt, images/ and masks/.
        channels: 3, 1 or 4; see `segnet_tf.datasets.images.read_image`.

    Raises:
        MissingSplit: if the folder does not have this split.
        UserError: if a mask is missing, of another size, a JPEG, has an id or a colour
            that is not a class, or holds only 0 and 255; if two files have one stem; if
            a folder is empty or a file unreadable. The message names the file.
    """
    if not data_dir:
        raise UserError(
            "folder: no folder given: use --data-dir DIR, with classes.txt, images/ "
            "and masks/ in it"
        )
    root = Path(data_dir)
    if not root.is_dir():
        raise UserError(f"folder: {root}: no such folder")
    info, table = read_classes(root / "classes.txt")
    info = replace(info, channels=channels)
    pairs = _pairs(root, split)

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        return _read_pair(*pairs[index], info, table)

    names = tuple(image.name for image, _ in pairs)
    sources = tuple(image for image, _ in pairs)
    loaded = Split(info, Path(split).stem, names, read, sources)
    _refuse_what_all_share(loaded, pairs, bool(table))
    return loaded


def _read_pair(image_path: Path, mask_path: Path, info: DatasetInfo, table: dict):
    image, labels = read_pair(image_path, mask_path, table, info.channels)
    wrong = unknown_ids(labels, info.num_classes)
    if wrong.size:
        raise UserError(
            f"{mask_path}: class id {wrong.max()}, but classes.txt has the ids 0 to "
            f"{info.num_classes - 1} (and 255 is void)"
        )
    return image, labels


def _refuse_what_all_share(split: Split, pairs: list[Pair], coloured: bool) -> None:
    """Refuses a folder if all samples are bad; single bad files raise errors later.

    Masks drawn in 0 and 255 are readable, as class 0 and void, but also refused.
    """
    indices = np.linspace(0, len(split) - 1, min(_SAMPLES, len(split))).astype(int)
    found, faults = set(), []
    for index in indices:
        try:
            found.update(np.unique(split.read(index)[1]).tolist())
        except UserError as error:
            faults.append(error)
    if len(faults) == len(indices):
        raise faults[0]
    if found == {0, IGNORE_LABEL} and split.info.num_classes > 1:
        other = (
            "RGB masks in the colours of classes.txt"
            if coloured
            else "write their colours after the names in classes.txt, 0 0 0 and "
            "255 255 255"
        )
        raise UserError(
            f"{pairs[0][1]}: only 0 and 255, like {len(indices) - 1} other mask(s): "
            f"255 is void, so save the ids 0 and 1, or {other}"
        )


def _pairs(root: Path, split: str) -> list[Pair]:
    places = _places(root)
    if split in places:
        return _pairs_in(*places[split])
    if split in SPLITS:
        _refuse_other_name(root, split)
        if "" not in places:
            raise MissingSplit(
                f"folder: {root} has no split {split!r}; it has {', '.join(places)}"
            )
        return _seeded_share(_pairs_in(*places[""]), split, root)
    return _listed(
        Path(split), [pair for p in places.values() for pair in _pairs_in(*p)]
    )


def _places(root: Path) -> dict[str, tuple[Path, Path]]:
    """Split -> folders of images and masks; the split is "" if there are none."""
    images, masks = root / "images", root / "masks"
    places = {
        split: folders
        for split in SPLITS
        for folders in (
            (images / split, masks / split),
            (root / split / "images", root / split / "masks"),
        )
        if folders[0].is_dir()
    }
    if not places and images.is_dir():
        places = {"": (images, masks)}
    if not places:
        raise UserError(f"folder: {root} has no folder images/")
    return places


def _refuse_other_name(root: Path, split: str) -> None:
    """Refuses a split under another name, which would seem to be missing."""
    folders = [
        *_subfolders(root / "images"),
        *(p.parent for p in root.glob("*/images")),
    ]
    for folder in sorted(folders):
        if folder.name.lower() in (split, *_OTHER_NAMES[split]):
            raise UserError(f"folder: {folder} is not read: call it {split}")


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _pairs_in(images: Path, masks: Path) -> list[Pair]:
    if not masks.is_dir():
        raise UserError(f"folder: {masks}: no such folder: put the masks there")
    image_of, mask_of = _by_stem(images), _by_stem(masks)
    for stem, mask in mask_of.items():
        if stem in image_of and mask.suffix.lower() in (".jpg", ".jpeg"):
            raise UserError(
                f"{mask}: JPEG changes the ids it stores: save masks as PNG"
            )
    missing = [stem for stem in image_of if stem not in mask_of]
    if missing:
        stem = missing[0]
        like = next((m.name for s, m in mask_of.items() if s.startswith(stem)), None)
        more = f" (nor have {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise UserError(
            f"{image_of[stem]}: has no mask {masks / stem}.png{more}"
            + (f"; is it {like}? The stems must be the same" if like else "")
        )
    return [(image, mask_of[stem]) for stem, image in image_of.items()]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Stem -> image of a folder, in the order of the names; each stem is unique."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        stem = _stem(path)
        if stem in found:
            raise UserError(
                f"{path}: same stem as {found[stem].name}: keep one of them"
            )
        found[stem] = path
    if not found:
        raise UserError(
            f"{folder}: no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})"
            + (
                f"; of the folders in it, only {', '.join(SPLITS)} are read"
                if _subfolders(folder)
                else ""
            )
        )
    return found


def _seeded_share(pairs: list[Pair], split: str, root: Path) -> list[Pair]:
    """Splits pairs by a hash of their names: the lowest fifth is val everywhere."""
    if split == "test" or len(pairs) < 2:
        raise MissingSplit(
            f"folder: {root} is not split by hand, so that its {len(pairs)} image(s) "
            f"give no {split!r}: make images/{split} and masks/{split}, and the same "
            "for the other splits"
        )
    ranked = sorted(
        pairs,
        key=lambda pair: hashlib.sha1(f"{_SEED} {_stem(pair[0])}".encode()).digest(),
    )
    count = max(1, round(_VAL_SHARE * len(pairs)))
    return sorted(ranked[:count] if split == "val" else ranked[count:])


def _listed(listing: Path, pairs: list[Pair]) -> list[Pair]:
    lines = split_lines("folder", str(listing), SPLITS)
    where: dict[str, set[Pair]] = {}
    for pair in pairs:
        for key in (pair[0].name, _stem(pair[0])):
            where.setdefault(key, set()).add(pair)
    names = [Path(line).name for line in lines]
    for name in names:
        if len(where.get(name, ())) != 1:
            times = len(where.get(name, ()))
            raise UserError(
                f"{listing}: names {name}, which is {times} times in images/, not once"
            )
    return [pair for name in names for pair in where[name]]


def _stem(path: Path) -> str:
    # Some systems write "ä" in a name as one character, others as two.
    return unicodedata.normalize("NFC", path.stem)
