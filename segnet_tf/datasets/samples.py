"""The samples of a data set in a layout: an image, and the labels that belong to it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np

from segnet_tf.datasets.annotations import Coco, draw_labelme, labelme_classes
from segnet_tf.datasets.class_file import parsed_classes, read_classes
from segnet_tf.datasets.class_list import UNLISTED, ClassList
from segnet_tf.datasets.dataset import IGNORE_LABEL, Place, Stored
from segnet_tf.datasets.layouts import Found
from segnet_tf.datasets.masks import Mask, are_greys, read_mask
from segnet_tf.datasets.paths import images_in, stem
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError

__all__ = ["Labelled", "Sample", "labelled"]

_TRIED = 12
"""So many images are compared with all masks to find what the masks' names add."""


@dataclass(frozen=True)
class Sample:
    """An image and its labels.

    Attributes:
        image: path of the image.
        labels: path of the mask, or of the file of annotations.
        draw: () -> the ids as the files have them; it raises UserError.
        missing: if there are no labels, the line that says so.
    """

    image: Path
    labels: Path
    draw: Callable[[], Mask]
    missing: str = ""


@dataclass(frozen=True)
class Labelled:
    """All that a layout's labels say.

    Attributes:
        classes: what the ids in the labels mean.
        source: where the classes come from, for messages.
        samples: (folder of images, labels) of a place -> its samples.
        rest_is_void: whether an id that is no class's is void, not a mistake.
        unlabelled: number of images that have no labels, which is no mistake.
        greys_are_ids: whether the labels are masks of which the grey ones hold ids.
    """

    classes: ClassList
    source: str
    samples: Callable[[Path, Path], list[Sample]]
    rest_is_void: bool = False
    unlabelled: int = 0
    greys_are_ids: bool = False

    def stored(self, samples: Sequence[Sample]) -> tuple[Stored | None, ...]:
        """Where samples lie, if grey masks hold their ids; see `Split.stored`."""
        if not self.greys_are_ids:
            return ()
        table = self.classes.labels
        if self.rest_is_void:
            table = np.where(table == UNLISTED, IGNORE_LABEL, table).astype(np.int16)
        return tuple(
            None
            if each.missing
            else Stored(Place(each.image), Place(each.labels), table)
            for each in samples
        )


def labelled(found: Found, reading: Reading) -> Labelled:
    """The classes and samples of a layout.

    Raises:
        UserError: if the class list or the annotations cannot be read.
    """
    kinds = {"masks": _masks, "coco": _coco, "labelme": _labelme}
    return kinds[found.layout.kind](found, reading)


def _masks(found: Found, reading: Reading) -> Labelled:
    """The labels of a layout with a mask for each image."""
    layout = found.layout
    path = Path(reading.classes) if reading.classes else found.class_file()
    if path is None and layout.classes:
        classes = parsed_classes(layout.classes, layout.name)
        source = f"the class list of {layout.name}"
    else:
        if path is None:
            raise UserError(
                f"{found.root / 'classes.txt'}: no such file: write the class names "
                "into it, or into a file for --classes, one per line, in the order of "
                f"their ids{_ids_in_use(found)}"
            )
        classes, source = read_classes(path), path.name

    colours, labels = classes.ids_of_colours, classes.labels

    def same(first: int, second: int) -> bool:
        return labels[first] == labels[second]

    def samples(images: Path, masks: Path) -> list[Sample]:
        return [
            Sample(
                image,
                mask,
                lambda mask=mask: read_mask(mask, colours, reading.tolerance, same),
                missing,
            )
            for image, mask, missing in _pairs(found, images, masks)
        ]

    return Labelled(
        classes,
        source,
        samples,
        rest_is_void=path is None and layout.rest_is_void,
        greys_are_ids=not are_greys(colours),
    )


def _ids_in_use(found: Found) -> str:
    """The end of a line that says which ids the first masks hold."""
    used: set[int] = set()
    for images, masks in list(found.places.values())[0]:
        for _, mask, missing in list(_pairs(found, images, masks))[:_TRIED]:
            try:
                used |= set() if missing else set(np.unique(read_mask(mask).ids))
            except UserError:
                return ""
    return f"; the first masks hold {', '.join(map(str, sorted(used)))}"


