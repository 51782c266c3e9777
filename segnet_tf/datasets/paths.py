"""Finds the folders and files of a data set by their names."""

import unicodedata
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from operator import attrgetter
from pathlib import Path

from segnet_tf.datasets.dataset import listed_lines
from segnet_tf.datasets.images import IMAGE_SUFFIXES
from segnet_tf.errors import UserError

__all__ = [
    "CLASS_FILES",
    "SPLITS",
    "SPLIT_NAMES",
    "Tree",
    "class_file",
    "images_in",
    "is_image",
    "split_lists",
    "stem",
]

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "validate", "dev", "eval"),
    "test": ("test", "testing"),
}
"""Each split, and the names that folders and lists give it."""

SPLIT_NAMES = [(split, name) for split, names in SPLITS.items() for name in names]

CLASS_FILES = (
    "classes.txt",
    "class_dict.csv",
    "codes.txt",
    "labelmap.txt",
    "label_colors.txt",
    "labels.txt",
    "_classes.csv",
    "class_names.txt",
    "classes.csv",
)
"""Files that list the classes, in upper or lower case; the first one that is there
counts."""


class Tree:
    """A folder and what is below it; each folder is listed once.

    Attributes:
        root: the folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def matching(self, pattern: str) -> list[Path]:
        """The paths that fit a pattern from the root, in any case, in order."""
        found = [self.root]
        for part in pattern.lower().split("/"):
            if part != ".":
                found = [child for path in found for child in self._inside(path, part)]
        return found

    def images(self, folder: Path) -> list[Path]:
        """As `images_in`, in order; none if it is no folder."""
        children = [path for paths in self._names(folder).values() for path in paths]
        return [path for path in children if is_image(path)]

    def _names(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            names: dict[str, list[Path]] = {}
            # Names are compared much faster than paths.
            by_name = attrgetter("name")
            children = folder.iterdir() if folder.is_dir() else ()
            for child in sorted(children, key=by_name):
                names.setdefault(child.name.lower(), []).append(child)
            self._listed[folder] = names
        return self._listed[folder]

    def _inside(self, folder: Path, part: str) -> list[Path]:
        names = self._names(folder)
        if not set(part) & set("*?["):
            return names.get(part, [])
        return [
            child
            for name, children in names.items()
            if fnmatch(name, part)
            for child in children
        ]


def images_in(folder: Path) -> Iterable[Path]:
    """The files of a folder with the suffix of an image, without hidden ones."""
    return (path for path in folder.iterdir() if is_image(path))


def is_image(path: Path) -> bool:
    """Whether a name is an image's, and not a hidden file's."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def split_lists(pattern: str, tree: Tree) -> dict[str, list[str]]:
    """The lines of the list of each split, and, as "all", of a list of all images.

    Args:
        pattern: a path from the root, with `{split}` in it.
        tree: of the folder of the data set.

    Raises:
        UserError: if two files list one split.
    """
    found: dict[str, Path] = {}
    for split, alias in [*SPLIT_NAMES, ("all", "trainval")]:
        for path in tree.matching(pattern.replace("{split}", alias)):
            if split in found:
                raise UserError(f"{found[split]} and {path.name} both list {split}")
            found[split] = path
    return {split: listed_lines(path) for split, path in found.items()}


def class_file(root: Path, others: Sequence[Path]) -> Path | None:
    """The file that lists the classes, or None.

    Args:
        root: the folder of the data set.
        others: folders to look in, too.

    Raises:
        UserError: if the splits have lists that differ, or if a file seems to be such a
            list, but has another name.
    """
    trees = [Tree(folder) for folder in (root, *others)]
    found = [
        path
        for name in CLASS_FILES
        for tree in trees
        for path in tree.matching(name)
        if path.is_file()
    ]
    others = [path for path in found if path.name == found[0].name]
    if len({path.read_bytes() for path in others}) > 1:
        raise UserError(f"{others[0]} and {others[1]} differ: choose with --classes")
    if found:
        return found[0]
    for path in sorted(root.iterdir()):
        if path.suffix in (".txt", ".csv") and "class" in path.name.lower():
            raise UserError(f"{path}: a list of classes? Name it with --classes")
    return None


def stem(path: Path) -> str:
    """A file's name without its suffix. Some systems write "ä" as two characters."""
    return unicodedata.normalize("NFC", path.stem)
