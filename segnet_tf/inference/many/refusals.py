"""What must not be written over: inputs, files of others, and corrected results."""

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize

from segnet_tf.errors import UserError
from segnet_tf.inference.many.naming import FRAMES, MOVING
from segnet_tf.inference.many.reading import Picture
from segnet_tf.inference.many.record import Record
from segnet_tf.inference.many.results import Results
from segnet_tf.inference.many.sources import Source, Sources, is_video

__all__ = ["PAGE", "TABLE", "refuse_lost", "refuse_others"]

TABLE, PAGE = "classes.csv", "index.html"
"""Names of the table and the page in a folder of results."""

_OURS = {TABLE: "picture,result,width,height,", PAGE: 'content="segnet_tf"'}
"""What the beginning of a file of ours holds."""

_FOLDERS = 16
"""Folders of which the names are kept in memory: files come folder by folder."""

_OF_A_FRAME = re.compile(r"(\d{4,})_[a-z]+\.[a-z]+")


def refuse_others(folder: Path) -> None:
    """Refuses an output folder that is none, or has other files of our names.

    Raises:
        UserError: if there is one.
    """
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if os.path.lexists(place) and not place.is_dir():
        raise UserError(f"{place}: is no folder: choose another --output")
    for name, mark in _OURS.items():
        path = folder / name
        if os.path.lexists(path) and not (path.is_file() and _begins(path, mark)):
            raise UserError(
                f"{path}: is not from this command and would be overwritten: choose "
                "another --output"
            )


def _begins(path: Path, mark: str) -> bool:
    with path.open("rb") as file:
        return mark.encode() in file.read(500)


def refuse_lost(
    sources: Sources,
    results: Results,
    record: Record,
    native: bool,
    overwrite: bool,
) -> None:
    """Refuses to begin if a file would be lost: an input, or one that is not ours.

    Ours are the files that the folder's record names, as long as they are as this
    command left them.

    Args:
        sources: what is to be labelled.
        results: says which files will be written.
        record: says what need not be labelled again.
        native: whether images run without scaling.
        overwrite: whether all is done again; that takes only what is ours.

    Raises:
        UserError: if there is such a file.
    """
    there: set[int] = set()
    lost = []
    for (source, frame), names in _targets(sources, results, native):
        paths = [os.path.join(results.folder, name) for name in names]
        changed = []
        for name, path in zip(names, paths, strict=True):
            if found := _identity(path):
                there.add(found)
                if sources.inventory.has_changed(name):
                    changed.append(path)
        if changed:
            picture = replace(Picture.at(source), frame=frame)
            if overwrite or not record.has(picture, paths):
                lost.extend(changed)
    if there:
        _refuse_inputs(sources, there, lambda: _targets(sources, results, native))
    if lost:
        shown = ", ".join(str(Path(path)) for path in lost[:3])
        more = f" and {len(lost) - 3:,} others" if len(lost) > 3 else ""
        raise UserError(
            f"{shown}{more}: not from this command, or changed since, and would be "
            f"overwritten: move {'it' if len(lost) == 1 else 'them'} away, or choose "
            "another --output"
        )


def _refuse_inputs(sources: Sources, there: set[int], targets: Callable) -> None:
    for source in sources:
        for follow in (True, False):
            found = _identity(source.path, follow)
            if found in there:
                folder = sources.inventory.folder
                paths = (
                    os.path.join(folder, each) for _, some in targets() for each in some
                )
                target = next(path for path in paths if _identity(path) == found)
                raise UserError(
                    f"{Path(target)} is an input and would be overwritten: choose "
                    "another --output"
                )


def _identity(path: str, follow: bool = False) -> int | None:
    """What a file is known by, whatever links lead to it; None: none, or a folder."""
    try:
        found = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return None if stat.S_ISDIR(found.st_mode) else hash((found.st_dev, found.st_ino))


def _targets(
    sources: Sources, results: Results, native: bool
) -> Iterator[tuple[tuple[Source, int | None], list[str]]]:
    """Names that may be written for a file, whatever turns out to be in it.

    Only names that are there come; the frames of an animation are those that lie in
    its folder already.
    """
    listed = lru_cache(_FOLDERS)(_listed)
    for source in sources:
        inside, name = os.path.split(source.name)
        there = listed(os.path.join(results.folder, inside))
        if not there:
            continue
        suffix = os.path.splitext(source.path)[1].lower()
        forms = ["video" if is_video(source.path) else "picture"]
        if native and suffix in (".tif", ".tiff"):
            forms.append("strips")
        for form in forms:
            names = [*results.names(*source, form).values()]
            if any(_folded(os.path.basename(each)) in there for each in names):
                yield (source, None), names
        if suffix in MOVING and _folded(name + FRAMES) in there:
            yield from _frames(source, results)


def _listed(folder: str) -> frozenset[str]:
    try:
        return frozenset(map(_folded, os.listdir(folder)))
    except OSError:
        return frozenset()


def _folded(name: str) -> str:
    """The same for names that some file system takes for one."""
    plain = name if name.isascii() else normalize("NFC", name)
    return plain.casefold()


def _frames(
    source: Source, results: Results
) -> Iterator[tuple[tuple[Source, int | None], list[str]]]:
    inside = source.name + FRAMES
    try:
        found = os.listdir(os.path.join(results.folder, inside))
    except OSError:
        return
    for number in {part[1] for part in map(_OF_A_FRAME.fullmatch, found) if part}:
        frame = Source(source.path, os.path.join(inside, number))
        yield (frame, int(number)), [*results.names(*frame).values()]
