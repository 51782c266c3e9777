"""What has been done in a folder of results, so that a repeated command goes on.

A line is added for each picture when its files are there. A process that is killed
loses at most a line, and a half line is passed over.
"""

import csv
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

__all__ = ["Record"]


class Record:
    """The pictures that have been labelled into a folder.

    A picture counts as done if its file is as it was (place, size and time), if it was
    labelled by the same model with the same settings, and if its results are there.

    Args:
        folder: of the results; it need not exist.
        settings: whatever the results depend on, as JSON.
    """

    NAME = ".done.jsonl"

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self._path = folder / self.NAME
        self._settings = _digest(json.dumps(settings, sort_keys=True))
        self._file: IO[str] | None = None
        self._lock = Lock()
        # Numbers of eight bytes: a hundred thousand take 10 MB.
        self._done = {int(row["key"], 16) for row in self._lines()}

    def __contains__(self, picture: Picture) -> bool:
        """Whether it was labelled before."""
        if not self._done:
            return False
        try:
            return int(self._key(picture), 16) in self._done
        except OSError:
            return False

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
            "name": picture.name,
            "size": list(size),
            "shares": {str(index): round(share, 6) for index, share in shares},
        }
        try:
            with self._lock:
                file = self._file = self._file or self._opened()
                # One write: lines of several processes do not mix.
                file.write(json.dumps(row) + "\n")
                file.flush()
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

        Each has "path", "name", "size" (height, width) and "shares" (class id as text
        -> share of all pixels).
        """
        found = {row["name"]: row for row in self._lines()}
        return [found[name] for name in sorted(found)]

    def write_table(self, path: Path, info: DatasetInfo) -> None:
        """Writes a table of the classes' shares in each picture as CSV.

        Raises:
            UserError: if it cannot be written.
        """
        with replacing(path) as temporary:
            with temporary.open(
                "w", newline="", encoding="utf-8", errors="surrogateescape"
            ) as file:
                writer = csv.writer(file)
                writer.writerow(["picture", "result", "width", "height", *info.classes])
                for row in self.rows():
                    height, width = row["size"]
                    shares = (
                        row["shares"].get(str(n), 0) for n in range(len(info.classes))
                    )
                    writer.writerow([row["path"], row["name"], width, height, *shares])

    def _opened(self) -> IO[str]:
        # A line that a killed process left half must not swallow the next one.
        broken = self._path.exists() and not _ends_a_line(self._path)
        file = self._path.open("a", encoding="utf-8")
        if broken:
            file.write("\n")
        return file

    def _key(self, picture: Picture) -> str:
        seen = os.stat(picture.path)
        what = [os.path.abspath(picture.path), picture.name, picture.frame]
        return _digest(repr([*what, seen.st_size, seen.st_mtime_ns, self._settings]))

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The whole lines that are about these settings."""
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    try:
                        row = json.loads(line)
                        if row["by"] == self._settings:
                            int(row["key"], 16)
                            yield row
                    except (ValueError, KeyError, TypeError):
                        continue
        except FileNotFoundError:
            return


def _digest(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
