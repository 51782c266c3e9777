"""Which pictures are meant: files, folders, patterns and lists, and names for results.

A hundred thousand files in a folder take less than 200 bytes each, and no picture is
opened before its turn comes.
"""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from segnet_tf.datasets.images import IMAGE_SUFFIXES
from segnet_tf.errors import UserError
from segnet_tf.inference.many.naming import Member, each_once, told_apart
from segnet_tf.inference.many.patterns import fitting, listed

__all__ = ["RECORD", "VIDEO_SUFFIXES", "Source", "Sources", "is_video"]

VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv"
    .split()
)  # fmt: skip
"""Lower-case suffixes of video files."""

# In folders, most .ts files hold TypeScript.
_SOUGHT = (IMAGE_SUFFIXES | VIDEO_SUFFIXES) - {".ts"}

RECORD = ".done.jsonl"
"""The file that a folder of results is known by."""


class Source(NamedTuple):
    """A file to label.

    Attributes:
        path: where it is.
        name: of its results: a path inside the output folder, without a suffix.
    """

    path: str
    name: str


class Sources:
    """The files that are meant, in a fixed order, each with a name for its results.

    A folder is searched with all folders in it, and its tree becomes that of the
    results; hidden files, the output folder and folders of earlier results are left
    out. A file counts once, by however many routes it is reached. The names are those
    of `segnet_tf.inference.many.naming`.

    Args:
        arguments: files, folders and patterns; "-" stands for the names on standard
            input, one file each.
        output: the folder of the results.

    Attributes:
        faults: one line for each argument that gives no file.

    Raises:
        UserError: if the results would lie among the pictures of a folder.
    """

    def __init__(self, arguments: Sequence[str], output: str | os.PathLike):
        self.faults: list[UserError] = []
        self._output = os.path.realpath(output)
        folders: dict[str, tuple[str, list[str]]] = {}
        single: dict[str, None] = {}
        for argument in arguments:
            if argument == "-":
                single.update(dict.fromkeys(listed()))
            elif os.path.isdir(argument):
                if (real := os.path.realpath(argument)) in folders:
                    continue
                folders[real] = argument, list(self._walk(argument))
                if not folders[real][1]:
                    self.faults.append(UserError(f"{argument}: no pictures in it"))
            else:
                # What fits nothing is the name of a file that is not there.
                names = [argument] if os.path.lexists(argument) else fitting(argument)
                single.update(dict.fromkeys(names or [argument]))
        self._named_alone = list(single)
        self._groups = each_once([("", self._named_alone), *folders.values()])
        self._named = told_apart(self._groups)

    def __len__(self) -> int:
        return sum(len(names) for _, names in self._groups)

    def __iter__(self) -> Iterator[Source]:
        for root, names in self._groups:
            for name in names:
                member = Member(root, name)
                yield Source(member.path, self._named.get(member, member.base))

    @property
    def roots(self) -> list[str]:
        """The folders that were named."""
        return [root for root, _ in self._groups if root]

    @property
    def named_alone(self) -> list[str]:
        """The files that were named themselves, not by a folder."""
        return self._named_alone

    def _walk(self, root: str) -> Iterator[str]:
        """The pictures and videos in a folder, relative to it, in order."""
        if os.path.realpath(root) == self._output:
            raise UserError(
                f"{root}: the results would lie among its pictures: choose another "
                "--output"
            )
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            place = os.path.join(root, inside)
            try:
                files, folders = self._listing(place, results_too=not inside)
            except OSError as error:
                self.faults.append(UserError(f"{place}: {error.strerror}"))
                continue
            for name in files:
                yield os.path.join(inside, name)
            waiting.extend(os.path.join(inside, name) for name in reversed(folders))

    def _listing(self, place: str, results_too: bool) -> tuple[list[str], list[str]]:
        """The names of the files and the folders in a folder that count, in order."""
        files, folders = [], []
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name == RECORD and not results_too:
                    return [], []
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if os.path.realpath(entry.path) != self._output:
                        folders.append(entry.name)
                elif _suffix(entry.name) in _SOUGHT:
                    files.append(entry.name)
        return sorted(files), sorted(folders)


def is_video(path: str) -> bool:
    """Whether a name is that of a video file or of a camera's device."""
    return _suffix(path) in VIDEO_SUFFIXES or path.startswith("/dev/video")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
