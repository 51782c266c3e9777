"""Public data sets through TensorFlow Datasets: pets, Cityscapes, SceneParse150.

TFDS downloads the data, if the data set allows it, and prepares it once. Data that
`tfds.load` has prepared is used as it is.
"""

import logging
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from segnet_tf.datasets.class_list import default_colours
from segnet_tf.datasets.dataset import IGNORE_LABEL, DatasetInfo, MissingSplit, Split
from segnet_tf.errors import UserError

__all__ = ["LOADERS", "SOURCES"]


@dataclass(frozen=True)
class Source:
    """The form of a data set in TFDS.

    Attributes:
        info: its metadata in this program.
        builder: its name in TFDS.
        image: key of the image in an example.
        mask: key of the mask, whose first channel counts.
        ids: id in the file -> class id or IGNORE_LABEL; no other id may occur.
        splits: our name -> name in TFDS, begin and end of its part in percent.
    """

    info: DatasetInfo
    builder: str
    image: str
    mask: str
    ids: Mapping[int, int]
    splits: Mapping[str, tuple[str, int, int]]


_PETS = Source(
    # Trimaps: 1 pet, 2 background, 3 the border, which is "not classified".
    info=DatasetInfo(
        name="oxford_iiit_pet",
        classes=("background", "pet"),
        colours=((0, 0, 0), (250, 140, 20)),
        ignore_label=3,
    ),
    builder="oxford_iiit_pet:4.*.*",
    image="image",
    mask="segmentation_mask",
    ids={1: 1, 2: 0, 3: IGNORE_LABEL},
    # TFDS shuffles when it prepares, so that the end is a fair sample.
    splits={
        "train": ("train", 0, 90),
        "val": ("train", 90, 100),
        "trainval": ("train", 0, 100),
        "test": ("test", 0, 100),
    },
)

# id in labelIds, name, colour: cityscapesScripts, helpers/labels.py. The other ids of
# the 34 are not evaluated.
_CITYSCAPES_CLASSES = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)

_CITYSCAPES = Source(
    info=DatasetInfo(
        name="cityscapes",
        classes=tuple(name for _, name, _ in _CITYSCAPES_CLASSES),
        colours=tuple(colour for _, _, colour in _CITYSCAPES_CLASSES),
    ),
    builder="cityscapes/semantic_segmentation",
    image="image_left",
    mask="segmentation_label",
    ids={number: IGNORE_LABEL for number in range(34)}
    | {row[0]: train_id for train_id, row in enumerate(_CITYSCAPES_CLASSES)},
    # The test split's labels are not public.
    splits={"train": ("train", 0, 100), "val": ("validation", 0, 100)},
)

# The 100 things of the instance task of the Places Challenge 2017, in the order of
# their ids from 1: placeschallenge, instancesegmentation/instanceInfo100_train.txt.
_THINGS = tuple(
    """bed, windowpane, cabinet, person, door, table, curtain, chair, car, painting,
    sofa, shelf, mirror, armchair, seat, fence, desk, wardrobe, lamp, bathtub, railing,
    cushion, box, column, signboard, chest of drawers, counter, sink, fireplace,
    refrigerator, stairs, case, pool table, pillow, screen door, bookcase, coffee table,
    toilet, flower, book, bench, countertop, stove, palm, kitchen island, computer,
    swivel chair, boat, arcade machine, bus, towel, light, truck, chandelier, awning,
    streetlight, booth, television receiver, airplane, apparel, pole, bannister,
    ottoman, bottle, van, ship, fountain, washer, plaything, stool, barrel, basket, bag,
    minibike, oven, ball, food, step, trade name, microwave, pot, animal, bicycle,
    dishwasher, screen, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan,
    plate, monitor, bulletin board, radiator, glass, clock, flag""".replace(
        "\n    ", " "
    ).split(", ")
)

_SCENES = Source(
    # The name says 150 classes, but TFDS has the annotations of the instance task: red
    # is one of 100 things, green is the instance, 0 is everything else.
    info=DatasetInfo(
        name="scene_parse150",
        classes=_THINGS,
        colours=tuple(default_colours(_THINGS)),
        ignore_label=0,
    ),
    builder="scene_parse150",
    image="image",
    mask="annotation",
    ids={0: IGNORE_LABEL} | {number + 1: number for number in range(len(_THINGS))},
    # The split that TFDS calls test is the challenge's validation set.
    splits={"train": ("train", 0, 100), "val": ("test", 0, 100)},
)

