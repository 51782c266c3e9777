"""labels.json: what a model file says of itself, read as input from anywhere.

All forms of a model carry it: a `.keras` or `.tflite` file in a zip archive, an ONNX
file in its metadata, a SavedModel in a folder. Here is the one schema of it. It bounds
sizes, types and ranges, so that a damaged or hostile file is refused at once.
"""

import json
import os
import zipfile
import zlib
from typing import Any

from segnet_tf.datasets.dataset import IGNORE_LABEL, DatasetInfo, is_name
from segnet_tf.datasets.images import CHANNELS
from segnet_tf.inference.tiling import ReceptiveField

__all__ = [
    "LABELS_ENTRY",
    "archived",
    "dataset_info",
    "entry",
    "parsed",
    "receptive_field",
    "whole",
]

LABELS_ENTRY = "labels.json"

MOST_BYTES = 2**20
LONGEST_SIDE = 2**16
MOST_PIXELS = 2**26


def archived(path: str | os.PathLike) -> bytes | None:
    """The entry `labels.json` of a zip archive, or None if it has none.

    Raises:
        ValueError: if the entry is damaged or too large.
        zipfile.BadZipFile: if the file is no archive, or a damaged one.
    """
    return entry(path, LABELS_ENTRY, MOST_BYTES)


def entry(path: str | os.PathLike, name: str, most: int) -> bytes | None:
    """An entry of a zip archive, or None if it has none of that name.

    Args:
        path: the archive.
        name: of the entry.
        most: bytes of it; one more is read, so that too much can be told.

    Raises:
        ValueError: if the entry is damaged, or compressed in a way that Keras and we do
            not use: bzip2 and LZMA unpack everything at once.
        zipfile.BadZipFile: if the file is no archive, or a damaged one.
    """
    with zipfile.ZipFile(path) as archive:
        if name not in archive.namelist():
            return None
        kind = archive.getinfo(name).compress_type
        if kind not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"compression {kind}")
        try:
            # The archive's own word on the size may be wrong.
            with archive.open(name) as file:
                return file.read(most + 1)
        # zipfile raises these for damaged bytes, depending on their place.
        except (
            NotImplementedError,
            RuntimeError,
            EOFError,
            OSError,
            zlib.error,
        ) as error:
            raise ValueError(str(error) or type(error).__name__) from None


def parsed(stored: bytes | str) -> dict[str, Any]:
    """The object that labels.json holds.

    Raises:
        ValueError: if it is no JSON object, or too large.
    """
    if len(stored) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes")
    try:
        labels = json.loads(stored)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(labels, dict):
        raise ValueError("no object")
    return labels


def dataset_info(labels: dict[str, Any]) -> DatasetInfo:
    """The classes, and how images are prepared.

    Raises:
        ValueError: if a key is missing or has a value that it cannot have.
    """
    size, value_range = labels.get("image_size"), labels.get("value_range")
    classes = _list(labels, "classes", 1, IGNORE_LABEL)
    colours = _list(labels, "colours", len(classes), len(classes))
    names = tuple(_name(name, "classes") for name in classes)
    if len(set(names)) < len(names):
        raise ValueError("classes: a name is there twice")
    # A file without channels is of an RGB model.
    channels = whole(labels.get("channels", 3), "channels", 1, max(CHANNELS))
    if channels not in CHANNELS:
        raise ValueError(f"channels: {channels}")
    return DatasetInfo(
        name=_name(labels.get("name"), "name"),
        classes=names,
        colours=tuple(_colour(colour) for colour in colours),
        ignore_label=whole(labels.get("ignore_label"), "ignore_label", 0, 255),
        channels=channels,
        image_size=None if size is None else image_size(size, "image_size"),
        value_range=None if value_range is None else _range(value_range),
    )


def image_size(value: Any, key: str) -> tuple[int, int]:
    """Height and width. Raises ValueError for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"{key}: not two numbers")
    height, width = (whole(side, key, 1, LONGEST_SIDE) for side in value)
    if height * width > MOST_PIXELS:
        raise ValueError(f"{key}: {height}x{width}")
    return height, width


def receptive_field(labels: dict[str, Any]) -> ReceptiveField | None:
    """The receptive field, or None if it is not known.

    Raises:
        ValueError: if it has a value that it cannot have.
    """
    stored = labels.get("footprint")
    if stored is None:
        return None
    if not isinstance(stored, dict):
        raise ValueError("footprint: no object")
    return ReceptiveField(
        step=whole(stored.get("step"), "footprint: step", 1, 2**10),
        margin=whole(stored.get("margin"), "footprint: margin", 0, LONGEST_SIDE),
        channels=whole(stored.get("channels"), "footprint: channels", 1, 2**16),
    )


def whole(value: Any, key: str, least: int, most: int) -> int:
    """A whole number in a range. Raises ValueError for anything else."""
    if type(value) is not int or not least <= value <= most:
        shown = f"{value!r:.40}"
        raise ValueError(f"{key}: {shown}, not a whole number from {least} to {most}")
    return value


def _list(labels: dict[str, Any], key: str, least: int, most: int) -> list | tuple:
    value = labels.get(key)
    if not isinstance(value, list | tuple) or not least <= len(value) <= most:
        raise ValueError(f"{key}: not a list of {least} to {most} entries")
    return value


def _name(value: Any, key: str) -> str:
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"{key}: a name that cannot be printed, or is too long")
    return value


def _colour(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise ValueError("colours: not three numbers")
    red, green, blue = (whole(part, "colours", 0, 255) for part in value)
    return red, green, blue


def _range(value: Any) -> tuple[float, float]:
    if (
        not isinstance(value, list | tuple)
        or len(value) != 2
        or not all(type(end) in (int, float) for end in value)
        or not -1e12 < value[0] < value[1] < 1e12
    ):
        raise ValueError("value_range: not two numbers, the lower one first")
    return float(value[0]), float(value[1])
