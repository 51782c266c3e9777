"""A data set as the rest of the program sees it: its metadata and its splits."""

import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segnet_tf.errors import UserError

__all__ = [
    "IGNORE_LABEL",
    "LONGEST_NAME",
    "DatasetInfo",
    "MissingSplit",
    "Place",
    "Split",
    "Stored",
    "class_pixel_counts",
    "is_name",
    "listed_lines",
    "split_lines",
    "typical_size",
    "unknown_ids",
]

IGNORE_LABEL = 255
"""The label of void in the program; every data set maps its own void to it."""

LONGEST_NAME = 100
"""Characters in the name of a class."""


def is_name(text: str) -> bool:
    """Whether a text can name a class: it can be printed, and is not too long."""
    return text.isprintable() and 1 <= len(text) <= LONGEST_NAME


class MissingSplit(UserError):
    """The data set exists, but does not have this split."""


@dataclass(frozen=True)
class DatasetInfo:
    """Metadata of a data set.

    Attributes:
        name: its name in `--dataset`.
        classes: class names, in the order of their ids.
        colours: one RGB triple for each class, 0 to 255.
        ignore_label: the id of void in the files (255 in the program).
        channels: number of channels of its images as they are read: a key of
            `segnet_tf.datasets.images.CHANNELS`.
        image_size: typical height and width of its images, which a model stores as the
            size that it was trained on; None if unknown.
        value_range: of images with more than 8 bits, the values that become 0 and 255;
            None: 0 and 65535.

    Raises:
        ValueError: if the numbers of classes and colours differ, or if there are more
            than 255.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    ignore_label: int = IGNORE_LABEL
    channels: int = 3
    image_size: tuple[int, int] | None = None
    value_range: tuple[float, float] | None = None

    def __post_init__(self):
        if len(self.classes) != len(self.colours):
            raise ValueError(
                f"{self.name}: {len(self.classes)} classes, but {len(self.colours)} "
                "colours"
            )
        if not 1 <= len(self.classes) <= IGNORE_LABEL:
            raise ValueError(
                f"{self.name}: {len(self.classes)} classes, must be 1 to "
                f"{IGNORE_LABEL}: ids are bytes, and {IGNORE_LABEL} is void"
            )

    @property
    def num_classes(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class Place:
    """Where an encoded image lies.

    Attributes:
        path: of the file.
        begin: the place of its first byte in the file.
        length: its number of bytes; None: up to the end of the file.
        hash: what `segnet_tf.datasets.storage.native.hash_of` gives for its bytes;
            None: not known.
    """

    path: Path
    begin: int = 0
    length: int | None = None
    hash: int | None = None


@dataclass(frozen=True, eq=False)
class Stored:
    """An example that lies in files as an image and a mask of ids in grey.

    Attributes:
        image: where the image lies.
        mask: where the mask lies; if both are parts of a file, it is the same file.
        table: int16 (256,): the label of each id in the mask; below 0: the id is
            refused.
    """

    image: Place
    mask: Place
    table: np.ndarray

    @classmethod
    def pairs(
        cls,
        pairs: Iterable[tuple[Path, Path]],
        num_classes: int,
        void: Iterable[int] = (IGNORE_LABEL,),
    ) -> tuple["Stored", ...]:
        """Images and masks in files of their own, whose ids are the labels."""
        table = cls.ids(num_classes, void)
        return tuple(cls(Place(image), Place(mask), table) for image, mask in pairs)

    @staticmethod
    def ids(num_classes: int, void: Iterable[int] = (IGNORE_LABEL,)) -> np.ndarray:
        """The table of masks whose ids are the labels."""
        table = np.full(256, -1, np.int16)
        table[:num_classes] = range(num_classes)
        table[list(void)] = IGNORE_LABEL
        return table

    def relabelled(self, labels: np.ndarray) -> "Stored":
        """The same with other labels: uint8 (256,), one for each of those here."""
        table = np.where(self.table < 0, self.table, labels[self.table])
        return replace(self, table=table.astype(np.int16))


@dataclass(frozen=True)
class Split:
    """One split of a data set, readable in any order.

    Attributes:
        info: the data set it belongs to.
        name: such as "train".
        names: one name for each example, for messages and file names.
        read: index -> (image uint8 (H, W, info.channels), labels uint8 (H, W), void =
            255).
        sources: the origin of each example, such as its path. If two splits of a data
            set share an example, its sources are equal; its names may differ. Empty if
            unknown.
        groups: what the label ids after the classes mean. A pixel with the id
            num_classes + g is of one of the classes `groups[g]`; the label does not say
            of which.
        shares: (number of examples, share) of each part of the split, in order; a
            training stream takes so many samples of each part in turn. Empty: one part.
        faults: a line for each example that is known to be unusable before it is read;
            `read` raises it.
        remarks: () -> lines on how the files were understood; what was counted in them
            is complete if every example has been read.
        mask_ids: the ids of the classes in the files; empty: the same as the labels.
        stored: where each example lies, for readers that do without Python; None for an
            example that `read` alone can read. Empty: `read` reads all of them. `read`
            gives the same, and says what is wrong with a file.
        read_options: what `read` depends on beside the files and `info`, as a text.
    """

    info: DatasetInfo
    name: str
    names: tuple[str, ...]
    read: Callable[[int], tuple[np.ndarray, np.ndarray]]
    sources: tuple[Hashable, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    shares: tuple[tuple[int, int], ...] = ()
    faults: tuple[str, ...] = ()
    remarks: Callable[[], tuple[str, ...]] = tuple
    mask_ids: tuple[int, ...] = ()
    stored: tuple[Stored | None, ...] = ()
    read_options: str = ""

    @property
    def labels(self) -> DatasetInfo:
        """The classes and after them the groups: a name and a colour for each id."""
        names, colours = self.info.classes, self.info.colours
        means = (
            np.mean([colours[index] for index in group], axis=0).astype(int).tolist()
            for group in self.groups
        )
        return replace(
            self.info,
            classes=names
            + tuple(" or ".join(names[i] for i in group) for group in self.groups),
            colours=colours + tuple(tuple(mean) for mean in means),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.read(index) for index in range(len(self)))


def unknown_ids(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The ids in labels that are neither a class nor `IGNORE_LABEL`, one per pixel."""
    return labels[(labels >= num_classes) & (labels != IGNORE_LABEL)]


