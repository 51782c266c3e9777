"""The samples of a data set in a layout: an image, and the labels that belong to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnet_tf.datasets.annotations import Coco, draw_labelme, labelme_classes
from segnet_tf.datasets.class_file import parsed_classes, read_classes
from segnet_tf.datasets.class_list import UNLISTED, ClassList
from segnet_tf.datasets.dataset import IGNORE_LABEL, Place, Stored
from segnet_tf.datasets.finding import Found
from segnet_tf.datasets.left_out import elsewhere
from segnet_tf.datasets.masks import Mask, are_greys, read_mask
from segnet_tf.datasets.pairs import Pairs, files_of_names, paired
from segnet_tf.datasets.paths import CLASS_FILES, Tree, images_in
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError

__all__ = ["Labelled", "Sample", "labelled"]

_TRIED = 12
"""The ids of so many masks are shown if no file names the classes."""


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
        remarks: () -> lines on what is left out, or had to be interpreted.
        greys_are_ids: whether the labels are masks of which the grey ones hold ids.
    """

    classes: ClassList
    source: str
    samples: Callable[[Path, Path], list[Sample]]
    rest_is_void: bool = False
    remarks: Callable[[], list[str]] = list
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
    path = _class_file(found, reading)
    if path is None and layout.classes:
        classes = parsed_classes(layout.classes, layout.name)
        source = f"the class list of {layout.name}"
    else:
        if path is None:
            raise UserError(
                f"{found.root / 'classes.txt'}: no such file: write the class names "
                "into it, or into a file for --classes, one per line, in the order of "
                f"their ids{_list_above(found)}{_ids_in_use(found)}"
            )
        classes, source = read_classes(path), _shown(path, reading)

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
            for image, mask, missing in _paired(found, images, masks).pairs
        ]

    return Labelled(
        classes,
        source,
        samples,
        remarks=lambda: _pair_remarks(found),
        rest_is_void=path is None and layout.rest_is_void,
        greys_are_ids=not are_greys(colours),
    )


def _paired(found: Found, images: Path, masks: Path) -> Pairs:
    return paired(images, masks, found.layout.image_end, found.layout.mask_end)


def _pair_remarks(found: Found) -> list[str]:
    """Masks and images that are left out, and names that differ at both ends."""
    lines, spare, used = [], [], set()
    for place in found.pairs:
        pairs = _paired(found, *place)
        if pairs.differ and not lines:
            image, mask, _ = pairs.pairs[0]
            lines.append(f"names differ: {mask.name} is the mask of {image.name}")
        spare += pairs.spare
        used.update(path for pair in pairs.pairs for path in pair[:2])
    if spare:
        lines.append(f"{len(spare)} masks have no image, such as {spare[0].name}")
    # Other files beside masks may be anything.
    return lines + elsewhere(found, used)


def _class_file(found: Found, reading: Reading) -> Path | None:
    """The file of `--classes`, in the folder of the data or here, or the one found.

    Raises:
        UserError: if there are two, or as `Found.class_file`.
    """
    if not reading.classes:
        return found.class_file()
    here = Path(reading.classes)
    inside = (found.given or found.root) / here
    if not inside.is_file() or not here.is_file() or inside.samefile(here):
        return inside if inside.is_file() else here
    if inside.read_bytes() != here.read_bytes():
        raise UserError(
            f"classes: {inside} and {here.absolute()} differ: give the whole path of "
            "one of them"
        )
    return inside


def _shown(path: Path, reading: Reading) -> str:
    """A class list in a line: with its folder if it had to be looked for."""
    return str(path) if reading.classes else path.name


def _ids_in_use(found: Found) -> str:
    """The end of a line that says which ids the first masks hold."""
    used: set[int] = set()
    for images, masks in list(found.places.values())[0]:
        for _, mask, missing in _paired(found, images, masks).pairs[:_TRIED]:
            try:
                used |= set() if missing else set(np.unique(read_mask(mask).ids))
            except UserError:
                return ""
    return f"; the first masks hold {', '.join(map(str, sorted(used)))}"


def _list_above(found: Found) -> str:
    """A hint if the folder around the data set lists classes."""
    above = (found.given or found.root).absolute().parent
    path = next((p for n in CLASS_FILES for p in Tree(above).matching(n)), None)
    return f"; is it {path}? Name it with --classes" if path else ""


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
        named = files_of_names(files[path].images, images, path)
        return [
            Sample(
                image or images / "missing",
                path,
                lambda name=name: Mask(files[path].ids(name)),
                "" if image else f"{path}: no image {name!r:.80} in {images}",
            )
            for name, image in named.items()
        ]

    def remarks() -> list[str]:
        every = [sample for pair in found.pairs for sample in samples(*pair)]
        return elsewhere(found, {sample.image for sample in every}, "annotations")

    return Labelled(classes, paths[0].name, samples, remarks=remarks)


def _labelme(found: Found, reading: Reading) -> Labelled:
    """The labels of a layout with a file of labelme beside each image."""

    def files(folder: Path, labels: Path) -> dict[Path, Path]:
        paths = sorted(images_in(folder))
        named = {path: labels / f"{path.stem}.json" for path in paths}
        return {path: file for path, file in named.items() if file.is_file()}

    every = {
        image: file for pair in found.pairs for image, file in files(*pair).items()
    }
    path = _class_file(found, reading)
    if path:
        classes, source = read_classes(path), _shown(path, reading)
    else:
        classes, source = labelme_classes(every.values()), "the .json files"

    def samples(images: Path, labels: Path) -> list[Sample]:
        # An image without a file is not labelled yet.
        return [
            Sample(image, file, lambda file=file: Mask(draw_labelme(file, classes)))
            for image, file in files(images, labels).items()
        ]

    return Labelled(
        classes, source, samples, remarks=lambda: elsewhere(found, set(every), "labels")
    )
