"""Where the files of a data set lie, as people make it or as it was downloaded.

`LAYOUTS` has a row for each layout. A row that names no split stands for three: its
folders as they are, with a folder of each split inside them, or around them. Upper and
lower case are the same. A downloaded archive may have all this inside another folder.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from segnet_tf.datasets.dataset import listed_lines
from segnet_tf.datasets.images import IMAGE_SUFFIXES
from segnet_tf.datasets.known_classes import CITYSCAPES_CLASSES, VOC_CLASSES
from segnet_tf.errors import UserError

__all__ = ["LAYOUTS", "SPLITS", "Found", "Layout", "find", "given", "images_in", "stem"]

SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "validate", "dev", "eval"),
    "test": ("test", "testing"),
}
"""Each split, and the names that folders and lists give it."""

_SPLIT_NAMES = [(split, name) for split, names in SPLITS.items() for name in names]

CLASS_FILES = (
    "classes.txt",
    "class_dict.csv",
    "codes.txt",
    "labelmap.txt",
    "label_colors.txt",
    "labels.txt",
    "_classes.csv",
)
"""Files that list the classes; the first one that is there counts."""


@dataclass(frozen=True)
class Layout:
    """One row of the table.

    Attributes:
        name: for the line that says what was recognised.
        images: the folder of the images. `{split}` stands for the split, `*` for any
            name.
        labels: the folder of the masks, or the file of annotations, likewise.
        kind: of the labels: "masks", "coco" or "labelme".
        image_end: the end of an image's name that its mask's name does not have.
        mask_end: the end of a mask's name that its image's does not have; None: the one
            that the masks share.
        lists: the text file of the images of a split. If only one of train and val is
            listed, the other one has the rest.
        beside: a file in the folder of the images that tells the layout from others.
        classes: the text of a class list, used if no file lists the classes. Ids that
            it does not list are void.
    """

    name: str
    images: str
    labels: str
    kind: str = "masks"
    image_end: str = ""
    mask_end: str | None = None
    lists: str | None = None
    beside: str | None = None
    classes: str | None = None

    def patterns(self) -> Iterator[tuple[str, str]]:
        """The places of images and labels, those with a split first."""
        if "{split}" not in self.images:
            yield f"{self.images}/{{split}}", f"{self.labels}/{{split}}"
            yield f"{{split}}/{self.images}", f"{{split}}/{self.labels}"
        yield self.images, self.labels


LAYOUTS = (
    Layout("images/ and masks/", "images", "masks"),
    Layout("images/ and labels/", "images", "labels", lists="{split}.txt"),
    Layout("images/ and annotations/", "images", "annotations"),
    Layout(
        "Pascal VOC",
        "JPEGImages",
        "SegmentationClass",
        lists="ImageSets/Segmentation/{split}.txt",
        classes=VOC_CLASSES,
    ),
    Layout("Kaggle's CamVid", "{split}", "{split}_labels"),
    Layout(
        "keras-segmentation", "images_prepped_{split}", "annotations_prepped_{split}"
    ),
    Layout(
        "Cityscapes",
        "leftImg8bit/{split}/*",
        "gtFine/{split}/*",
        image_end="_leftImg8bit",
        mask_end="_gtFine_labelIds",
        classes=CITYSCAPES_CLASSES,
    ),
    Layout(
        "Roboflow's masks",
        "{split}",
        "{split}",
        mask_end="_mask",
        beside="_classes.csv",
    ),
    Layout("Roboflow's COCO", "{split}", "{split}/_annotations.coco.json", "coco"),
    Layout("COCO", "{split}2017", "annotations/instances_{split}2017.json", "coco"),
    Layout("CVAT's COCO", "images", "annotations/instances_default.json", "coco"),
    Layout("COCO", "images", "annotations.json", "coco"),
    Layout("Label Studio's COCO", "images", "result.json", "coco"),
    Layout("labelme", ".", ".", "labelme"),
    Layout("labelme", "images", "images", "labelme"),
)

Places = list[tuple[Path, Path]]
"""Pairs of a folder of images and the folder, or file, of their labels."""


@dataclass(frozen=True)
class Found:
    """A layout that fits a folder.

    Attributes:
        layout: the row of the table.
        root: the folder that the row's paths start from.
        places: split -> where its files lie; the split is "" if no folder is a split's.
        lists: split -> the lines of its list.
        classes: the file that lists the classes, or None.
    """

    layout: Layout
    root: Path
    places: Mapping[str, Places]
    lists: Mapping[str, list[str]] = field(default_factory=dict)
    classes: Path | None = None

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
        fitting = [found for layout in LAYOUTS if (found := _fit(layout, place))]
        if len(fitting) > 1:
            names = ", ".join(f"{one.layout.name}" for one in fitting)
            raise UserError(
                f"{place}: fits several layouts ({names}): choose with --images and "
                "--masks"
            )
        if fitting:
            return fitting[0]
    images = [path for path in _matching(root, "images") if path.is_dir()]
    if images:
        raise UserError(
            f"{images[0]}: no images in it with masks in {root / 'masks'}: put them "
            "there, or name the folders with --images and --masks"
            + (
                f"; of the folders in it, only {', '.join(SPLITS)} are read"
                if any(path.is_dir() for path in images[0].iterdir())
                else ""
            )
        )
    raise UserError(
        f"folder: {root} has no folder images/, and is of no layout that is known "
        "(docs/your-data.md): name its folders with --images and --masks"
    )


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


def given(root: Path, images: str, masks: str, mask_end: str | None) -> Found:
    """The layout of folders that the user names.

    Raises:
        UserError: if a folder is not there.
    """
    for name in (images, masks):
        if not (root / name).is_dir():
            raise UserError(f"{root / name}: no such folder")
    found = _fit(Layout("named", images, masks, mask_end=mask_end), root)
    if not found:
        raise UserError(f"{root / images} and {root / masks}: no images in one of them")
    return found


def _fit(layout: Layout, root: Path) -> Found | None:
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
        for split, alias in _SPLIT_NAMES if inside else [("", "")]:
            folders = _matching(root, images.replace("{split}", alias))
            files = _matching(root, labels.replace("{split}", alias))
            found, unlabelled = _paired(layout, folders, files)
            if found and places.get(split, found) != found:
                raise UserError(
                    f"{places[split][0][0]} and {found[0][0]} are both {split}: leave "
                    "one of them out"
                )
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
    lists = _lists(layout, root) if "" in places else {}
    return Found(layout, root, places, lists, _class_file(root, places))


def _paired(
    layout: Layout, folders: list[Path], labels: list[Path]
) -> tuple[Places, list[Path]]:
    """Folders of images with their labels, and folders of images without."""
    by_name = {path.name: path for path in labels}
    pairs, bare = [], []
    for folder in folders:
        # Folders of cities have the same names on both sides.
        own = by_name.get(folder.name) if len(labels) > 1 else next(iter(labels), None)
        if own and _holds(layout, folder, own):
            pairs.append((folder, own))
        elif folder.is_dir() and any(True for _ in images_in(folder)):
            bare.append(folder)
    return pairs, bare


def _holds(layout: Layout, images: Path, labels: Path) -> bool:
    if not images.is_dir() or not any(True for _ in images_in(images)):
        return False
    if layout.beside and not (images / layout.beside).is_file():
        return False
    if layout.kind == "coco":
        return labels.is_file()
    if layout.kind == "labelme":
        return any(path.with_suffix(".json").is_file() for path in images_in(images))
    return labels.is_dir() and any(True for _ in images_in(labels))


def _matching(root: Path, pattern: str) -> list[Path]:
    """The paths below a folder that fit a pattern, in any case, in order."""
    found = [root]
    for part in pattern.lower().split("/"):
        if part != ".":
            found = [
                child
                for path in found
                if path.is_dir()
                for child in sorted(path.iterdir())
                if fnmatch(child.name.lower(), part)
            ]
    return found


def images_in(folder: Path) -> Iterable[Path]:
    """The files of a folder with the suffix of an image, without hidden ones."""
    return (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def _lists(layout: Layout, root: Path) -> dict[str, list[str]]:
    if layout.lists is None:
        return {}
    return {
        split: listed_lines(path)
        for split, alias in _SPLIT_NAMES
        for path in _matching(root, layout.lists.replace("{split}", alias))
    }


def _class_file(root: Path, places: Mapping[str, Places]) -> Path | None:
    folders = [root, *(images for pairs in places.values() for images, _ in pairs)]
    candidates = (folder / name for folder in folders for name in CLASS_FILES)
    return next((path for path in candidates if path.is_file()), None)


def stem(path: Path) -> str:
    """A file's name without its suffix. Some systems write "ä" as two characters."""
    return unicodedata.normalize("NFC", path.stem)
