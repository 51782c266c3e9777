"""What has been done in a folder of results, so that a repeated command goes on.

A line is added for each picture when its files are there, and the last line of a name
counts: it says whose results the files of that name are. A process that is killed loses
at most a line, and a half line is passed over.
"""

import csv
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import IO, Any

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.inference.many.reading import Picture
from segnet_tf.inference.many.sources import RECORD

__all__ = ["Record"]


class Record:
    """The pictures that have been labelled into a folder.

    A picture counts as done if nothing else has had the name of its results since, if
    its file is as it was (place, size and time), and if it was labelled by the same
    model with the same settings.

    Args:
        folder: of the results; it need not exist.
        settings: whatever the results depend on, as JSON.

    Raises:
        UserError: if there is a record that cannot be read.
    """

    NAME = RECORD

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._path = folder / self.NAME
        self._settings = _digest(json.dumps(settings, sort_keys=True))
        self._file: IO[bytes] | None = None
        self._lock = Lock()
        # Numbers of eight bytes: a hundred thousand take 12 MB.
        self._done = {
            _number(row["name"]): int(row["key"], 16) for row in self._lines()
        }

    def __contains__(self, picture: Picture) -> bool:
        """Whether it was labelled before."""
        if picture.stamp is None or not self._done:
            return False
        return self._done.get(_number(picture.name)) == int(self._key(picture), 16)

    def add(
        self,
        picture: Picture,
        size: tuple[int, ...],
        shares: list[tuple[int, float]],
    ) -> None:
        """Notes that the results of a picture are there.

        Args:
            picture: which one.
            size: its height and width.
            shares: (class id, share of all pixels), the largest first.

        Raises:
            UserError: if the folder cannot be written to.
        """
        row = {
            "key": self._key(picture),
            "by": self._settings,
            "path": os.path.abspath(picture.path),
            "frame": picture.frame,
            "name": picture.name,
            "form": picture.form,
            "size": list(size),
            "shares": {str(index): round(share, 6) for index, share in shares},
        }
        try:
            with self._lock:
                file = self._file = self._file or self._opened()
                line = json.dumps(row).encode() + b"\n"
                # One write: lines of several processes do not mix.
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise UserError(
                f"{self._path}: cannot be written ({error.strerror})"
            ) from error

    def close(self) -> None:
        """Lets the file go; `add` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def rows(self) -> list[dict[str, Any]]:
        """The pictures done with these settings, in the order of their names.

        Each has "path", "frame" and "form" as a `Picture` has them, "name", "size"
        (height, width) and "shares" (class id as text -> share of all pixels). A
        picture that got another name since is there once.
        """
        last: dict[str, dict[str, Any]] = {}
        for row in self._lines():
            last.pop(row["name"], None)
            last[row["name"]] = row
        own = (row for row in last.values() if row["by"] == self._settings)
        once = {(row["path"], row["frame"]): row for row in own}
        return sorted(once.values(), key=lambda row: row["name"])

    def write_table(self, path: Path, info: DatasetInfo) -> None:
        """Writes a table of the classes' shares in each picture as CSV.

        Raises:
            UserError: if it cannot be written.
        """
        with replacing(path) as temporary:
            with temporary.open(
                "w", newline="", encoding="utf-8", errors="backslashreplace"
            ) as file:
                writer = csv.writer(file)
                writer.writerow(["picture", "result", "width", "height", *info.classes])
                for row in self.rows():
                    height, width = row["size"]
                    shares = (
                        row["shares"].get(str(n), 0) for n in range(len(info.classes))
                    )
                    writer.writerow([row["path"], row["name"], width, height, *shares])

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

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The lines that are whole, of any settings, in their order."""
        if os.path.lexists(self._path) and not self._path.is_file():
            raise UserError(f"{self._path}: is no file: move it away")
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                yield from filter(None, map(_row, file))
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(
                f"{self._path}: cannot be read ({error.strerror}): move it away"
            ) from None


def _row(line: str) -> dict[str, Any] | None:
    """What a line says; None if it is not whole."""
    try:
        row = json.loads(line)
        texts = [row[name] for name in ("by", "path", "name", "form")]
        _, _, _ = int(row["key"], 16), row["frame"], row["shares"].items()
        height, width = row["size"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = all(isinstance(text, str) for text in texts)
    return row if whole and isinstance(height + width, int) else None


def _number(name: str) -> int:
    return int(_digest(name), 16)


def _digest(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
