"""Which files are results of earlier runs, as the record in their folder says.

A hundred thousand pictures that were labelled before take 60 MB.
"""

import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from segnet_tf.errors import UserError
from segnet_tf.inference.many.naming import Kept, hash_of, real_folder

__all__ = ["RECORD", "Elsewhere", "Inventory", "Stamp", "lines", "stamp_of"]

RECORD = ".done.jsonl"
"""The file that a folder of results is known by."""

Stamp = tuple[int, int]
"""Size of a file, and the time of its last change in nanoseconds."""


def stamp_of(path: str | os.PathLike, follow: bool = True) -> Stamp | None:
    """The stamp of a file; None if it is not there.

    Args:
        path: of the file.
        follow: whether that of a link is the one of the file that it leads to.
    """
    try:
        found = os.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def lines(folder: str | os.PathLike) -> Iterator[dict[str, Any]]:
    """The lines of a folder's record that are whole, in their order.

    Before the results of a picture are written, a line has their "files": name in the
    folder -> None. When they are there, a line says all that
    `segnet_tf.inference.many.record.Record` notes, and "files" has their stamps. If
    they could not be written, a line has the stamps of what is there, and [] for a file
    that is not.

    Raises:
        UserError: if there is a record that cannot be read.
    """
    path = Path(folder, RECORD)
    if os.path.lexists(path) and not path.is_file():
        raise UserError(f"{path}: is no file: move it away")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from filter(None, map(_row, file))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}): move it away"
        ) from None


def _row(line: str) -> dict[str, Any] | None:
    """What a line says; None if it is not whole."""
    try:
        row = json.loads(line)
        files = row["files"].items()
        for _, stamp in files:
            tuple(map(int, stamp or ()))
        if "key" not in row:
            return row
        texts = [row[name] for name in ("by", "path", "name", "form")]
        _, _, _ = int(row["key"], 16), row["frame"], row["shares"].items()
        height, width = row["size"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = all(isinstance(text, str) for text in texts)
    return row if whole and isinstance(height + width, int) else None


class Inventory:
    """The results in one folder, and the files that have names there.

    Args:
        folder: of the results; it need not exist.

    Attributes:
        folder: as it was given.
        kept: the names of files that are still there.
        done: hash of the name of a picture's results -> whose they are, with what
            settings: the last "key". Numbers: a hundred thousand take 12 MB.

    Raises:
        UserError: if there is a record that cannot be read.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = os.fspath(folder)
        self._seen = stamp_of(os.path.join(self.folder, RECORD))
        self._files: dict[int, int | None] = {}
        self.kept = Kept()
        self.done: dict[int, int] = {}
        there = cache(os.path.lexists)
        for row in lines(folder):
            for name, stamp in row["files"].items():
                self._files[hash_of(name)] = None if stamp is None else _digest(stamp)
            if "key" in row:
                self.done[hash_of(row["name"])] = int(row["key"], 16)
                if there(row["path"]):
                    self.kept.add(row["path"], row["name"], row["frame"])

    def __contains__(self, name: str) -> bool:
        """Whether a file of the folder was written by this command."""
        return self._files.get(hash_of(name), _ABSENT) != _ABSENT

    def has_changed(self, name: str) -> bool:
        """Whether a file is not as this command left it, or not from it at all.

        Args:
            name: of a file that is there.
        """
        known = self._files.get(hash_of(name), _ABSENT)
        if known is None:  # it was to be written when a process ended
            return False
        path = os.path.join(self.folder, name)
        return known != _digest(stamp_of(path, follow=False) or ())

    def is_outdated(self) -> bool:
        """Whether the record has changed since it was read."""
        return stamp_of(os.path.join(self.folder, RECORD)) != self._seen


class Elsewhere:
    """The results in all folders that pictures are taken from."""

    def __init__(self):
        self._files: set[int] = set()
        self._any: dict[str, bool] = {}

    def among(self, folder: str, names: list[str]) -> list[str]:
        """The names of the files in a folder that are results.

        Raises:
            UserError: if there is a record that cannot be read.
        """
        real = real_folder(folder)
        if not self._read(real):
            return []
        return [
            name for name in names if hash_of(os.path.join(real, name)) in self._files
        ]

    def _read(self, folder: str) -> bool:
        """Reads the records in a folder and above it; whether there are any."""
        if folder not in self._any:
            above = os.path.dirname(folder)
            self._any[folder] = found = os.path.lexists(os.path.join(folder, RECORD))
            if found:
                for row in lines(folder):
                    for name, stamp in row["files"].items():
                        inside, last = os.path.split(os.path.join(folder, name))
                        place = os.path.join(real_folder(inside), last)
                        note = self._files.discard if stamp == [] else self._files.add
                        note(hash_of(place))
            if above != folder and self._read(above):
                self._any[folder] = True
        return self._any[folder]


def _digest(stamp: Sequence[int]) -> int:
    return hash(tuple(stamp))


_ABSENT = _digest(())
