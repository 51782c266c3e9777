"""File names from patterns and from standard input."""

import codecs
import os
import sys
from collections.abc import Iterator
from glob import escape, glob, has_magic

from segnet_tf.errors import UserError

__all__ = ["fitting", "listed"]


def fitting(pattern: str) -> list[str]:
    """The files whose names fit a pattern, in order.

    As in a shell, `**` stands for any number of folders. It leaves out hidden folders
    and links to folders, which may lead in a circle.
    """
    found = sorted(set(_expanded(pattern))) if has_magic(pattern) else []
    return [name for name in found if not os.path.isdir(name)]


def _expanded(pattern: str) -> Iterator[str]:
    parts = pattern.split(os.sep)
    if "**" not in parts:
        yield from glob(pattern)
        return
    place = parts.index("**")
    head, rest = os.sep.join(parts[:place]), parts[place + 1 :] or ["*"]
    if parts[:place] == [""]:
        head = os.sep
    for top in glob(head) if head else [""]:
        for folder in _folders(top):
            yield from _expanded(os.path.join(escape(folder), *rest))


def _folders(top: str) -> Iterator[str]:
    """A folder and all in it, without hidden ones and links."""
    for folder, inside, _ in os.walk(top or os.curdir):
        inside[:] = [name for name in inside if not name.startswith(".")]
        yield folder if top else os.path.relpath(folder).removeprefix(os.curdir)


def listed() -> list[str]:
    """The names on standard input, which need not be text.

    Each has a line, or, as `find -print0` writes them, a zero byte at its end. A mark
    of UTF-8 at the beginning is no part of a name.

    Raises:
        UserError: if the names are in UTF-16, as some shells of Windows write them.
    """
    data = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError("standard input: a list in UTF-16: save it as UTF-8")
    ends = b"\0" if b"\0" in data else b"\n"
    lines = (line.removesuffix(b"\r") for line in data.split(ends))
    return [os.fsdecode(line) for line in lines if line.strip()]
