"""What must not be written over: inputs, files of others, and corrected results."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

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
    there: dict[tuple[int, int], str] = {}
    lost = []
    for (source, frame), names in _targets(sources, results, native):
        paths = [os.path.join(results.folder, name) for name in names]
        changed = []
        for name, path in zip(names, paths, strict=True):
            if found := _identity(path):
                there[found] = path
                if sources.inventory.has_changed(name):
                    changed.append(path)
        if changed:
            picture = replace(Picture.at(source), frame=frame)
            if overwrite or not record.has(picture, paths):
                lost.extend(changed)
    if there:
        _refuse_inputs(sources, there)
    if lost:
        shown = ", ".join(lost[:3])
        more = f" and {len(lost) - 3:,} others" if len(lost) > 3 else ""
        raise UserError(
            f"{shown}{more}: not from this command, or changed since, and would be "
            f"overwritten: move {'it' if len(lost) == 1 else 'them'} away, or choose "
            "another --output"
        )


def _refuse_inputs(sources: Sources, there: dict[tuple[int, int], str]) -> None:
    for source in sources:
        for follow in (True, False):
            found = _identity(source.path, follow)
            if found and found in there:
                raise UserError(
                    f"{there[found]} is an input and would be overwritten: choose "
                    "another --output"
                )


def _identity(path: str, follow: bool = False) -> tuple[int, int] | None:
    """What a file is known by, whatever links lead to it; None: none, or a folder."""
    try:
        found = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return None if stat.S_ISDIR(found.st_mode) else (found.st_dev, found.st_ino)


def _targets(
    sources: Sources, results: Results, native: bool
) -> Iterator[tuple[tuple[Source, int | None], list[str]]]:
    """Names of all that may be written for a file, whatever turns out to be in it.

    The frames of an animation are those that lie in its folder already.
    """
    is_there = cache(os.path.isdir)
    for source in sources:
        folder = os.path.join(results.folder, os.path.dirname(source.name))
        if not is_there(folder):
            continue
        suffix = os.path.splitext(source.path)[1].lower()
        forms = ["video" if is_video(source.path) else "picture"]
        if native and suffix in (".tif", ".tiff"):
            forms.append("strips")
        for form in forms:
            yield (source, None), [*results.names(*source, form).values()]
        if suffix in MOVING:
            yield from _frames(source, results)


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
