"""Where the files of a data set lie, as people make it or as it was downloaded.

`LAYOUTS` has a row for each layout. A row that names no split stands for three: its
folders as they are, with a folder of each split inside them, or around them. Upper and
lower case are the same. A downloaded archive may have all this inside another folder.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segnet_tf.datasets.known_classes import CITYSCAPES_CLASSES, VOC_CLASSES
from segnet_tf.datasets.paths import (
    SPLIT_NAMES,
    SPLITS,
    Tree,
    class_file,
    images_in,
    split_lists,
)
from segnet_tf.errors import UserError

__all__ = ["LAYOUTS", "Found", "Layout", "find", "given"]


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
        lists: the text file of the images of a split, if no folder is a split's.
        beside: a file in the folder of the images that tells the layout from others.
        classes: the text of a class list, used if no file lists the classes.
        rest_is_void: whether an id that this text does not list is void, not a mistake.
    """

    name: str
    images: str
    labels: str
    kind: str = "masks"
    image_end: str = ""
    mask_end: str | None = None
    lists: str = "{split}.txt"
    beside: str | None = None
    classes: str | None = None
    rest_is_void: bool = False

    def patterns(self) -> Iterator[tuple[str, str]]:
        """The places of images and labels, those with a split first."""
        if "{split}" not in self.images:
            yield f"{self.images}/{{split}}", f"{self.labels}/{{split}}"
            yield f"{{split}}/{self.images}", f"{{split}}/{self.labels}"
        yield self.images, self.labels


LAYOUTS = (
    Layout("images/ and masks/", "images", "masks"),
    Layout("images/ and labels/", "images", "labels"),
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
        rest_is_void=True,
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
        lists: split -> the lines of its list; "all": those of a list of all images.
    """

    layout: Layout
    root: Path
    places: Mapping[str, Places]
    lists: Mapping[str, list[str]] = field(default_factory=dict)

    def class_file(self) -> Path | None:
        """The file that lists the classes, or None. Raises as `class_file` of paths."""
        inside = [images for pairs in self.places.values() for images, _ in pairs]
        return class_file(self.root, inside)

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
        fitting = [found for layout in LAYOUTS if (found := _fit(layout, tree))]
        if len(fitting) > 1:
            names = ", ".join(f"{one.layout.name}" for one in fitting)
            raise UserError(
                f"{place}: fits several layouts ({names}): choose with --images and "
                "--masks"
            )
        if fitting:
            return fitting[0]
    images = [path for path in Tree(root).matching("images") if path.is_dir()]
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
    """The layout of folders that the user names, from the root or absolute.

    Raises:
        UserError: if a folder is not there, or has no images.
    """
    layout = Layout("named", ".", ".", mask_end=mask_end)
    folders = [root / name for name in (images, masks)]
    trees = [Tree(folder) for folder in folders]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    places = {
        split: [(image, mask)]
        for split, alias in SPLIT_NAMES
        for image in trees[0].matching(alias)
        for mask in trees[1].matching(alias)
        if _holds(layout, image, mask)
    }
    if not places and _holds(layout, *folders):
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
            files = tree.matching(labels.replace("{split}", alias))
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
    lists = split_lists(layout.lists, tree) if "" in places else {}
    return Found(layout, tree.root, places, lists)


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
