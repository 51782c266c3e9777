"""`folder`: your own images and masks, which belong together by their names.

    classes.txt          one class per line, in the order of the ids: name, or name
                         R G B, or name #rrggbb (`segnet_tf.datasets.class_file`)
    images/leaf 1.jpg    any image that `read_image` reads
    masks/leaf 1.png     the same stem: class ids as grey or palette indices, or RGB in
                         the colours of classes.txt; if these are all greys, such as
                         0 0 0 and 255 255 255, a grey mask holds them, too

Other layouts, as data sets are downloaded in, are recognised
(`segnet_tf.datasets.layouts`), and options say what cannot be found
(`segnet_tf.datasets.reading`).

If the layout has no splits, a fifth of the images, chosen by their names, is "val"; the
rest is "train". To choose yourself, make images/train, images/val, images/test,
masks/train and so on, or train/images, train/masks and so on.

Void pixels have the id 255, or the id or colour of a line that is called void.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from segnet_tf.datasets.class_list import UNLISTED
from segnet_tf.datasets.dataset import (
    IGNORE_LABEL,
    DatasetInfo,
    MissingSplit,
    Split,
    split_lines,
)
from segnet_tf.datasets.finding import Found, find, given
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.left_out import more_pages
from segnet_tf.datasets.masks import check_sizes
from segnet_tf.datasets.paths import SPLITS, stem
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.samples import Labelled, Sample, labelled
from segnet_tf.datasets.value_range import found_range, range_line
from segnet_tf.errors import UserError

__all__ = ["SPLITS", "load"]

_VAL_SHARE = 0.2
_SEED = "segnet_tf"
_SAMPLES = 12  # pairs to read before training starts, spread over the split


def load(
    split: str,
    data_dir: str | os.PathLike | None = None,
    channels: int = 3,
    reading: Reading | None = None,
) -> Split:
    """A split of a folder of images and masks.

    All names are checked, and a dozen pairs are read, to find faults that all files
    share. A single faulty file raises its error when it is read; `segnet data folder`
    reads all files and finds it before.

    Args:
        split: "train", "val" or "test", or the path of a text file that lists images of
            any split (one per line, with or without suffix and folders).
        data_dir: the folder.
        channels: 3, 1 or 4; see `segnet_tf.datasets.images.read_image`.
        reading: how its files are read.

    Raises:
        MissingSplit: if the folder does not have this split.
        UserError: if the layout is not known or not clear; if all masks that were read
            are of another size, have an id or a colour that is not a class, or hold
            only 0 and 255; if two files have one stem; if a folder is empty. The
            message names the file.
    """
    if not data_dir:
        raise UserError(
            "folder: no folder given: use --data-dir DIR, with classes.txt, images/ "
            "and masks/ in it"
        )
    root, reading = Path(data_dir), reading or Reading()
    if not root.is_dir():
        raise UserError(f"folder: {root}: no such folder")
    found = _found(root, reading)
    own = labelled(found, reading)
    ignored = reading.ignored
    if reading.ignore in own.classes.names:  # a name with a comma in it
        ignored = (reading.ignore,)
    classes = own.classes.ignoring(ignored)
    samples = _samples(found, own, split)
    paths = tuple(sample.image for sample in samples)
    info = DatasetInfo(
        "folder",
        classes.names,
        classes.colours,
        channels=channels,
        value_range=_range(paths, channels, reading),
    )
    own = replace(own, classes=classes)
    reader = _Reader(samples, info, own)
    if not samples:
        raise UserError(f"folder: {root}: no images in the split {split!r:.80}")
    loaded = Split(
        info,
        Path(split).stem,
        tuple(path.name for path in paths),
        reader,
        paths,
        faults=tuple(sample.missing for sample in samples if sample.missing),
        remarks=lambda: (f"{found.says}, classes from {own.source}", *reader.remarks()),
        mask_ids=classes.ids,
        stored=own.stored(samples),
        read_options=repr((reading, classes)),
    )
    _refuse_what_all_share(loaded, samples, bool(classes.ids_of_colours))
    return loaded


def _range(paths, channels: int, reading: Reading) -> tuple[float, float] | None:
    """The range of the images; None if they have 8 bits, even if `reading` has one."""
    found = found_range(paths, channels)
    return found and (reading.value_range or found)


def _found(root: Path, reading: Reading) -> Found:
    if not (reading.images or reading.masks or reading.mask_suffix):
        return find(root)
    return given(root, reading.images, reading.masks, reading.mask_suffix)


class _Reader:
    """Reads samples by their index, and counts what had to be interpreted."""

    def __init__(self, samples: list[Sample], info: DatasetInfo, labelled: Labelled):
        self._samples = samples
        self._info = info
        self._labelled = labelled
        self._table = labelled.classes.labels
        self._counts: dict[int, tuple[int, int, int]] = {}

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The image and the labels of a sample; see `Split.read`."""
        sample, info = self._samples[index], self._info
        if sample.missing:
            raise UserError(sample.missing)
        image = read_image(sample.image, info.channels, info.value_range)
        mask = sample.draw()
        check_sizes(sample.image, sample.labels, image, mask.ids)
        self._counts[index] = mask.ids.size, mask.near, mask.between
        return image, self._labels(sample, mask.ids)

    def _labels(self, sample: Sample, ids: np.ndarray) -> np.ndarray:
        labels = self._table[ids]
        unlisted = labels == UNLISTED
        if unlisted.any():
            if not self._labelled.rest_is_void:
                raise UserError(f"{sample.labels}: {self._not_listed(ids[unlisted])}")
            labels[unlisted] = IGNORE_LABEL
        return labels.astype(np.uint8)

    def _not_listed(self, ids: np.ndarray) -> str:
        """What is wrong with ids that are no class's."""
        listed = sorted(self._labelled.classes.ids)
        whole = listed == list(range(len(listed)))
        text = f"0 to {listed[-1]}" if whole else ", ".join(map(str, listed))
        hint = ""
        if set(ids.tolist()) == {0}:
            hint = (
                ": --ignore 0 makes it void; if the ids in the masks count from 0, "
                "take those in the list out"
            )
        elif whole and set(ids.tolist()) == {len(listed)}:
            hint = ": if ids count from 1, write them before the names"
        return (
            f"class id {ids.max()}, but {self._labelled.source} has the ids {text} "
            f"(and {IGNORE_LABEL} is void){hint}"
        )

    def remarks(self) -> list[str]:
        """How values were interpreted in all that has been read."""
        lines = []
        if self._info.value_range:
            lines.append(range_line(self._info.value_range))
        lines += self._labelled.remarks()
        lines += more_pages(
            path for sample in self._samples for path in (sample.image, sample.labels)
        )
        void = self._labelled.classes.void
        if void:
            lines.append(
                "void: "
                + ", ".join(
                    entry.name if entry.id is None else f"{entry.name} (id {entry.id})"
                    for entry in void
                )
            )
        pixels, near, between = map(sum, zip(*self._counts.values(), strict=True))
        if near or between:
            lines.append(
                f"of {pixels:,} mask pixels, {near:,} ({near / pixels:.2%}) are taken "
                f"for the colour next to theirs, {between:,} ({between / pixels:.2%}) "
                "are between colours and void"
            )
        return lines


