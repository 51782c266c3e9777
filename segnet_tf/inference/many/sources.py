"""Which pictures are meant: files, folders, patterns and lists, and names for results.

A hundred thousand files in a folder take less than 200 bytes each, and no picture is
opened before its turn comes.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from segnet_tf.datasets.images import IMAGE_SUFFIXES
from segnet_tf.errors import UserError
from segnet_tf.inference.many.inventory import Elsewhere, Inventory
from segnet_tf.inference.many.naming import Kept, Member, each_once, told_apart
from segnet_tf.inference.many.patterns import fitting, listed

__all__ = ["VIDEO_SUFFIXES", "Source", "Sources", "counted", "is_video"]

VIDEO_SUFFIXES = frozenset(
    ".3gp .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv"
    .split()
)  # fmt: skip
"""Lower-case suffixes of video files."""

# In folders, most .ts files hold TypeScript.
_SOUGHT = (IMAGE_SUFFIXES | VIDEO_SUFFIXES) - {".ts"}


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
    results; hidden files are left out. So are results of earlier runs, unless they are
    named themselves and lie in another folder than the output. A file counts once, by
    however many routes it is reached. The names are those of
    `segnet_tf.inference.many.naming`; a file that had one in the output folder keeps
    it.

    Args:
        arguments: files, folders and patterns; "-" stands for the names on standard
            input, one file each.
        output: the folder of the results.

    Attributes:
        faults: one line for each argument that gives no file.
        left_out: folder -> number of the results of earlier runs in it that do not
            count; those in the output folder are not there, unless they were named.
        inventory: what is in the output folder.

    Raises:
        UserError: if the results would lie among the pictures of a folder, or if the
            output folder has a record that cannot be read.
    """

    def __init__(self, arguments: Sequence[str], output: str | os.PathLike):
        self.faults: list[UserError] = []
        self.inventory = Inventory(output)
        self._output = os.path.realpath(output)
        self._elsewhere = Elsewhere()
        self.left_out: dict[str, int] = {}
        folders: dict[str, tuple[str, list[str]]] = {}
        single: dict[str, None] = {}
        for argument in arguments:
            if argument == "-":
                single.update(dict.fromkeys(self._others(listed())))
            elif os.path.isdir(argument):
                if (real := os.path.realpath(argument)) in folders:
                    continue
                folders[real] = argument, self._in_folder(argument)
            elif os.path.lexists(argument):
                single.update(dict.fromkeys(self._others([argument])))
            else:
                # What fits nothing is the name of a file that is not there.
                found = fitting(argument)
                single.update(dict.fromkeys(self._pictures(found) or [argument]))
        self._groups = each_once([("", list(single)), *folders.values()])
        self._named = told_apart(self._groups, self.inventory.kept)
        # It has done its work, and takes most of the memory.
        self.inventory.kept, self._elsewhere = Kept(), Elsewhere()

    def __len__(self) -> int:
        return sum(len(names) for _, names in self._groups)

    def __iter__(self) -> Iterator[Source]:
        for root, names in self._groups:
            for name in names:
                member = Member(root, name)
                yield Source(member.path, self._named.get(member, member.base))

    def _in_folder(self, root: str) -> list[str]:
        before = sum(self.left_out.values())
        found = list(self._walk(root))
        if not found:
            results = sum(self.left_out.values()) - before
            but = f" but {counted(results)} of earlier runs" if results else ""
            self.faults.append(UserError(f"{root}: no pictures in it{but}"))
        return found

    def _pictures(self, paths: list[str]) -> list[str]:
        """Those of some files that are no results."""
        found = []
        for folder, names in groupby(map(os.path.split, paths), itemgetter(0)):
            mine = [name for _, name in names]
            left = self._without_results(folder, mine)
            found.extend(os.path.join(folder, name) for name in left)
        return found

    def _others(self, paths: list[str]) -> list[str]:
        """Files that were named, without results that lie in the output folder.

        A shell names these, too, if the same command comes again.
        """
        real, found = cache(os.path.realpath), []
        for path in paths:
            folder, name = os.path.split(path)
            place = os.path.join(real(folder), name)
            if os.path.relpath(place, self._output) in self.inventory:
                self._count(folder, 1)
            else:
                found.append(path)
        return found

    def _without_results(self, folder: str, names: list[str]) -> list[str]:
        """The files in a folder that are no results; the others are counted."""
        try:
            results = set(self._elsewhere.among(folder, names))
        except UserError as fault:
            if str(fault) not in map(str, self.faults):
                self.faults.append(fault)
            return []
        # Those in the output folder are expected.
        if results and not _is_inside(os.path.realpath(folder), self._output):
            self._count(folder, len(results))
        return [name for name in names if name not in results]

    def _count(self, folder: str, results: int) -> None:
        folder = os.path.normpath(folder)
        self.left_out[folder] = self.left_out.get(folder, 0) + results

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
                files, folders = _listing(place)
            except OSError as error:
                self.faults.append(UserError(f"{place}: {error.strerror}"))
                continue
            for name in self._without_results(place, files):
                yield os.path.join(inside, name)
            waiting.extend(os.path.join(inside, name) for name in reversed(folders))


def _listing(place: str) -> tuple[list[str], list[str]]:
    """The names of the files and the folders in a folder that count, in order."""
    files, folders = [], []
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif _suffix(entry.name) in _SOUGHT:
                files.append(entry.name)
    return sorted(files), sorted(folders)


def counted(results: int) -> str:
    """A number of results, in words."""
    return "1 result" if results == 1 else f"{results:,} results"


def is_video(path: str) -> bool:
    """Whether a name is that of a video file or of a camera's device."""
    return _suffix(path) in VIDEO_SUFFIXES or path.startswith("/dev/video")


def _is_inside(path: str, folder: str) -> bool:
    return os.path.join(path, "").startswith(os.path.join(folder, ""))


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()
