"""What has been done in a folder of results, so that a repeated command goes on.

A line is added for each picture before its files are written, so that they are known as
ours even if the process is killed, and another one when they are there. The last of
these with a name counts: it says whose results the files of that name are. A process
that is killed loses at most a line, and a half line is passed over.
"""

import csv
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.inference.many.inventory import (
    RECORD,
    Inventory,
    lines,
    stamp_of,
)
from segnet_tf.inference.many.naming import hash_of
from segnet_tf.inference.many.reading import Picture

__all__ = ["Record", "write_table"]


class Record:
    """The pictures that have been labelled into a folder.

    A picture counts as done if nothing else has had the name of its results since, if
    its file is as it was (place, size and time), and if it was labelled by the same
    model with the same settings.

    Args:
        inventory: of the folder of the results, just read.
        settings: whatever the results depend on, as JSON.
    """

    def __init__(self, inventory: Inventory, settings: dict[str, Any]):
        self._folder = Path(inventory.folder)
        self._path, self._done = self._folder / RECORD, inventory.done
        self._settings = _digest(json.dumps(settings, sort_keys=True))
        self._file: IO[bytes] | None = None
        self._lock = Lock()
        self._added: set[int] = set()
        self._begun: set[str] = set()

    def __contains__(self, picture: Picture) -> bool:
        """Whether it was labelled before."""
        if picture.stamp is None or not self._done:
            return False
        return self._done.get(hash_of(picture.name)) == int(self._key(picture), 16)

    def has(self, picture: Picture, files: Iterable[str | Path]) -> bool:
        """Whether a picture was labelled before, and all its files are there."""
        return picture in self and all(map(os.path.exists, files))

    def begin(self, files: Iterable[Path]) -> None:
        """Notes that files are going to be written.

        Args:
            files: in the folder.

        Raises:
            UserError: if the folder cannot be written to.
        """
        names = [self._inside(file) for file in files]
        self._write({"files": dict.fromkeys(names)})
        self._begun.update(names)

    def add(
        self,
        picture: Picture,
        size: tuple[int, ...],
        shares: list[tuple[int, float]],
        files: Iterable[Path],
    ) -> None:
        """Notes that the results of a picture are there.

        Args:
            picture: which one.
            size: its height and width.
            shares: (class id, share of all pixels), the largest first.
            files: of the results, in the folder.

        Raises:
            UserError: if the folder cannot be written to.
        """
        key = self._key(picture)
        row = {
            "key": key,
            "by": self._settings,
            "path": os.path.abspath(picture.path),
            "frame": picture.frame,
            "name": picture.name,
            "form": picture.form,
            "size": list(size),
            "shares": {str(index): round(share, 6) for index, share in shares},
            "files": {self._inside(file): stamp_of(file, False) for file in files},
        }
        self._write(row)
        self._added.add(int(key, 16))
        self._begun.difference_update(row["files"])

    def _inside(self, file: Path) -> str:
        return os.path.relpath(file, self._folder)

    def _write(self, row: dict[str, Any]) -> None:
        line = json.dumps(row).encode() + b"\n"
        try:
            with self._lock:
                file = self._file = self._file or self._opened()
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise UserError(
                f"{self._path}: cannot be written ({error.strerror})"
            ) from error

    def close(self) -> None:
        """Lets the file go, when nothing is written any more; `add` opens it again.

        What was begun and has not come is not ours, if somebody else writes it later.
        """
        if self._begun:
            stamps = {
                name: stamp_of(self._folder / name, False) or []
                for name in sorted(self._begun)
            }
            with suppress(UserError):  # a full disk has been reported
                self._write({"files": stamps})
            self._begun.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def rows(self) -> list[dict[str, Any]]:
        """The pictures done with these settings, in the order of their names.

        Those of earlier runs are there only if their file is still as it was, and if
        their results are there.

        Each has "path", "frame" and "form" as a `Picture` has them, "name", "size"
        (height, width), "shares" (class id as text -> share of all pixels) and "files"
        (name in the folder -> size and time). A picture that got another name since is
        there once.
        """
        last: dict[str, dict[str, Any]] = {}
        for row in lines(self._folder):
            if "key" in row:
                last.pop(row["name"], None)
                last[row["name"]] = row
        stamp = cache(stamp_of)
        once = {
            (row["path"], row["frame"]): row
            for row in last.values()
            if row["by"] == self._settings and self._is_valid(row, stamp)
        }
        return sorted(once.values(), key=lambda row: row["name"])

    def _is_valid(self, row: dict[str, Any], stamp: Callable) -> bool:
        path, name, frame = row["path"], row["name"], row["frame"]
        if int(row["key"], 16) not in self._added:
            now = Picture(path, name, frame, stamp=stamp(path))
            if now.stamp is None or row["key"] != self._key(now):
                return False
        return all(os.path.lexists(self._folder / file) for file in row["files"])

    def _opened(self) -> IO[bytes]:
        # A line that a killed process left half must not swallow the next one.
        broken = self._path.exists() and not _ends_a_line(self._path)
        # Without a buffer: what cannot be written is not tried again by `close`.
        file = self._path.open("ab", buffering=0)
        if broken:
            file.write(b"\n")
        return file

    def _key(self, picture: Picture) -> str:
        what = [os.path.abspath(picture.path), picture.name, picture.frame]
        return _digest(repr([*what, picture.stamp, self._settings]))


def write_table(path: Path, rows: Iterable[dict[str, Any]], info: DatasetInfo) -> None:
    """Writes a table of the classes' shares in each picture as CSV.

    Args:
        path: of the table.
        rows: as `Record.rows` gives them.
        info: the classes.

    Raises:
        UserError: if it cannot be written.
    """
    with replacing(path) as temporary:
        with temporary.open(
            "w", newline="", encoding="utf-8", errors="backslashreplace"
        ) as file:
            writer = csv.writer(file)
            writer.writerow(["picture", "result", "width", "height", *info.classes])
            for row in rows:
                height, width = row["size"]
                shares = (
                    row["shares"].get(str(n), 0) for n in range(len(info.classes))
                )
                names = map(_shown, (row["path"], row["name"]))
                writer.writerow([*names, width, height, *shares])


def _shown(name: str) -> str:
    """A name in which control characters are escapes: a terminal would obey them."""
    return re.sub(
        r"[\x00-\x1f\x7f-\x9f]",
        lambda found: found[0].encode("unicode_escape").decode(),
        name,
    )


def _digest(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