def _refuse_what_all_share(split: Split, samples: list[Sample], coloured: bool) -> None:
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
            f"{samples[0].labels}: only 0 and 255, like {len(indices) - 1} other "
            f"mask(s): 255 is void, so save the ids 0 and 1, or {other}"
        )


def _samples(found: Found, own: Labelled, split: str) -> list[Sample]:
    places, lists = found.places, found.lists

    def every(key: str) -> list[Sample]:
        return [sample for place in places[key] for sample in own.samples(*place)]

    if split in places:
        return every(split)
    if split not in SPLITS:
        lines = split_lines("folder", split, SPLITS)
        return _listed(split, lines, [one for key in places for one in every(key)])
    if "" not in places:
        raise MissingSplit(
            f"folder: {found.root} has no split {split!r}; it has {', '.join(places)}"
        )
    samples = every("")
    if not lists:
        return _seeded_share(samples, split, found.root)
    pool = samples
    if "all" in lists:
        pool = _listed("the list of all images", lists["all"], samples)
    if split in lists:
        return _listed(f"the list of {split}", lists[split], samples)
    taken = {
        sample.image
        for other, lines in lists.items()
        if other != "all"
        for sample in _listed(f"the list of {other}", lines, samples)
    }
    rest = [sample for sample in pool if sample.image not in taken]
    if not rest and split == "train":
        raise UserError(f"folder: {found.root}: the lists leave no image to train")
    # If both train and val are without a list, the rest is divided.
    both = split != "test" and not lists.keys() & {"train", "val"}
    if split == "test" or not rest:
        raise MissingSplit(f"folder: {found.root} has no list of {split}")
    return _seeded_share(rest, split, found.root) if both else rest


def _listed(listing: str, lines: Iterable[str], samples: list[Sample]) -> list[Sample]:
    """The samples whose images have the names that are listed, in this order."""
    where: dict[str, list[Sample]] = {}
    for sample in samples:
        for key in {sample.image.name, stem(sample.image)}:
            where.setdefault(key, []).append(sample)
    found = []
    for line in lines:
        named = where.get(Path(line).name, [])
        if len(named) != 1:
            raise UserError(
                f"{listing}: names {Path(line).name}, which is {len(named)} times in "
                "images/, not once"
            )
        found += named
    return found


def _seeded_share(samples: list[Sample], split: str, root: Path) -> list[Sample]:
    """Splits samples by a hash of their names: the lowest fifth is val everywhere."""
    if split == "test" or len(samples) < 2:
        raise MissingSplit(
            f"folder: {root} is not split by hand, so that its {len(samples)} image(s) "
            f"give no {split!r}: make images/{split} and masks/{split}, and the same "
            "for the other splits"
        )

    def rank(sample: Sample) -> bytes:
        return hashlib.sha1(f"{_SEED} {stem(sample.image)}".encode()).digest()

    ranked = sorted(samples, key=rank)
    count = max(1, round(_VAL_SHARE * len(samples)))
    chosen = ranked[:count] if split == "val" else ranked[count:]
    return sorted(chosen, key=lambda sample: sample.image)
