"""Finds the layout of a folder: the row of the table that fits, and where files lie."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from segnet_tf.datasets.layouts import LAYOUTS, Layout
from segnet_tf.datasets.paths import (
    SPLIT_NAMES,
    SPLITS,
    Tree,
    class_file,
    is_image,
    split_lists,
    stem,
)
from segnet_tf.errors import UserError

__all__ = ["Found", "find", "given"]

Places = list[tuple[Path, Path]]
"""Pairs of a folder of images and the folder, or file, of their labels."""


@dataclass(frozen=True)
class Found:
    """A layout that fits a folder.

    Attributes:
        layout: the row of the table.
        root: the folder that the row's paths start from.
        places: split -> where its files lie; the split is "" if no folder is a split's.
        lists: split -> the lines of its list; "all": those of a list of all images.
        given: the folder that was looked in; it may have the root inside.
    """

    layout: Layout
    root: Path
    places: Mapping[str, Places]
    lists: Mapping[str, list[str]] = field(default_factory=dict)
    given: Path | None = None

    def class_file(self) -> Path | None:
        """The file that lists the classes, or None. Raises as `class_file` of paths."""
        inside = [path for pair in self.pairs for path in pair if path.is_dir()]
        above = self.root if self.given is None else self.given
        return class_file(self.root, [*dict.fromkeys(inside), above])

    @property
    def pairs(self) -> list[tuple[Path, Path]]:
        """The places of all splits."""
        return [pair for pairs in self.places.values() for pair in pairs]

    @property
    def labels(self) -> tuple[str, frozenset[Path]]:
        """The kind of the labels, and where they lie."""
        return self.layout.kind, frozenset(labels for _, labels in self.pairs)

    @property
    def says(self) -> str:
        """What was recognised, in a few words."""
        return f"{self.root}: layout {self.layout.name}"


def find(root: Path) -> Found:
    """The layout of a folder.

    Raises:
        UserError: if no row of the table fits, or several do; if two folders are the
            same split, or if the labels of one split are missing.
    """
    for place in (root, *_alone_inside(root)):
        tree = Tree(place)
        fits = [found for layout in LAYOUTS if (found := _fit(layout, tree))]
        # Rows may find the same labels: the first one says best what they are.
        fitting = list({found.labels: found for found in reversed(fits)}.values())
        if len(fitting) > 1:
            names = ", ".join(found.layout.name for found in reversed(fitting))
            raise UserError(
                f"{place}: fits several layouts ({names}): choose with --images and "
                "--masks"
            )
        if fitting:
            return replace(fitting[0], given=root)
    images = [path for path in Tree(root).matching("images") if path.is_dir()]
    if images:
        raise UserError(
            f"{images[0]}: no images in it with masks in {root / 'masks'}: put them "
            "there, or name the folders with --images and --masks"
            + (
                f"; of the folders in it, only {', '.join(SPLITS)} are read"
                if any(path.is_dir() for path in images[0].iterdir())
                else _hint(Tree(root))
            )
        )
    raise UserError(
        f"folder: {root} has no folder images/, and is of no layout that is known "
        "(docs/your-data.md): name its folders with --images and --masks"
        + _hint(Tree(root))
    )


def _hint(tree: Tree) -> str:
    """The end of a line on an unknown layout: what else may be done."""
    named = Counter(stem(path) for path in tree.images(tree.root))
    if sum(count > 1 for count in named.values()) > len(named) / 2:
        return (
            "; masks beside their images need an end of their own, such as leaf_mask."
            "png beside leaf.jpg"
        )
    ends = [
        str(layout.mask_end)
        for layout in LAYOUTS
        if "/" in layout.images and layout.image_end
        if tree.matching(layout.images.split("/")[0])
    ]
    if ends:
        return f"; no folder of masks has names that end in {' or '.join(ends)}"
    files = [*tree.matching("*.json"), *tree.matching("annotations/*.json")]
    if files:
        name = files[0].relative_to(tree.root)
        return f"; if {name} has COCO annotations, name it with --masks {name}"
    return ""


def _alone_inside(root: Path) -> Iterator[Path]:
    """The only folder inside a folder, and the only one inside that."""
    for _ in range(2):
        inside = [
            path
            for path in root.iterdir()
            if path.is_dir() and not path.name.startswith((".", "__"))
        ]
        if len(inside) != 1:
            return
        root = inside[0]
        yield root


def given(
    root: Path, images: str | None, masks: str | None, mask_end: str | None
) -> Found:
    """The layout of folders that the user names, from the root or absolute.

    Args:
        root: the folder of the data set.
        images: the folder of the images; None: images/, or the root if it has none.
        masks: the folder of the masks, or a file of COCO's annotations; None: masks/.
        mask_end: see `Layout`.

    Raises:
        UserError: if a folder is not there, or has no images.
    """
    masks = "masks" if masks is None else masks
    kind = "coco" if masks.lower().endswith(".json") else "masks"
    if images is None:
        images = "images" if kind == "masks" or (root / "images").is_dir() else "."
    layout = Layout("named", ".", ".", kind, mask_end=mask_end)
    folders = [root / name for name in (images, masks)]
    if not folders[0].is_dir():
        raise UserError(f"{folders[0]}: no such folder")
    if kind == "coco" and not folders[1].is_file():
        raise UserError(f"{folders[1]}: no such file")
    if kind == "masks" and not folders[1].is_dir():
        raise UserError(f"{folders[1]}: no such folder")
    trees = [Tree(folder) for folder in folders]
    places = {
        split: [(image, mask)]
        for split, alias in SPLIT_NAMES
        for image in trees[0].matching(alias)
        for mask in trees[1].matching(alias)
        if _holds(layout, trees[0], image, mask)
    }
    if not places and _holds(layout, trees[0], *folders):
        places = {"": [(folders[0], folders[1])]}
    if not places:
        raise UserError(f"{folders[0]} and {folders[1]}: no images in one of them")
    lists = split_lists(layout.lists, Tree(root)) if "" in places else {}
    return Found(layout, root, places, lists)


def _fit(layout: Layout, tree: Tree) -> Found | None:
    """The layout with its places in a folder, or None if it has none there.

    Raises:
        UserError: if two folders are the same split, or if one has no labels.
    """
    places: dict[str, Places] = {}
    bare: dict[str, Path] = {}
    for images, labels in layout.patterns():
        inside = "{split}" in images
        if places and not inside:
            break
        for split, alias in SPLIT_NAMES if inside else [("", "")]:
            folders = tree.matching(images.replace("{split}", alias))
            found, unlabelled = _places(
                layout, tree, folders, labels.replace("{split}", alias)
            )
            if found and places.get(split, found) != found:
                _refuse_both(split, places[split][0], found[0])
            if len(found) > 1 and "*" not in images:
                _refuse_both(split, *found[:2])
            if found:
                places[split] = found
            if unlabelled:
                bare[split] = unlabelled[0]
    for split, folder in bare.items() if places else ():
        # Public data sets often keep the labels of test to themselves.
        if split != "test":
            raise UserError(f"{folder}: has images, but there are no labels")
    if not places:
        return None
    lists = split_lists(layout.lists, tree) if "" in places else {}
    return Found(layout, tree.root, places, lists)


def _refuse_both(split: str, first: tuple[Path, Path], second: tuple[Path, Path]):
    raise UserError(
        f"{first[0]} and {second[0]} are both {split or 'the images'}: leave one of "
        "them out"
    )


def _places(
    layout: Layout, tree: Tree, folders: list[Path], pattern: str
) -> tuple[Places, list[Path]]:
    """Folders of images with their labels, and folders of images without."""
    pairs, bare = [], []
    for folder in folders:
        labels = tree.matching(pattern.replace("{images}", folder.name))
        by_name = {path.name: path for path in labels}
        # Folders of cities have the same names on both sides.
        many = len(labels) > 1 or "*" in layout.images
        own = by_name.get(folder.name) if many else next(iter(labels), None)
        if own and _holds(layout, tree, folder, own):
            pairs.append((folder, own))
        elif tree.images(folder):
            bare.append(folder)
    return pairs, bare


def _holds(layout: Layout, tree: Tree, images: Path, labels: Path) -> bool:
    """Whether there are such images and labels in these places."""
    if layout.kind == "coco":
        return labels.is_file() and _any_image(tree, images)
    inside = tree.images(images)
    if not inside or (layout.beside and not (images / layout.beside).is_file()):
        return False
    if layout.kind == "labelme":
        return any((labels / f"{path.stem}.json").is_file() for path in inside)
    masks = tree.images(labels)
    if images == labels:
        end = layout.mask_end or ""
        named = {stem(path) for path in inside}
        others = [name for name in named if not name.endswith(end)]
        # A few may be anything.
        return 0 < len(others) < 2 * (len(named) - len(others)) and all(
            name.endswith(layout.image_end) for name in others
        )
    if layout.image_end:
        return any(stem(path).endswith(layout.mask_end or "") for path in masks)
    return bool(masks)


def _any_image(tree: Tree, folder: Path) -> bool:
    """Whether a folder, or one in it, has an image."""
    return bool(tree.images(folder)) or any(
        is_image(Path(name)) for _, _, names in os.walk(folder) for name in names
    )
