"""Names for results: each file gets its own, whatever files are named with it.

A hundred thousand files in a folder take less than 200 bytes each: what has a name of
its own from the start is not looked at again. A file that had a name in the folder of
the results before keeps it.
"""

import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import NamedTuple

import numpy as np

__all__ = [
    "FRAMES",
    "MOVING",
    "Group",
    "Kept",
    "Member",
    "each_once",
    "hash_of",
    "real_folder",
    "told_apart",
]

FRAMES = "_frames"
"""After the name of a file: the folder of its frames' results, if it has several."""

MOVING = frozenset(".apng .gif .png .tif .tiff .webp".split())
"""Lower-case suffixes of files that may have several frames."""

Group = tuple[str, list[str]]
"""A folder that was named, and files relative to it; "" and files that were named."""


class Member(NamedTuple):
    """A file: the folder that was named ("" if the file itself was), and the rest."""

    root: str
    rest: str

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.rest)

    @property
    def base(self) -> str:
        """The name of its results, if no other file has the same."""
        rest = self.rest if self.root else os.path.basename(self.rest)
        return os.path.splitext(rest)[0]


def _members(groups: Iterable[Group]) -> Iterator[Member]:
    for root, names in groups:
        for name in names:
            yield Member(root, name)


@cache
def real_folder(folder: str) -> str:
    """A folder without the links on its way, as they were when `Kept` was made."""
    return os.path.realpath(folder)


def _place(path: str) -> str:
    """A file's only name: links in its folder's path are followed, its own is not."""
    folder, name = os.path.split(path)
    return os.path.join(real_folder(folder), name)


