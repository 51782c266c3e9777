"""`mix`: several data sets, whose labels may be of different grain, as one.

A JSON file names the sets (`--dataset mix --data-dir mix.json`):

    {
      "sets": [
        {"dataset": "camvid", "data_dir": "CamVid", "share": 2},
        {"dataset": "idd_lite", "data_dir": "idd_lite", "share": 1,
         "splits": {"val": "idd_val.txt"},
         "labels": {
           "drivable": "Road",
           "vehicles": ["Car", "Bicyclist"],
           "far objects": ["Building", "Tree"],
           "animals": "void"}}
      ]
    }

`classes`: the names of the classes; left out, those of the first set, with its colours.
`data_dir`: as the flag; from the folder of the JSON file.
`share`: a whole number; so many training samples of this set in each round (1).
`reading`: of a folder: the flags that say how it is read, as {"ignore": "0"}.
`splits`: for a split of the mix, another split of the set, or a text file of names.
`labels`: what each label of the set is: a class, or a list of classes of which a pixel
is one, or "void". A label that is not here is the class of its name.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from segnet_tf.console.options import check_options
from segnet_tf.datasets.class_list import default_colours
from segnet_tf.datasets.dataset import (
    IGNORE_LABEL,
    LONGEST_NAME,
    DatasetInfo,
    MissingSplit,
    Split,
    is_name,
)
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError

__all__ = ["Source", "load", "load_source", "parsed"]

VOID = "void"

MOST_TURNS = 1000
"""Samples of one set in a round."""

Loader = Callable[[str, str, str | None, int, Reading], Split]
"""`segnet_tf.datasets.registry.load`."""


@dataclass(frozen=True)
class Source:
    """One set of a mix, as the JSON file gives it.

    Attributes:
        dataset: its name.
        data_dir: its folder, or None.
        share: training samples in each round.
        splits: split of the mix -> split of the set, or a text file.
        labels: label of the set -> classes of the mix; none: void.
        reading: how the files of a folder are read.
    """

    dataset: str
    data_dir: str | None = None
    share: int = 1
    splits: dict[str, str] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)

    @property
    def name(self) -> str:
        """What tells the set from others of its kind: its folder's name."""
        return Path(self.data_dir).name if self.data_dir else self.dataset


def load(
    split: str,
    data_dir: str | os.PathLike | None,
    channels: int,
    load_set: Loader,
) -> Split:
    """One split of a mix of data sets.

    A set without this split is left out, and a line says so; for "train" every set
    must have it.

    Args:
        split: such as "train".
        data_dir: the JSON file.
        channels: of the images.
        load_set: loads a split of a set by its name.

    Returns:
        A split with a group for each list of classes, and with the sets as its parts.

    Raises:
        MissingSplit: if no set has the split.
        UserError: if the file or a set is faulty; the message names the place.
    """
    if not data_dir:
        raise UserError("mix: no file given: use --data-dir mix.json")
    path, splits, missing = Path(data_dir), [], []
    classes, sources = parsed(path)
    for source in sources:
        try:
            loaded = load_source(source, split, channels, load_set)
        except MissingSplit as error:
            if split == "train":
                raise
            missing.append(str(error))
            continue
        splits.append((source, loaded))
    if not splits:
        raise MissingSplit(f"{path}: no set has a split {split!r}: {missing[0]}")
    for line in missing:
        print(f"{path.name}: left out of {split!r}: {line}")
    if classes is not None:
        colours = tuple(default_colours(classes))
        info = DatasetInfo("mix", classes, colours, channels=channels)
    else:
        first, loaded = splits[0]
        if first is not sources[0]:
            # The first set is left out of this split, but its classes count.
            loaded = load_source(sources[0], "train", channels, load_set)
        own = loaded.info
        info = replace(own, name="mix", ignore_label=IGNORE_LABEL, image_size=None)
    return _joined(path, split, info, splits)


def load_source(source: Source, split: str, channels: int, load_set: Loader) -> Split:
    """A split of one set of a mix, with the set's own labels."""
    own = source.splits.get(split, split)
    return load_set(source.dataset, own, source.data_dir, channels, source.reading)


def _joined(path: Path, name: str, info: DatasetInfo, splits) -> Split:
    """The splits one after the other, with their labels in the ids of the mix."""
    groups: list[tuple[int, ...]] = []
    tables = [
        _table(path, source, loaded.info, info, groups) for source, loaded in splits
    ]
    ends = np.cumsum([len(loaded) for _, loaded in splits])

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        part = int(np.searchsorted(ends, index, side="right"))
        loaded = splits[part][1]
        image, labels = loaded.read(index - int(ends[part]) + len(loaded))
        return image, tables[part][labels]

    parts = [loaded for _, loaded in splits]
    sources = tuple(source for part in parts for source in part.sources)
    return Split(
        info,
        name,
        tuple(f"{source.name}/{own}" for source, part in splits for own in part.names),
        read,
        sources if len(sources) == ends[-1] else (),
        tuple(groups),
        tuple((len(loaded), source.share) for source, loaded in splits),
        remarks=lambda: tuple(line for part in parts for line in part.remarks()),
        stored=tuple(
            each and each.relabelled(table)
            for part, table in zip(parts, tables, strict=True)
            for each in part.stored or len(part) * (None,)
        ),
        read_options=repr([(part.info, part.read_options) for part in parts]),
    )


