"""Labels that are drawn from annotation files: COCO's and labelme's JSON.

The pixels without an annotation are "background", the id 0, unless a category has this
name. Where annotations overlap, the smaller one lies on top.
"""

import base64
import io
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segnet_tf.datasets.class_file import check_entries
from segnet_tf.datasets.class_list import ClassEntry, ClassList
from segnet_tf.datasets.dataset import IGNORE_LABEL
from segnet_tf.errors import UserError

__all__ = ["Coco", "draw_labelme", "labelme_classes"]

BACKGROUND = "background"

_MOST_PIXELS = 2**28  # of an image

_FURTHEST = 2**17
"""Largest coordinate; polygons may reach a little beyond the image, not further."""


class Coco:
    """A file of COCO annotations: polygons, or run-length encoded masks.

    Args:
        path: the file.

    Attributes:
        classes: the background, if no category has its name, and the categories in the
            order of their ids; ids in masks count from 0.

    Raises:
        UserError: if the file is not readable as COCO's JSON.
    """

    def __init__(self, path: Path):
        self._path = path
        content = _json(path)
        try:
            categories = sorted(content["categories"], key=lambda one: one["id"])
            names = {int(one["id"]): str(one["name"]) for one in categories}
            images = content["images"]
            self._images = {str(one["file_name"]): one for one in images}
            known = {one["id"] for one in images}
            self._annotations = defaultdict(list)
            for one in content["annotations"]:
                self._annotations[one["image_id"]].append(one)
            orphans = sum(
                len(ones) for key, ones in self._annotations.items() if key not in known
            )
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:
            raise UserError(f"{path}: no COCO annotations ({error!r:.200})") from None
        for what, sound in (
            ("an image is there twice", len(self._images) == len(images)),
            ("a category's id is there twice", len(names) == len(categories)),
            (f"{orphans} annotations are of images that are not there", not orphans),
        ):
            if not sound:
                raise UserError(f"{path}: {what}")
        self.classes = _class_list(path, names.values())
        ids = {entry.name: entry.id for entry in self.classes.entries}
        self._ids = {key: ids[name.strip()] for key, name in names.items()}
        self._rest = _background(self.classes)

    @property
    def images(self) -> list[str]:
        """The names of the images, in order, as paths from their folder."""
        return sorted(self._images)

    def ids(self, name: str) -> np.ndarray:
        """The class ids of an image: uint8 (H, W).

        Raises:
            UserError: if an annotation is wrong, or pycocotools are not installed.
        """
        try:
            from pycocotools import mask as coco_mask
        except ModuleNotFoundError:
            raise UserError(
                f"{self._path}: COCO annotations need the package pycocotools: pip "
                "install pycocotools"
            ) from None
        about = self._images[name]
        try:
            height, width = int(about["height"]), int(about["width"])
            if not 0 < height * width <= _MOST_PIXELS:
                raise ValueError(f"an image of {width}x{height}")
            ids = np.full((height, width), self._rest, np.uint8)
            shapes = []
            for one in self._annotations[about["id"]]:
                shape = one.get("segmentation")
                if not shape:
                    raise ValueError(f"annotation {one.get('id')} has no segmentation")
                if one["category_id"] not in self._ids:
                    raise ValueError(f"no category {one['category_id']}")
                if isinstance(shape, list):
                    _check_polygons(shape)
                    shape = coco_mask.merge(coco_mask.frPyObjects(shape, height, width))
                elif tuple(shape["size"]) != (height, width):
                    raise ValueError(f"a mask of {shape['size']}, not the image's size")
                elif isinstance(shape["counts"], list):
                    shape = coco_mask.frPyObjects(shape, height, width)
                own = self._ids[one["category_id"]]
                shapes.append((int(coco_mask.area(shape)), own, shape))
            for _, own, shape in sorted(shapes, key=lambda one: -one[0]):
                ids[coco_mask.decode(shape).astype(bool)] = own
        # pycocotools raise bare Exceptions, too.
        except Exception as error:
            reason = error if isinstance(error, ValueError) else f"{error!r:.200}"
            raise UserError(
                f"{self._path}: {name}: an annotation is wrong ({reason})"
            ) from None
        return ids


def _check_polygons(polygons: list) -> None:
    """Raises ValueError for what pycocotools would take the process down with."""
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers")
        if not all(abs(float(number)) <= _FURTHEST for number in polygon):
            raise ValueError(f"a point further away than {_FURTHEST} pixels")


def _class_list(path: Path, names: Iterable[str]) -> ClassList:
    """The background, unless a name says it, and the names, with ids in this order."""
    named = [name.strip() for name in names]
    if not any(_is_background(name) for name in named):
        named.insert(0, BACKGROUND)
    if len(named) > IGNORE_LABEL:
        raise UserError(f"{path}: {len(named)} classes, at most {IGNORE_LABEL}")
    entries = [
        ClassEntry(name, index, where=f"{path}: {name!r:.60}")
        for index, name in enumerate(named)
    ]
    check_entries(entries)
    return ClassList.of(entries)


def _is_background(name: str) -> bool:
    return name.strip("_").lower() == BACKGROUND