def listed_lines(listing: Path) -> list[str]:
    """The lines of a text file of names, without the empty ones.

    Windows' separators become slashes.

    Raises:
        UserError: if the file is not UTF-8 text, or has no lines.
    """
    try:
        # Editors on Windows write a byte order mark before the first line.
        text = listing.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{listing}: not UTF-8 text") from None
    lines = [line.strip().replace("\\", "/") for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise UserError(f"{listing}: names no images")
    return lines


def split_lines(
    dataset: str, split: str, splits: Iterable[str], what: str = "image names"
) -> list[str]:
    """The lines of the text file that is named in the place of a split.

    Args:
        dataset: its name, for the message.
        split: the path of the file.
        splits: the names of the data set's splits.
        what: what the file lists.

    Raises:
        MissingSplit: if the split is "test", which every check and mix may ask for.
        UserError: if there is no such file, or as `listed_lines`.
    """
    if not os.path.isfile(split):  # False for a name that is too long, too
        fault = MissingSplit if split == "test" else UserError
        raise fault(
            f"{dataset}: no split {split!r:.80}: use {', '.join(splits)} or a text "
            f"file of {what}"
        )
    return listed_lines(Path(split))


def class_pixel_counts(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Counts the pixels of every class in every image, and of every image.

    Returns:
        int64 (images, classes), without void and groups; int64 (images,), with them.
    """
    num_classes = split.info.num_classes
    counts = [np.bincount(labels.reshape(-1), minlength=256) for _, labels in split]
    counts = np.stack(counts).astype(np.int64)
    return counts[:, :num_classes], counts.sum(axis=1)


def typical_size(split: Split) -> tuple[int, int]:
    """Median height and width of about 16 images, spread over a split.

    Each part gives as many of them as its share of the training samples.
    """
    parts = split.shares or ((len(split), 1),)
    whole, first, indices = sum(share for _, share in parts), 0, []
    for count, share in parts:
        wanted = max(1, round(16 * share / whole))
        # A part of few images gives some of them more than once.
        indices += [first + place * count // wanted for place in range(wanted)]
        first += count
    sizes = [split.read(index)[1].shape for index in indices]
    height, width = np.median(sizes, axis=0).astype(int).tolist()
    return height, width
