"""Checks a data set before training: what it contains, and what looks wrong."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from segnet_tf.datasets.dataset import Split
from segnet_tf.datasets.value_range import other_range
from segnet_tf.errors import UserError
from segnet_tf.evaluation.oddities import Blocks, is_turned, oddities

__all__ = ["Findings", "examine", "report", "sample_sheet", "suspicions"]

_TURNED = "turned by the photo's EXIF tag: was the mask drawn on the turned photo?"
_LISTED = 5  # names in a line before "and n more"
_FULL = 0.99  # a share of all pixels that leaves little to learn


@dataclass(frozen=True)
class Findings:
    """The result of one pass over a split. Rows are the readable images, in order.

    Attributes:
        split: the split.
        indices: int64 (images,), the places of the images in the split.
        counts: int64 (images, labels), pixels of each class and of each group.
        pixels: int64 (images,), all pixels, void included.
        sizes: (width, height) -> number of images.
        digests: a hash of each image's pixels.
        unreadable: one line for each file that cannot be read.
        odd: kind of suspicion -> names of the images that it applies to.
        blocks: where labels change, of all images.
    """

    split: Split
    indices: np.ndarray
    counts: np.ndarray
    pixels: np.ndarray
    sizes: Counter
    digests: tuple[str, ...]
    unreadable: tuple[str, ...]
    odd: dict[str, tuple[str, ...]]
    blocks: Blocks

    @property
    def names(self) -> list[str]:
        """The names of the readable images."""
        return [self.split.names[index] for index in self.indices]


def examine(split: Split) -> Findings:
    """Reads all images and masks of a split, and goes on after a faulty one."""
    rows, sizes, unreadable, odd = [], Counter(), [], defaultdict(list)
    blocks = Blocks()
    for index, name in enumerate(split.names):
        try:
            image, labels = split.read(index)
        except UserError as error:
            unreadable.append(str(error))
            continue
        counts = np.bincount(labels.reshape(-1), minlength=256)
        digest = hashlib.sha1(image.tobytes()).hexdigest()
        rows.append((index, counts[: split.labels.num_classes], labels.size, digest))
        sizes[image.shape[1], image.shape[0]] += 1
        blocks = blocks.with_mask(labels)
        for kind in oddities(image, labels, counts):
            odd[kind].append(name)
        if is_turned(split, index):
            odd[_TURNED].append(name)
    indices, counts, pixels, digests = zip(*rows, strict=True) if rows else ((),) * 4
    return Findings(
        split=split,
        indices=np.array(indices, np.int64),
        counts=np.array(counts, np.int64).reshape(-1, split.labels.num_classes),
        pixels=np.array(pixels, np.int64),
        sizes=sizes,
        digests=digests,
        unreadable=tuple(unreadable),
        odd={kind: tuple(names) for kind, names in odd.items()},
        blocks=blocks,
    )


def suspicions(found: list[Findings]) -> list[str]:
    """One line for each suspicion: odd files, equal pictures, classes without a pixel.

    Args:
        found: the results of `examine` for the splits, the training split first.
    """
    lines = []
    for findings in found:
        for kind, names in findings.odd.items():
            lines.append(f"{findings.split.name}: {kind}: {_some(names)}")
        lines += other_range(findings.split)
        if findings.blocks.show():
            lines.append(
                f"{findings.split.name}: labels change more at the borders of blocks "
                "of 8 pixels than elsewhere: were the masks JPEGs, or scaled up?"
            )
    where = defaultdict(list)
    for findings in found:
        for name, digest in zip(findings.names, findings.digests, strict=True):
            where[digest].append(f"{findings.split.name}/{name}")
    copies = [" = ".join(places) for places in where.values() if len(places) > 1]
    if copies:
        lines.append(f"the same picture more than once: {_some(copies)}")
    first, classes = found[0], found[0].split.info.classes
    seen = first.counts.sum(axis=0) > 0
    # A group without a pixel is no fault.
    absent = [name for name, there in zip(classes, seen, strict=False) if not there]
    if absent:
        lines.append(f"{first.split.name}: no pixel of {_some(absent)}")
    if len(classes) > 2 and absent == [classes[0]]:
        lines.append(f"only {absent[0]!r}, the first class, is missing: ids from 1?")
    total = first.counts.sum(axis=0)
    largest = int(total.argmax())
    if len(classes) > 1 and total[largest] > _FULL * total.sum():
        lines.append(
            f"{first.split.name}: {total[largest] / total.sum():.2%} of the pixels are "
            f"{first.split.labels.classes[largest]}"
        )
    return lines


def _some(names: list[str] | tuple[str, ...]) -> str:
    text = ", ".join(names[:_LISTED])
    more = len(names) - _LISTED
    return f"{text} and {more} more" if more > 0 else text


def report(found: list[Findings]) -> list[str]:
    """The results as lines of text: images and sizes of each split, a table of classes.

    Args:
        found: the results of `examine` for the splits, the training split first.
    """
    lines = []
    for findings in found:
        sizes = [
            f"{width}x{height}" + (f" ({times})" if len(findings.sizes) > 1 else "")
            for (width, height), times in findings.sizes.most_common()
        ]
        lines.append(
            f"{findings.split.name}: {len(findings.indices)} of "
            f"{len(findings.split)} images readable, {_some(sizes) or 'none'}"
        )
    return lines + [""] + _class_table(found)


def _class_table(found: list[Findings]) -> list[str]:
    """Share of the labelled pixels by class and split; weights from the first split."""
    from segnet_tf.datasets.class_weights import median_frequency_weights

    first = found[0]
    names = tuple(
        dict.fromkeys(name for each in found for name in each.split.labels.classes)
    )
    keys = _keys(first.split, names)
    width = max(map(len, (*keys, "void, of all pixels")))
    columns = "".join(f"{findings.split.name:>9}" for findings in found)
    lines = [f"{'share of pixels':<{width}}{columns}   images  weight"]
    classes = first.split.info.num_classes
    with np.errstate(divide="ignore", invalid="ignore"):  # a class without a pixel
        weights = median_frequency_weights(first.counts[:, :classes], first.pixels)
    images = (first.counts > 0).sum(axis=0)
    totals = [findings.counts.sum(axis=0) for findings in found]
    # Splits may have different groups.
    shares = [
        dict(
            zip(findings.split.labels.classes, total / max(total.sum(), 1), strict=True)
        )
        for findings, total in zip(found, totals, strict=True)
    ]
    for index, (name, key) in enumerate(zip(names, keys, strict=True)):
        cells = "".join(f"{each.get(name, 0):>9.2%}" for each in shares)
        row = f"{key:<{width}}{cells}"
        row += f"{images[index]:>9}" if index < len(images) else ""
        # A group has the smallest weight of its classes.
        lines.append(row + (f"{weights[index]:>8.3f}" if index < classes else ""))
    void = "".join(
        f"{1 - total.sum() / max(findings.pixels.sum(), 1):>9.2%}"
        for total, findings in zip(totals, found, strict=True)
    )
    ids = "ids in the masks" if first.split.mask_ids else "ids"
    return [
        *lines,
        f"{'void, of all pixels':<{width}}{void}",
        f"beside the names: {ids}, colours; images and weight (median frequency): "
        f"of {first.split.name}",
    ]


def _keys(split: Split, names: tuple[str, ...]) -> list[str]:
    """The name, the id and the colour of each class and group."""
    classes, colours = split.info.classes, split.info.colours
    ids = split.mask_ids or range(len(classes))
    longest = max(map(len, names))
    coded = {
        name: f"{name:<{longest}} {index:>3}  #{bytes(colour).hex()}"
        for name, index, colour in zip(classes, ids, colours, strict=True)
    }
    return [coded.get(name, name) for name in names]


def sample_sheet(findings: Findings, samples: int = 8, width: int = 320) -> Image.Image:
    """Images spread over a split, each beside its labels, and a legend of all classes.

    Args:
        findings: of a split with at least one readable image.
        samples: number of images; the sheet has two in each row.
        width: of one picture, in pixels.
    """
    from segnet_tf.evaluation.visualize import legend

    info, indices = findings.split.labels, findings.indices
    chosen = np.unique(np.linspace(0, len(indices) - 1, samples).round().astype(int))
    panels = [_panel(findings.split, int(indices[place]), width) for place in chosen]
    total = findings.counts.sum(axis=0)
    shares = [
        (index, total[index] / max(total.sum(), 1)) for index in range(len(total))
    ]
    key = legend(shares, info, 1 - total.sum() / max(findings.pixels.sum(), 1))
    rows = [panels[start : start + 2] for start in range(0, len(panels), 2)]
    heights = [max(panel.height for panel in row) for row in rows]
    column_width = panels[0].width + 10
    size = (2 * column_width + key.width, max(sum(heights), key.height))
    sheet = Image.new("RGB", size, "white")
    for row, top in zip(rows, np.cumsum([0, *heights]).tolist(), strict=False):
        for column, panel in enumerate(row):
            sheet.paste(panel, (column * column_width, top))
    sheet.paste(key, (2 * column_width, 0))
    return sheet


def _panel(split: Split, index: int, width: int) -> Image.Image:
    """An image and its labels side by side, with the image's name above."""
    from segnet_tf.evaluation.overlays import overlay
    from segnet_tf.evaluation.visualize import fit_width, font

    small, ids = fit_width(width, *split.read(index))
    height, fitted_width = ids.shape
    tinted = overlay(small, ids, split.labels, opacity=0.75)
    panel = Image.new("RGB", (2 * width + 4, height + 22), "white")
    name = split.names[index]
    ImageDraw.Draw(panel).text((2, 2), name, fill="black", font=font(13))
    panel.paste(Image.fromarray(small), (0, 20))
    # The legend at the right of the overlay is cut off: the sheet has one for all.
    panel.paste(tinted.crop((0, 0, fitted_width, height)), (width + 4, 20))
    return panel
