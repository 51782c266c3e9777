"""What the rest of the program knows of a data set: its facts, and how to read it."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnet_tf.errors import UserError

__all__ = [
    "IGNORE_LABEL",
    "DatasetInfo",
    "MissingSplit",
    "Split",
    "class_pixel_counts",
    "listed_lines",
    "typical_size",
]

IGNORE_LABEL = 255
"""Void inside the program; every data set maps its own void to this."""


class MissingSplit(UserError):
    """The data set is there, but not this split of it."""


@dataclass(frozen=True)
class DatasetInfo:
    """Metadata of a data set.

    Attributes:
        name: what `--dataset` calls it.
        classes: class names, in the order of their ids.
        colours: one RGB triple a class, 0 to 255.
        ignore_label: the id that means void in the files (255 inside the program).
        channels: of its images as they are read: a key of
            `segnet_tf.datasets.images.CHANNELS`.
        image_size: height and width of its images, for a model to remember what it was
            trained on; None if nobody looked.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    ignore_label: int = IGNORE_LABEL
    channels: int = 3
    image_size: tuple[int, int] | None = None

    def __post_init__(self):
        if len(self.classes) != len(self.colours):
            raise ValueError(
                f"{self.name}: {len(self.classes)} classes, {len(self.colours)} colours"
            )

    @classmethod
    def from_dict(cls, labels: dict) -> "DatasetInfo":
        """From a model's labels.json: what `asdict` and JSON made of one.

        Raises:
            KeyError, TypeError, ValueError: if it is damaged.
        """
        return cls(
            name=labels["name"],
            classes=tuple(labels["classes"]),
            colours=tuple(tuple(colour) for colour in labels["colours"]),
            ignore_label=labels["ignore_label"],
            # Files of before there was a choice have RGB.
            channels=labels.get("channels", 3),
            image_size=_image_size(labels.get("image_size")),
        )

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def _image_size(stored: list[int] | None) -> tuple[int, int] | None:
    """From labels.json, where it may be missing."""
    if stored is None:
        return None
    height, width = stored
    if not (isinstance(height, int) and isinstance(width, int)):
        raise TypeError(f"image_size: {stored!r}")
    if min(height, width) < 1:
        raise ValueError(f"image_size: {stored!r}")
    return height, width


@dataclass(frozen=True)
class Split:
    """One split of a data set, readable in any order.

    Attributes:
        info: the data set it belongs to.
        name: such as "train".
        names: one name an example, for messages and file names.
        read: index -> (image uint8 (H, W, info.channels), labels uint8 (H, W), void =
            255).
        sources: what each example comes from, equal where two splits of a data set
            share it, as names need not be; empty where that is not known.
    """

    info: DatasetInfo
    name: str
    names: tuple[str, ...]
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    sources: tuple[Hashable, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.read(index) for index in range(len(self)))


def listed_lines(listing: Path) -> list[str]:
    """The lines of a text file of names, without the empty ones.

    Raises:
        UserError: if the file is no UTF-8 text, or has no line.
    """
    try:
        # Editors on Windows put a mark before the first line.
        text = listing.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{listing}: no UTF-8 text") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{listing}: names no images")
    return lines


def class_pixel_counts(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of every class in every image, and of the image.

    Returns:
        int64 (images, classes), void left out; int64 (images,), void included.
    """
    num_classes = split.info.num_classes
    counts = [np.bincount(labels.reshape(-1), minlength=256) for _, labels in split]
    counts = np.stack(counts).astype(np.int64)
    return counts[:, :num_classes], counts.sum(axis=1)


def typical_size(split: Split) -> tuple[int, int]:
    """Median height and width of some 16 of a split's images, spread over it."""
    indices = range(0, len(split), max(1, len(split) // 16))
    sizes = [split.read(index)[1].shape for index in indices]
    height, width = np.median(sizes, axis=0).astype(int).tolist()
    return height, width
