"""Labels images that are too large for the memory: TIFF files, strip by strip."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.frames import places
from segnet_tf.datasets.opening import opened
from segnet_tf.errors import UserError
from segnet_tf.evaluation.overlays import line_scale, tinted
from segnet_tf.evaluation.visualize import colour_labels
from segnet_tf.files import replacing
from segnet_tf.inference.many.settings import Settings
from segnet_tf.inference.many.stream import IN_FLIGHT, overlapped
from segnet_tf.inference.many.tiff import GEO_TAGS, LargeTiff, has_deep_bands
from segnet_tf.inference.many.tiff_writing import TILE, label_rows, write_strips
from segnet_tf.inference.predictor import Predictor
from segnet_tf.inference.tiling import Tile

__all__ = ["is_large", "label_large"]


def is_large(path: str) -> bool:
    """Whether a file is labelled in strips if it is not to be scaled.

    That is so for TIFF files of one picture, beside which may be smaller copies of it
    and masks, that are larger than 67 megapixels, that say where on the earth they lie,
    or that have several bands of more than 8 bits which Pillow does not read.
    """
    if not path.lower().endswith((".tif", ".tiff")):
        return False
    try:
        with opened(path) as image:
            if len(places(image)) != 1:
                return False
            tags = image.tag_v2  # pyright: ignore
            geo = any(tag in tags for tag in GEO_TAGS)
            return geo or image.width * image.height > IN_FLIGHT
    except (UserError, OSError):
        return has_deep_bands(path)


def label_large(
    predictor: Predictor,
    path: str,
    files: dict[str, Path],
    info: DatasetInfo,
    settings: Settings,
) -> tuple[tuple[int, int], np.ndarray, str | None]:
    """Labels a TIFF file strip by strip, without scaling it.

    Args:
        predictor: labels it; made with `native`.
        path: of the file.
        files: "labels" and "overlay" -> the TIFF files to write.
        info: the classes and their colours.
        settings: how.

    Returns:
        Height and width, the number of pixels of each of the 256 ids, and what a user
        should know about the pixels.

    Raises:
        UserError: if the file cannot be read, or the results not be written, or if
            labels are asked for that are not made in strips.
    """
    for option in ("samples", "uncertainty", "views"):
        if getattr(settings, option):
            flag = "tta" if option == "views" else option
            raise UserError(
                f"{path}: labelled in strips, which --{flag} is not for: leave it out"
            )
    if others := files.keys() - {"labels", "overlay"}:
        raise UserError(
            f"{path}: labelled in strips, so {' and '.join(sorted(others))} cannot be "
            "written: give --write labels,overlay"
        )
    own = settings.value_range
    source = LargeTiff(path, info.channels, own or info.value_range)
    counts = np.zeros(256, np.int64)

    def counted() -> Iterator[np.ndarray]:
        for strip in _labelled(predictor, source):
            counts[:] += np.bincount(strip.reshape(-1), minlength=256)
            yield strip

    try:
        notice = source.notice(given=own is not None)
        with replacing(files["labels"]) as labels:
            colours = colour_labels(np.arange(256, dtype=np.uint8)[None], info)[0]
            colormap = colours.T.astype(np.uint16) * 257
            options: dict[str, Any] = {"photometric": "palette", "colormap": colormap}
            write_strips(labels, source, counted(), (), compression="zlib", **options)
            if "overlay" in files:
                with replacing(files["overlay"]) as overlay:
                    strips = _tinted(source, str(labels), info, settings.opacity)
                    options = {"photometric": "rgb", "compression": "jpeg"}
                    options["compressionargs"] = {"level": 90}
                    write_strips(overlay, source, strips, (3,), **options)
    finally:
        source.close()
    return source.shape, counts, notice


def _labelled(predictor: Predictor, source: LargeTiff) -> Iterator[np.ndarray]:
    """The labels from the top down, uint8 (rows, width)."""
    bands = [
        list(tiles)
        for _, tiles in groupby(
            predictor.tiles(*source.shape), lambda tile: tile.source[0].start
        )
    ]

    def read(band: list[Tile]) -> np.ndarray:
        rows = band[0].source[0]
        return source.rows(rows.start, rows.stop)

    def compute(band: list[Tile], image: np.ndarray) -> np.ndarray:
        inside = band[0].inside[0]
        labels = np.empty((inside.stop - inside.start, source.shape[1]), np.uint8)
        for tile in band:
            part = np.ascontiguousarray(image[:, tile.source[1]])
            found = predictor.labels(part)
            labels[:, tile.target[1]] = found[tile.inside]
        return labels

    for _, labels in overlapped(
        bands, read, compute, lambda band, labels: labels, _weight
    ):
        if isinstance(labels, UserError):
            raise labels
        yield labels


def _weight(band: list[Tile]) -> int:
    """Pixels of a band of tiles."""
    rows, columns = band[0].source[0], band[-1].source[1]
    return (rows.stop - rows.start) * columns.stop


def _tinted(
    source: LargeTiff, labels: str, info: DatasetInfo, opacity: float
) -> Iterator[np.ndarray]:
    """The overlay from the top down, uint8 (rows, width, 3); labels are in a file."""
    with label_rows(labels) as rows:
        stripe = round(2 * line_scale(*source.shape))
        for start in range(0, source.shape[0], TILE):
            stop = min(start + TILE, source.shape[0])
            image = source.rows(start, stop)
            part = rows(start, stop)
            yield np.asarray(tinted(image, part, info, opacity, stripe, start))
