"""`mix`: several data sets, whose labels may be of different grain, as one.

A JSON file names the sets (`--dataset mix --data-dir mix.json`); see
`segnet_tf.datasets.mix_file`.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from segnet_tf.datasets.class_list import default_colours
from segnet_tf.datasets.dataset import (
    IGNORE_LABEL,
    DatasetInfo,
    MissingSplit,
    Split,
)
from segnet_tf.datasets.mix_file import VOID, Source, parsed
from segnet_tf.datasets.mix_range import common_range, range_remarks
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError

__all__ = ["load", "load_source"]

Loader = Callable[[str, str, str | None, int, Reading], Split]
"""`segnet_tf.datasets.registry.load`."""


def load(
    split: str,
    data_dir: str | os.PathLike | None,
    channels: int,
    load_set: Loader,
    value_range: tuple[float, float] | None = None,
) -> Split:
    """One split of a mix of data sets.

    A set without this split is left out, and a line says so; for "train" every set
    must have it. Folders with images of more than 8 bits are scaled alike, so that the
    range that a model stores is true for all of them: by the range that is given, in
    `reading` of a set or here, or else by one that all their images fill.

    Args:
        split: such as "train".
        data_dir: the JSON file.
        channels: of the images.
        load_set: loads a split of a set by its name.
        value_range: for the folders without one of their own.

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
    if value_range:
        sources = [_scaled(source, value_range) for source in sources]
    for source in sources:
        try:
            loaded = load_source(source, split, channels, load_set)
        except MissingSplit as error:
            if split == "train":
                raise
            missing.append(str(error))
            continue
        splits.append((source, loaded))
    if (common := common_range(path, splits)) is not None:
        splits = [
            (source, load_source(_scaled(source, common), split, channels, load_set))
            if loaded.info.value_range not in (None, common)
            else (source, loaded)
            for source, loaded in splits
        ]
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
    return _joined(path, split, replace(info, value_range=common), splits)


def load_source(source: Source, split: str, channels: int, load_set: Loader) -> Split:
    """A split of one set of a mix, with the set's own labels."""
    own = source.splits.get(split, split)
    return load_set(source.dataset, own, source.data_dir, channels, source.reading)


def _scaled(source: Source, value_range: tuple[float, float]) -> Source:
    if source.dataset != "folder":
        return source
    return replace(source, reading=source.reading.with_range(value_range))


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
        remarks=lambda: (
            *(line for part in parts for line in part.remarks()),
            *range_remarks(info.value_range, splits),
        ),
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
