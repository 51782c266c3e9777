"""The file of a mix: which sets it has, and what their labels are.

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
`reading`: of a folder: the flags that say how it is read, as {"ignore": "0"}. Images of
more than 8 bits are scaled alike in all sets, unless several have a `range` there.
`splits`: for a split of the mix, another split of the set, or a text file of names.
`labels`: what each label of the set is: a class, or a list of classes of which a pixel
is one, or "void". A label that is not here is the class of its name.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from segnet_tf.console.options import check_options
from segnet_tf.datasets.dataset import IGNORE_LABEL, LONGEST_NAME, is_name
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError

__all__ = ["VOID", "Source", "parsed"]

VOID = "void"

MOST_TURNS = 1000
"""Samples of one set in a round."""


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


def parsed(path: Path) -> tuple[tuple[str, ...] | None, list[Source]]:
    """The names of the classes, if the file gives them, and the sets.

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
