"""Which pictures are meant: files, folders, patterns and lists, and names for results.

A hundred thousand files in a folder take less than 200 bytes each, and no picture is
opened before its turn comes.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from typing import NamedTuple

import numpy as np

from segnet_tf.datasets.images import IMAGE_SUFFIXES
from segnet_tf.errors import UserError

__all__ = ["VIDEO_SUFFIXES", "Source", "Sources", "is_video"]

VIDEO_SUFFIXES = frozenset(".avi .m4v .mkv .mov .mp4 .mpg .mpeg .webm".split())
"""Lower-case suffixes of video files."""


class Source(NamedTuple):
    """A file to label.

    Attributes:
        path: where it is.
        name: of its results: a path inside the output folder, without a suffix.
    """

    path: str
    name: str


class _Member(NamedTuple):
    """A file: the folder that was named ("" if the file itself was), and the rest."""

    root: str
    rest: str

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.rest)

    @property
    def base(self) -> str:
        """The name of its results, if no other file has the same."""
        return os.path.splitext(self.rest if self.root else _last(self.rest))[0]


class Sources:
    """The files that are meant, in a fixed order, each with a name for its results.

    A folder is searched with all folders in it, and its tree becomes that of the
    results; hidden files and the output folder are left out. If two results would have
    the same name, both get the name of the folder above in front, or of two, until they
    differ; files of one folder that differ in their suffix alone keep it. So the names
    depend on nothing but the files that are there.

    Args:
        arguments: files, folders and patterns; "-" stands for the lines of standard
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
        self._groups: list[tuple[str, list[str]]] = []
        single: dict[str, None] = {}
        for argument in arguments:
            if argument == "-":
                single.update(dict.fromkeys(_listed()))
            elif os.path.isdir(argument):
                self._groups.append((argument, list(self._walk(argument))))
                if not self._groups[-1][1]:
                    self.faults.append(UserError(f"{argument}: no pictures in it"))
            else:
                # What fits nothing is the name of a file that is not there.
                names = [argument] if os.path.lexists(argument) else _fitting(argument)
                single.update(dict.fromkeys(names or [argument]))
        self._groups.insert(0, ("", list(single)))
        self._named = self._told_apart()

    def __len__(self) -> int:
        dropped = sum(name is None for name in self._named.values())
        return sum(len(names) for _, names in self._groups) - dropped

    def __iter__(self) -> Iterator[Source]:
        for member in self._members():
            name = self._named.get(member, member.base)
            if name is not None:
                yield Source(member.path, name)

    @property
    def roots(self) -> list[str]:
        """The folders that were named."""
        return [root for root, _ in self._groups if root]

    @property
    def named_alone(self) -> list[str]:
        """The files that were named themselves, not by a folder."""
        return self._groups[0][1]

    def _members(self) -> Iterator[_Member]:
        for root, names in self._groups:
            for name in names:
                yield _Member(root, name)

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
                files, folders = self._listing(place)
            except OSError as error:
                self.faults.append(UserError(f"{place}: {error.strerror}"))
                continue
            for name in files:
                yield os.path.join(inside, name)
            waiting.extend(os.path.join(inside, name) for name in reversed(folders))

    def _listing(self, place: str) -> tuple[list[str], list[str]]:
        """The names of the files and the folders in a folder that count, in order."""
        files, folders = [], []
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if os.path.realpath(entry.path) != self._output:
                        folders.append(entry.name)
                elif _suffix(entry.name) in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
                    files.append(entry.name)
        return sorted(files), sorted(folders)

    def _told_apart(self) -> dict[_Member, str | None]:
        """The names of files that would share one; None for a file that comes twice."""
        numbers = np.fromiter(
            (hash(os.path.normcase(member.base)) for member in self._members()),
            np.int64,
            sum(len(names) for _, names in self._groups),
        )
        numbers.sort()
        shared = set(numbers[1:][numbers[1:] == numbers[:-1]].tolist())
        if not shared:
            return {}
        members = [
            member
            for member in self._members()
            if hash(os.path.normcase(member.base)) in shared
        ]
        taken = set(numbers.tolist()) - shared
        return _names(members, taken)


def is_video(path: str) -> bool:
    """Whether a name is that of a video file or of a camera's device."""
    return _suffix(path) in VIDEO_SUFFIXES or path.startswith("/dev/video")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _fitting(pattern: str) -> list[str]:
    """The files whose names fit a pattern, in order."""
    found = sorted(glob(pattern, recursive=True)) if has_magic(pattern) else []
    return [name for name in found if not os.path.isdir(name)]


def _last(path: str) -> str:
    return os.path.basename(os.path.normpath(path))


def _listed() -> list[str]:
    """The lines of standard input; names need not be text."""
    lines = sys.stdin.buffer.read().splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


class _Naming:
    """A file's name for results, which grows from the front until it is its own."""

    def __init__(self, member: _Member):
        whole = os.path.abspath(member.path)
        self.key = os.path.realpath(member.path)
        self.folder = os.path.dirname(whole)
        self._above = os.path.splitdrive(os.path.abspath(member.root or self.folder))[1]
        self._base, self._suffix = member.base, os.path.splitext(member.rest)[1]
        self.level, self.whole_name = 0, False

    @property
    def name(self) -> str:
        parts = self._above.strip(os.sep).split(os.sep) if self.level else []
        base = self._base + (self._suffix if self.whole_name else "")
        return os.path.join(*parts[-self.level :], base) if parts else base

    def grow(self) -> None:
        self.level += 1
        self.whole_name |= self.level > self._above.count(os.sep)


def _names(members: list[_Member], taken: set[int]) -> dict[_Member, str | None]:
    """Names that differ from one another and from those whose hashes are taken."""
    named: dict[_Member, str | None] = {}
    kept: dict[_Member, _Naming] = {}
    for member in members:
        kept[member] = _Naming(member)
    for same in _grouped(kept, lambda naming: (naming.key, naming.name)):
        for member in same[1:]:
            named[member] = None
            del kept[member]
    for same in _grouped(kept, lambda naming: (naming.folder, naming.name)):
        for member in same if len(same) > 1 else []:
            kept[member].whole_name = True
    while True:
        growing = [
            member
            for same in _grouped(kept, lambda naming: os.path.normcase(naming.name))
            for member in same
            if len(same) > 1 or hash(os.path.normcase(kept[member].name)) in taken
        ]
        if not growing:
            break
        for member in growing:
            kept[member].grow()
    named.update({member: naming.name for member, naming in kept.items()})
    return named


def _grouped(kept: dict[_Member, _Naming], key) -> Iterable[list[_Member]]:
    groups = defaultdict(list)
    for member, naming in kept.items():
        groups[key(naming)].append(member)
    return groups.values()