def _background(classes: ClassList) -> int | None:
    """The id of pixels without an annotation, or None if no class is for them."""
    return next((e.id for e in classes.entries if _is_background(e.name)), None)


def labelme_classes(paths: Iterable[Path]) -> ClassList:
    """The background and all labels in labelme files, in alphabetical order.

    Raises:
        UserError: if a file is not labelme's.
    """
    paths = list(paths)
    labels = {label for path in paths for label, *_ in _shapes(path)[1]}
    return _class_list(
        paths[0], sorted(labels, key=lambda name: (not _is_background(name), name))
    )


def draw_labelme(path: Path, classes: ClassList) -> np.ndarray:
    """The class ids of a labelme file: uint8 (H, W).

    Raises:
        UserError: if the file is not labelme's, has a label that is not in the list, or
            a shape without an area.
    """
    (width, height), shapes = _shapes(path)
    ids = {entry.name: entry.id for entry in classes.entries}
    rest = _background(classes)
    if rest is None:
        raise UserError(
            f"{path}: pixels without a shape are the background, which the classes do "
            f"not have ({', '.join(ids)}): add it to the list; --ignore background "
            "makes it void"
        )
    drawn = []
    for label, kind, points, mask in shapes:
        if label not in ids:
            raise UserError(f"{path}: label {label!r} is no class: {', '.join(ids)}")
        own = _filled(path, (width, height), label, kind, points, mask)
        # What has no id is void. Only the shape's own part of the image is kept.
        value = IGNORE_LABEL if ids[label] is None else ids[label]
        box = own.getbbox() or (0, 0, 0, 0)
        part = np.packbits(np.asarray(own.crop(box)), axis=1)
        drawn.append((np.asarray(own).sum(), value, box, part))
    result = np.full((height, width), rest, np.uint8)
    for _, value, (left, top, right, bottom), part in sorted(
        drawn, key=lambda one: -one[0]
    ):
        own = np.unpackbits(part, axis=1, count=right - left).astype(bool)
        result[top:bottom, left:right][own] = value
    return result


def _filled(
    path: Path, size: tuple[int, int], label: str, kind: str, points: list, mask: Any
) -> Image.Image:
    """The area of a shape: an image of 1 bit. Raises UserError if it has none."""
    own = Image.new("1", size)
    ink = ImageDraw.Draw(own)
    if kind in ("polygon", "rectangle") and len(points) > 2:
        ink.polygon(points, fill=1, outline=1)
    elif kind == "rectangle" and len(points) == 2:
        low, high = np.min(points, axis=0), np.max(points, axis=0)
        ink.rectangle((*low, *high), fill=1, outline=1)
    elif kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = float(np.hypot(x - edge[0], y - edge[1]))
        # Pillow's ellipse takes a second for each 100,000 pixels of its radius.
        rows, columns = np.ogrid[: size[1], : size[0]]
        inside = np.hypot(columns - x, rows - y) <= radius + 0.5
        own = Image.fromarray(inside)
    elif kind == "mask" and len(points) == 2:
        left, top = np.min(points, axis=0).astype(int).tolist()
        part_mask = _own_mask(path, mask)
        box = np.ptp(points, axis=0).round().astype(int) + 1
        if np.abs(box - part_mask.size).max() > 1:
            raise UserError(
                f"{path}: {label!r} is a mask of {part_mask.width}x"
                f"{part_mask.height} pixels between points {box[0]}x{box[1]} apart"
            )
        own.paste(part_mask, (left, top))
    else:
        raise UserError(
            f"{path}: {label!r} is a {kind} of {len(points)} point(s): only "
            "polygons, rectangles, circles and masks have an area"
        )
    return own


def _own_mask(path: Path, text: Any) -> Image.Image:
    """The pixels of a shape that is a mask: an image of 1 bit."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as mask:
            if mask.width * mask.height > _MOST_PIXELS:
                raise ValueError(f"{mask.width}x{mask.height}")
            return Image.fromarray(np.asarray(mask.convert("L")) > 0)
    # Damaged files make Pillow's decoders raise many errors.
    except Exception as error:
        raise UserError(
            f"{path}: a mask is no readable PNG ({type(error).__name__})"
        ) from None


def _shapes(path: Path) -> tuple[tuple[int, int], list[tuple[str, str, list, Any]]]:
    """The size of a labelme file's image; each shape: label, kind, points and mask."""
    content = _json(path)
    try:
        size = int(content["imageWidth"]), int(content["imageHeight"])
        shapes = [
            (
                str(shape["label"]).strip(),
                str(shape.get("shape_type", "polygon")),
                [(float(x), float(y)) for x, y in shape["points"]],
                shape.get("mask"),
            )
            for shape in content["shapes"]
        ]
        # In this form, NaN fails the comparison, too.
        if not all(np.all(np.abs(points) <= _FURTHEST) for _, _, points, _ in shapes):
            raise ValueError(f"a point further away than {_FURTHEST} pixels")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: no labelme annotations ({error!r:.200})") from None
    if min(size) < 1 or size[0] * size[1] > _MOST_PIXELS:
        raise UserError(f"{path}: an image of {size[0]}x{size[1]}")
    return size, shapes


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
