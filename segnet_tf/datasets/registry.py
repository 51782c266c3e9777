"""The table of data sets, by name."""

import os
from dataclasses import replace

import numpy as np

from segnet_tf.console.cli import command
from segnet_tf.datasets import (
    camvid,
    folder,
    idd_lite,
    labelmefacade,
    mix,
    sun_rgbd,
    synthetic,
    tfds,
)
from segnet_tf.datasets.dataset import IGNORE_LABEL, Split, unknown_ids
from segnet_tf.datasets.images import grey
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.storage import packed
from segnet_tf.errors import UserError

__all__ = ["DATASETS", "load", "scaled_alike"]

DATASETS = {
    "synthetic": synthetic.load,
    "camvid": camvid.load,
    "folder": folder.load,
    "idd_lite": idd_lite.load,
    "labelmefacade": labelmefacade.load,
    "mix": mix.load,
    "packed": packed.load,
    "sun_rgbd": sun_rgbd.load,
    **tfds.LOADERS,
}


def load(
    name: str,
    split: str,
    data_dir: str | os.PathLike | None = None,
    channels: int = 3,
    reading: Reading | None = None,
    faulty: bool = False,
) -> Split:
    """One split of a data set.

    Args:
        name: a key of `DATASETS`.
        split: the name of a split; for "folder", "camvid", "idd_lite" and
            "labelmefacade" also the path of a text file of image names.
        data_dir: the folder of the data set, for "mix" its JSON file; None for
            "synthetic".
        channels: of the images: 3 for RGB, 1 for grey, or, only for "folder" and a
            pack of one, 4 for RGBA as it is stored.
        reading: how the files of "folder" are read; of "mix", only the range, for the
            folders in it that have none of their own.
        faulty: whether a split is returned if some of its examples are known to be
            unusable.

    Raises:
        UserError: if the name or the split is unknown, if data is missing, if the
            images do not have these channels, or if the data set is read in one way
            only.
    """
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise UserError(f"no data set {name!r}: choose from {known}")
    if name == "folder":
        loaded = folder.load(split, data_dir, channels, reading)
        return _checked(loaded if faulty else _sound(loaded))
    reading = reading or Reading()
    changed = [each for each, value in vars(reading).items() if value]
    if name == "mix" and changed in ([], ["range"]):
        return mix.load(split, data_dir, channels, load, reading.value_range)
    if changed:
        raise UserError(f"{changed[0]}: is for --dataset folder, not for {name}")
    if name == "packed":
        loaded = _checked(packed.load(split, data_dir))
        if loaded.info.channels == channels:
            return loaded
        if (loaded.info.channels, channels) == (3, 1):
            return _in_grey(loaded)
        raise UserError(
            f"channels: the pack {data_dir} has {loaded.info.channels}, not {channels}"
        )
    if channels not in (1, 3):
        raise UserError(
            f"channels: {name} has RGB images, which give 3 channels, or 1 in grey, "
            f"not {channels}"
        )
    loaded = _checked(DATASETS[name](split, data_dir))
    return loaded if channels == 3 else _in_grey(loaded)


def scaled_alike(
    name: str, reading: Reading, value_range: tuple[float, float] | None
) -> Reading:
    """How a data set is read so that its images are scaled as others were.

    A set of which the images lie in no files of their own, such as a pack, was scaled
    before.

    Args:
        name: a key of `DATASETS`.
        reading: how it is read otherwise; a range in it stays.
        value_range: of the others.
    """
    ranged = name in ("folder", "mix")
    return reading.with_range(value_range) if ranged else reading


def _sound(split: Split) -> Split:
    if split.faults:
        more = len(split.faults) - 1
        raise UserError(
            split.faults[0]
            + (f" (and {more} more: `{command('data')}` lists them)" if more else "")
        )
    return split


def _checked(split: Split) -> Split:
    """The split, whose examples are checked when they are read.

    A class id that there is not, or labels of another type, would otherwise be counted
    as void or end the training in the middle.
    """
    classes, channels = split.labels.num_classes, split.info.channels

    def read(index: int):
        image, labels = split.read(index)
        where = f"{split.info.name}: {split.names[index]}"
        for name, array, dimensions in (("image", image, 3), ("labels", labels, 2)):
            if array.dtype != np.uint8 or array.ndim != dimensions:
                raise UserError(
                    f"{where}: {name} of {array.dtype} {array.shape}, but they must be "
                    f"uint8 with {dimensions} dimensions"
                )
        if image.shape != (*labels.shape, channels):
            raise UserError(
                f"{where}: image {image.shape} and labels {labels.shape} do not fit: "
                f"expected (height, width, {channels}) and (height, width)"
            )
        wrong = unknown_ids(labels, classes)
        if wrong.size:
            raise UserError(
                f"{where}: class id {wrong.max()}, but the ids are 0 to {classes - 1} "
                f"(and {IGNORE_LABEL} for void)"
            )
        return image, labels

    return replace(split, read=read)


def _in_grey(split: Split) -> Split:
    def read(index: int):
        image, labels = split.read(index)
        return grey(image), labels

    return replace(split, info=replace(split.info, channels=1), read=read)
