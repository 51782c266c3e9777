"""Where the files of a data set lie, as people make it or as it was downloaded.

`LAYOUTS` has a row for each layout. A row that names no split stands for three: its
folders as they are, with a folder of each split inside them, or around them. Upper and
lower case are the same. A downloaded archive may have all this inside another folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from segnet_tf.datasets.known_classes import CITYSCAPES_CLASSES, VOC_CLASSES

__all__ = ["LAYOUTS", "Layout"]


@dataclass(frozen=True)
class Layout:
    """One row of the table.

    Attributes:
        name: for the line that says what was recognised.
        images: the folder of the images. `{split}` stands for the split, `[year]` for
            nothing or a year, `*` for any name.
        labels: the folder of the masks, or the file of annotations, likewise;
            `{images}` stands for the name of the folder of the images.
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
        for year in ("", "20[0-9][0-9]") if "[year]" in self.images else ("",):
            yield self.images.replace("[year]", year), self.labels


def _train_ids(classes: str) -> str:
    """The list of Cityscapes in the ids that its scripts train with, from 0."""
    scored = classes.splitlines()[1:]
    return "\n".join(
        f"{index} {line.split(maxsplit=1)[1]}" for index, line in enumerate(scored)
    )


_BESIDE = [
    Layout("masks beside their images", place, place, mask_end=end)
    for place in (".", "images")
    for end in ("_mask", "_gt", "_label", "_labels")
]

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
        "Cityscapes' train ids",
        "leftImg8bit/{split}/*",
        "gtFine/{split}/*",
        image_end="_leftImg8bit",
        mask_end="_gtFine_labelTrainIds",
        classes=_train_ids(CITYSCAPES_CLASSES),
    ),
    Layout(
        "Roboflow's masks",
        "{split}",
        "{split}",
        mask_end="_mask",
        beside="_classes.csv",
    ),
    Layout("DeepGlobe", ".", ".", image_end="_sat", mask_end="_mask"),
    *_BESIDE,
    Layout("Roboflow's COCO", "{split}", "{split}/_annotations.coco.json", "coco"),
    Layout("COCO", "{split}[year]", "annotations/instances_{images}.json", "coco"),
    Layout(
        "COCO", "images/{split}[year]", "annotations/instances_{images}.json", "coco"
    ),
    Layout(
        "CVAT's COCO", "images/default", "annotations/instances_default.json", "coco"
    ),
    Layout("CVAT's COCO", "images", "annotations/instances_default.json", "coco"),
    Layout("COCO", "images", "annotations.json", "coco"),
    Layout("COCO", "images", "coco.json", "coco"),
    Layout("COCO", ".", "annotations.json", "coco"),
    Layout("Label Studio's COCO", "images", "result.json", "coco"),
    Layout("labelme", ".", ".", "labelme"),
    Layout("labelme", "images", "images", "labelme"),
    Layout("labelme", "images", "annotations", "labelme"),
    Layout("labelme", "images", "labels", "labelme"),
)