def _coco(found: Found, reading: Reading) -> Labelled:
    """The labels of a layout with a file of COCO annotations for each place."""
    if reading.classes:
        raise UserError(f"classes: {reading.classes}: COCO's files name their classes")
    paths = [path for places in found.places.values() for _, path in places]
    files = {path: Coco(path) for path in paths}
    classes = files[paths[0]].classes
    for path, file in files.items():
        if file.classes != classes:
            raise UserError(f"{path}: has other categories than {paths[0]}")

    def samples(images: Path, path: Path) -> list[Sample]:
        return [
            Sample(images / name, path, lambda name=name: Mask(files[path].ids(name)))
            for name in files[path].images
        ]

    return Labelled(classes, paths[0].name, samples)


def _labelme(found: Found, reading: Reading) -> Labelled:
    """The labels of a layout with a file of labelme beside each image."""

    def files(folder: Path) -> dict[Path, Path]:
        paths = sorted(images_in(folder))
        beside = {path: path.with_suffix(".json") for path in paths}
        return {path: file for path, file in beside.items() if file.is_file()}

    folders = [folder for pairs in found.places.values() for folder, _ in pairs]
    every = [file for folder in folders for file in files(folder).values()]
    count = sum(1 for folder in folders for _ in images_in(folder))
    path = Path(reading.classes) if reading.classes else found.class_file()
    if path:
        classes, source = read_classes(path), path.name
    else:
        classes, source = labelme_classes(every), "the .json files"

    def samples(images: Path, _: Path) -> list[Sample]:
        # An image without a file is not labelled yet.
        return [
            Sample(image, file, lambda file=file: Mask(draw_labelme(file, classes)))
            for image, file in files(images).items()
        ]

    return Labelled(classes, source, samples, unlabelled=count - len(every))


def _pairs(found: Found, images: Path, masks: Path) -> Iterator[tuple[Path, Path, str]]:
    """Each image, its mask, and a line if this is missing."""
    layout = found.layout
    own_end = layout.mask_end or ""
    image_of = {
        name.removesuffix(layout.image_end): path
        for name, path in _by_stem(images).items()
        if images != masks or not name.endswith(own_end)
    }
    mask_of = _by_stem(masks)
    end = layout.mask_end
    if end is None:
        end = _shared_end(masks, image_of, mask_of)
    for name, image in image_of.items():
        mask, missing = mask_of.get(name + end), ""
        if mask is None:
            like = next((m.name for s, m in mask_of.items() if s.startswith(name)), "")
            mask = masks / f"{name}{end}.png"
            missing = f"{image}: has no mask {mask}"
            missing += f"; is it {like}? The stems must be the same" if like else ""
        yield image, mask, missing


def _shared_end(
    folder: Path, image_of: dict[str, Path], mask_of: dict[str, Path]
) -> str:
    """What the names of most masks have behind those of their images.

    Raises:
        UserError: if each image has several masks.
    """
    if not image_of.keys().isdisjoint(mask_of):
        return ""
    ends = Counter(
        mask.removeprefix(name)
        for name in list(image_of)[:_TRIED]
        for mask in mask_of
        if mask.startswith(name)
    )
    covered = Counter(
        {end: sum(name + end in mask_of for name in image_of) for end in ends}
    )
    (best, most), *others = covered.most_common(2) or [("", 0)]
    if others and others[0][1] == most:
        raise UserError(
            f"{folder}: has several masks of each image, ending in {best} and in "
            f"{others[0][0]}: choose with --mask-suffix"
        )
    # One alone that begins like an image may be any file.
    return best if most > len(image_of) / 2 else ""


def _by_stem(folder: Path) -> dict[str, Path]:
    """Stem -> image of a folder, in the order of the names; each stem is unique."""
    found: dict[str, Path] = {}
    for path in sorted(images_in(folder), key=attrgetter("name")):
        name = stem(path)
        if name in found:
            raise UserError(
                f"{path}: same stem as {found[name].name}: keep one of them"
            )
        found[name] = path
    return found
