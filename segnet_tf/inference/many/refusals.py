"""What must not be written over: inputs, and files of others in the output folder."""

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from segnet_tf.errors import UserError
from segnet_tf.inference.many.naming import FRAMES, MOVING
from segnet_tf.inference.many.results import Results
from segnet_tf.inference.many.sources import Source, Sources, is_video

__all__ = ["PAGE", "TABLE", "refuse_inputs", "refuse_others"]

TABLE, PAGE = "classes.csv", "index.html"
"""Names of the table and the page in a folder of results."""

_OURS = {TABLE: "picture,result,width,height,", PAGE: 'content="segnet_tf"'}
"""What the beginning of a file of ours holds."""

_OF_A_FRAME = re.compile(r"\d{4,}_[a-z]+\.[a-z]+")


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


def refuse_inputs(sources: Sources, results: Results, native: bool) -> None:
    """Refuses results that would replace an input.

    Raises:
        UserError: if there is one.
    """
    inside = partial(_is_inside, folder=os.path.realpath(results.folder))
    inputs = {os.path.realpath(path) for path in sources.named_alone if inside(path)}
    # The folder stands for all frames, whose number is not known.
    inputs |= {
        os.path.dirname(path)
        for path in inputs
        if _OF_A_FRAME.fullmatch(os.path.basename(path))
    }
    roots = [os.path.realpath(root) for root in sources.roots if inside(root)]
    if not inputs and not roots:
        return
    for source in sources:
        for target in _targets(source, results, native):
            real = os.path.realpath(target)
            if real in inputs or any(_is_inside(real, root) for root in roots):
                raise UserError(
                    f"{target} is an input and would be overwritten: choose another "
                    "--output"
                )


def _targets(source: Source, results: Results, native: bool) -> Iterator[Path]:
    """All that may be written for a file, whatever turns out to be in it."""
    path, name = source
    suffix = os.path.splitext(path)[1].lower()
    forms = ("video",) if is_video(path) else ("picture",)
    if native and suffix in (".tif", ".tiff"):
        forms += ("strips",)
    for form in forms:
        yield from results.files(path, name, form).values()
    if suffix in MOVING:
        yield results.folder / (name + FRAMES)


def _is_inside(path: str, folder: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(folder, ""))