def _table(path, source: Source, own: DatasetInfo, info: DatasetInfo, groups):
    """The id in the mix for each id of a set: uint8 (256,). New groups are added."""
    where = f"{path}: {source.name}"
    unknown = [label for label in source.labels if label not in own.classes]
    if unknown:
        raise UserError(
            f"{where}: no label {unknown[0]!r}: it has {', '.join(own.classes)}"
        )
    table = np.full(256, IGNORE_LABEL, np.uint8)
    for index, label in enumerate(own.classes):
        names = source.labels.get(label, (label,))
        wrong = [name for name in names if name not in info.classes]
        if wrong:
            raise UserError(
                f"{where}: label {label!r}: no class {wrong[0]!r}: give it one of "
                f'{", ".join(info.classes)}, a list of them, or "{VOID}"'
            )
        group = tuple(sorted(map(info.classes.index, names)))
        if len(group) == 1:
            table[index] = group[0]
        elif 1 < len(group) < info.num_classes:
            if group not in groups:
                groups.append(group)
            table[index] = info.num_classes + groups.index(group)
    if info.num_classes + len(groups) > IGNORE_LABEL:
        raise UserError(f"{where}: more than {IGNORE_LABEL} classes and groups")
    return table


def parsed(path: Path) -> tuple[tuple[str, ...] | None, list[Source]]:
    """The names in `classes`, or None, and the sets, with paths from here.

    Raises:
        UserError: if the file is faulty; the message names the place.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
    _check(path, content, {"classes": list, "sets": list}, ("sets",))
    classes = content.get("classes")
    if classes is not None:
        classes = _names(path, "classes", classes)
    if not content["sets"]:
        raise UserError(f"{path}: sets: is empty")
    return classes, [
        _source(path, f"set {number}", entry)
        for number, entry in enumerate(content["sets"], start=1)
    ]


_KEYS = {
    "dataset": str,
    "data_dir": str,
    "share": int,
    "splits": dict,
    "labels": dict,
    "reading": dict,
}


def _source(path: Path, where: str, entry: Any) -> Source:
    _check(path, entry, _KEYS, ("dataset",), where)
    if entry["dataset"] == "mix":
        raise UserError(f"{path}: {where}: dataset: a mix has no mix in it")
    if not 1 <= entry.get("share", 1) <= MOST_TURNS:
        raise UserError(
            f"{path}: {where}: share: {entry['share']}, must be 1 to {MOST_TURNS}"
        )
    folder = path.parent
    splits = {}
    for split, own in entry.get("splits", {}).items():
        if not isinstance(own, str):
            raise UserError(f"{path}: {where}: splits: {own!r} is no text")
        splits[split] = str(folder / own) if own.endswith(".txt") else own
    labels = {
        label: _names(path, f"{where}: labels: {label}", names)
        for label, names in entry.get("labels", {}).items()
    }
    data_dir = entry.get("data_dir")
    return Source(
        entry["dataset"],
        None if data_dir is None else str(folder / data_dir),
        entry.get("share", 1),
        splits,
        labels,
        _reading(path, where, entry.get("reading", {})),
    )


def _reading(path: Path, where: str, options: dict) -> Reading:
    known = [each.name for each in fields(Reading)]
    for name in options:
        if name not in known:
            raise UserError(
                f"{path}: {where}: reading: no key {name!r}: it takes "
                f"{', '.join(known)}"
            )
    if isinstance(options.get("classes"), str):
        options = {**options, "classes": str(path.parent / options["classes"])}
    reading = Reading(**options)
    try:
        check_options(reading)
    except UserError as error:
        raise UserError(f"{path}: {where}: reading: {error}") from None
    return reading


def _check(path, content, keys: dict[str, type], needed, where: str = "") -> None:
    """Raises UserError if content is not an object of these keys and types."""
    place = f"{path}: {where}: " if where else f"{path}: "
    if not isinstance(content, dict):
        raise UserError(f"{place}must be an object, as {{...}}")
    for key, value in content.items():
        if key not in keys:
            raise UserError(f"{place}no key {key!r}: it takes {', '.join(keys)}")
        if not isinstance(value, keys[key]) or isinstance(value, bool):
            kind = {list: "a list", dict: "an object", int: "a whole number"}
            raise UserError(f"{place}{key}: must be {kind.get(keys[key], 'text')}")
    for key in needed:
        if key not in content:
            raise UserError(f"{place}{key} is missing")


def _names(path: Path, where: str, names: Any) -> tuple[str, ...]:
    """Class names, each once; none for "void"."""
    if names == VOID:
        return ()
    names = [names] if isinstance(names, str) else names
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
    ):
        raise UserError(f"{path}: {where}: must be a name or a list of different names")
    if len(names) > IGNORE_LABEL:
        raise UserError(f"{path}: {where}: {len(names)} names, at most {IGNORE_LABEL}")
    for name in names:
        if not is_name(name):
            raise UserError(
                f"{path}: {where}: {name!r:.40}: a name has 1 to {LONGEST_NAME} "
                "characters that can be printed"
            )
    return tuple(names)