SOURCES = {source.info.name: source for source in (_PETS, _CITYSCAPES, _SCENES)}


def _load(
    source: Source, split: str, data_dir: str | os.PathLike | None = None
) -> Split:
    """A split of a data set that TFDS prepares.

    Args:
        source: the data set.
        split: "train", "val" or, for the pets, "trainval" or "test".
        data_dir: the folder of TFDS; by default its own, ~/tensorflow_datasets.

    Raises:
        MissingSplit: if the data set has no test split.
        UserError: if the split is unknown, if TFDS cannot prepare the data set (no
            connection, or files that users must download), or if a mask is faulty.
    """
    name = source.info.name
    if split not in source.splits:
        # Another name is a mistake, and must not pass for a split that is missing.
        fault = MissingSplit if split == "test" else UserError
        raise fault(f"{name}: no split {split!r}; it has {', '.join(source.splits)}")
    import tensorflow_datasets as tfds

    builder = tfds.builder(source.builder, data_dir=data_dir)
    _prepare(builder, name)
    tfds_split, first, last = source.splits[split]
    records = _records(builder, tfds_split)
    start, stop = (len(records) * share // 100 for share in (first, last))
    if start == stop:
        raise UserError(f"{name}: split {split!r} in {builder.data_dir} is empty")
    names = tuple(f"{tfds_split}-{index:06d}" for index in range(start, stop))
    table = np.full(256, -1, np.int16)
    table[list(source.ids)] = list(source.ids.values())

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        # The decoders of TensorFlow, as in tfds.load: those of NumPy leave grey images
        # with one channel.
        example = builder.info.features.deserialize_example(records[start + index])
        mask = example[source.mask].numpy()[..., 0]
        labels = table[mask]
        if labels.min() < 0:
            raise UserError(
                f"{name}: {names[index]}: id {mask[labels < 0][0]} in its mask"
            )
        return example[source.image].numpy(), labels.astype(np.uint8)

    return Split(source.info, split, names, read, sources=names)


LOADERS: dict[str, Callable[..., Split]] = {
    name: partial(_load, source) for name, source in SOURCES.items()
}
"""Name -> load(split, data_dir)."""


def _prepare(builder, name: str) -> None:
    import tensorflow_datasets as tfds

    if builder.is_prepared():
        return
    # Each retry would print a line before the line that matters.
    retries = logging.getLogger("urllib3.connectionpool")
    level = retries.level
    retries.setLevel(logging.ERROR)
    try:
        builder.download_and_prepare()
    # TFDS raises AssertionError if users must download files; requests raises OSError.
    except (AssertionError, OSError, tfds.download.DownloadError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{name}: TFDS cannot prepare it in {builder.data_dir} ({reason}): prepare "
            "it on another machine (`tfds build`) and name its folder with --data-dir"
        ) from None
    finally:
        retries.setLevel(level)


def _records(builder, split: str) -> Sequence[bytes]:
    """The examples of a split, serialised, in any order."""
    import tensorflow_datasets as tfds

    if builder.info.file_format == tfds.core.FileFormat.TFRECORD:
        return TFRecords(builder.info.splits[split].filepaths)
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    return builder.as_data_source(split, deserialize_method=raw)


class TFRecords(Sequence):
    """The records of TFRecord files, as bytes, by number.

    TensorFlow reads these files only from front to back. A record is its length (8
    bytes, little endian), 4 bytes of checksum, the data, 4 bytes of checksum. A jump
    from length to length finds all records without reading them.

    Raises:
        UserError: if a file is missing or cut short.
    """

    def __init__(self, paths: Sequence[str | os.PathLike]):
        self._places: list[tuple[str, int, int]] = []
        for path in (os.fspath(path) for path in paths):
            try:
                size, place = os.path.getsize(path), 0
                with open(path, "rb") as file:
                    while place < size:
                        file.seek(place)
                        (length,) = struct.unpack("<Q", file.read(8))
                        self._places.append((path, place + 12, length))
                        place += 16 + length
            except FileNotFoundError:
                raise UserError(
                    f"{path}: missing: prepare the data set again"
                ) from None
            except struct.error:
                place = -1
            if place != size:
                raise UserError(f"{path}: cut short: prepare the data set again")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        path, place, length = self._places[index]
        # Each call opens the file, because several threads read at once.
        with open(path, "rb") as file:
            file.seek(place)
            return file.read(length)