@dataclass
class Kept:
    """Names that files had before in the folder of the results; they are theirs.

    Files and names stand there as hashes.
    """

    _names: dict[int, str] = field(default_factory=dict)
    _stems: set[int] = field(default_factory=set)
    owners: dict[int, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def __post_init__(self):
        # Links may have changed since the last time.
        real_folder.cache_clear()

    def add(self, path: str, name: str, frame: int | None = None) -> None:
        """Notes a name; the last one of a file counts, and the last file of a name.

        Args:
            path: of the file.
            name: of a result.
            frame: its number, if it is one of several of the file.
        """
        place = _place(path)
        owner = hash(place)
        self._stems.add(hash(os.path.splitext(place)[0]))
        self.owners[hash_of(name)] = owner
        if frame is not None:
            name = os.path.dirname(name).removesuffix(FRAMES)
            self.owners[hash_of(name)] = owner
        elif FRAMES + os.sep in name:
            self.folders.update(_folders_of(os.path.normcase(name)))
        self._names[owner] = name

    def name(self, member: Member) -> str | None:
        """The name that a file has; None: it has none."""
        if not self._names:
            return None
        place = hash(_place(member.path))
        name = self._names.get(place)
        return name if name and self.owners[hash_of(name)] == place else None

    def has_sibling(self, place: str) -> bool:
        """Whether there is a file that differs in its suffix alone."""
        return hash(os.path.splitext(place)[0]) in self._stems


def each_once(groups: list[Group]) -> list[Group]:
    """The groups without files that come again.

    Of several routes to a file, the one counts that gives its results the longest name.
    """
    groups = [group for group in groups if group[1]]
    if len(groups) == 1 and groups[0][0]:
        return groups
    routes: dict[str, Member] = {}
    for member in _members(groups):
        place = _place(member.path)
        other = routes.get(place)
        if other is None or len(member.base) > len(other.base):
            routes[place] = member
    kept = set(routes.values())
    return [
        (root, [name for name in names if Member(root, name) in kept])
        for root, names in groups
    ]


def told_apart(groups: list[Group], kept: Kept | None = None) -> dict[Member, str]:
    """The names of the files that cannot have their `Member.base`.

    If two results would have the same name, both get the name of the folder above in
    front, or of two, until they differ; files of one folder that differ in their
    suffix alone keep it. What is left then gets a number. So the names depend on
    nothing but the files that are named, now and before. A file also keeps its suffix
    if the folder of its frames would lie on a folder of other results.

    Args:
        groups: files of which each comes once.
        kept: names that files have already. They stay; another file grows.
    """
    kept = kept or Kept()
    named = _names(groups, kept)
    trees = (
        named.get(member := Member(root, name), member.base)
        for root, names in groups
        if root
        for name in names
        if FRAMES + os.sep in name
    )
    folders = kept.folders | {
        folder
        for name in (*trees, *named.values())
        if FRAMES + os.sep in name
        for folder in _folders_of(os.path.normcase(name))
    }
    return named | _beside(folders, groups, named) if folders else named


def _beside(
    folders: set[str], groups: list[Group], named: dict[Member, str]
) -> dict[Member, str]:
    """Other names for files of which frames would come into one of the folders."""
    names = {one: named.get(one, one.base) for one in _members(groups)}
    taken = set(map(os.path.normcase, names.values()))
    found = {}
    for member in sorted(names, key=lambda one: _place(one.path)):
        suffix = os.path.splitext(member.rest)[1]
        frames = os.path.normcase(names[member] + FRAMES)
        if suffix.lower() in MOVING and frames in folders:
            found[member] = next(
                name
                for name in _numbered(names[member] + suffix)
                if os.path.normcase(name) not in taken
                and os.path.normcase(name + FRAMES) not in folders
            )
            taken.add(os.path.normcase(found[member]))
    return found


def _folders_of(name: str) -> Iterator[str]:
    while name := os.path.dirname(name).rstrip(os.sep):
        yield name


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


class _Growing:
    """A file's name for results, which grows from the front up to its whole path."""

    def __init__(self, member: Member):
        self.place = _place(member.path)
        # The folders above what the name has already.
        above = os.path.splitext(self.place)[0].removesuffix(member.base)
        self._above = os.path.splitdrive(above)[1].strip(os.sep).split(os.sep)
        self._base, self._suffix = member.base, os.path.splitext(member.rest)[1]
        self._level, self.whole_name = 0, False

    @property
    def name(self) -> str:
        parts = self._above[len(self._above) - self._level :]
        return os.path.join(
            *parts, self._base + (self._suffix if self.whole_name else "")
        )

    def grow(self) -> bool:
        """Makes the name longer; False if it is the whole path."""
        if self._level < len(self._above):
            self._level += 1
        elif not self.whole_name:
            self.whole_name = True
        else:
            return False
        return True


def _names(groups: list[Group], kept: Kept) -> dict[Member, str]:
    """Names that differ, of the files whose `Member.base` is not theirs alone."""
    named, free = _settled(groups, kept)
    hashes = np.array(free, np.int64)
    hashes.sort()
    shared = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
    shared |= kept.owners.keys() & set(hashes.tolist()) if kept.owners else set()
    if not shared:
        return named
    growing = {
        member: _Growing(member)
        for member in _members(groups)
        if hash_of(member.base) in shared and kept.name(member) is None
    }
    taken = (set(hashes.tolist()) - shared) | kept.owners.keys()
    siblings = Counter(os.path.splitext(one.place)[0] for one in growing.values())
    for one in growing.values():
        beside = siblings[os.path.splitext(one.place)[0]] > 1
        one.whole_name = beside or kept.has_sibling(one.place)
    # It ends: in each round a name grows, and none is longer than its path.
    while True:
        clashes = list(_clashing(growing.values(), taken))
        # All of them grow, whatever the others do.
        if not any([one.grow() for one in clashes]):
            break
    # Only if another file's own name looks like a whole path.
    named |= {member: one.name for member, one in growing.items()}
    stuck = {id(one) for one in clashes}
    for member in sorted(growing, key=lambda one: growing[one].place):
        if id(growing[member]) in stuck:
            used = taken | {hash_of(name) for name in named.values()}
            free = (
                name for name in _numbered(named[member]) if hash_of(name) not in used
            )
            named[member] = next(free)
    return named


def _settled(groups: list[Group], kept: Kept) -> tuple[dict[Member, str], array]:
    """Kept names that are no `Member.base`, and hashes of the bases of other files."""
    named, free = {}, array("q")
    for member in _members(groups):
        name = kept.name(member)
        if name is None:
            free.append(hash_of(member.base))
        elif name != member.base:
            named[member] = name
    return named, free


def _clashing(growing: Iterable[_Growing], taken: set[int]) -> Iterator[_Growing]:
    growing = list(growing)
    hashes = Counter(hash_of(one.name) for one in growing)
    for one in growing:
        found = hash_of(one.name)
        if hashes[found] > 1 or found in taken:
            yield one


def hash_of(name: str) -> int:
    """What stands for the name of a file, or of results, while the process runs."""
    return hash(os.path.normcase(name))
