"""Checks a data set: counts, sizes, classes, faulty files, and a sheet of samples.

    segnet data camvid --data-dir CamVid
    segnet data folder --data-dir leaves --sheet leaves.png
    segnet data synthetic --write streets --split test --count 3
    segnet data folder --data-dir leaves --pack leaves.pack

The command exits with 1 if a file or a whole split cannot be used. With --write it
checks nothing: it writes the first pictures of a split as files, each with its labels.
With --pack it writes all splits into a few files, for --dataset packed.
"""

import sys
from pathlib import Path

from PIL import Image

from segnet_tf.console import cli
from segnet_tf.console.options import add_flags, options_from
from segnet_tf.datasets.dataset import MissingSplit, Split
from segnet_tf.datasets.images import CHANNELS
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.registry import DATASETS, load, scaled_alike
from segnet_tf.datasets.storage import packed
from segnet_tf.errors import UserError
from segnet_tf.evaluation.data_check import examine, report, sample_sheet, suspicions
from segnet_tf.evaluation.visualize import as_rgb, palette_image
from segnet_tf.files import replacing

__all__ = ["main"]

SPLITS = ("train", "val", "test")


def main(arguments: list[str] | None = None) -> None:
    """Reads the flags, then checks the data set or writes pictures of it.

    Args:
        arguments: the flags; None: those of the command line.
    """
    parser = cli.parser("data", __doc__, takes="NAME")
    add = parser.add_argument
    add("name", metavar="NAME", help=f"data set: {', '.join(DATASETS)}")
    add("--data-dir", metavar="FOLDER", help="folder of the data set")
    add(
        "--channels",
        type=int,
        choices=CHANNELS,
        default=3,
        help="channels of an image: 1 grey, 3 RGB; folder also 4, RGBA as stored [3]",
    )
    add("--sheet", metavar="FILE", help="sheet of samples [<NAME>-samples.png]")
    add(
        "--write",
        metavar="FOLDER",
        type=Path,
        help="write pictures into this folder, and check nothing",
    )
    add(
        "--pack",
        metavar="FOLDER",
        type=Path,
        help="write all splits into this new folder, which `segnet train --dataset "
        "packed --data-dir FOLDER` reads",
    )
    add("--split", default="train", help="with --write: split of the pictures [train]")
    add(
        "--count",
        type=int,
        default=1,
        metavar="N",
        help="with --write: number of pictures [1]",
    )
    add_flags(parser.add_argument_group("folder"), Reading)
    found = parser.parse_args(arguments)
    reading = options_from(found, Reading)
    place = found.data_dir, found.channels, reading
    if found.pack:
        _refuse_inside(found.pack, found.data_dir, "--pack")
        pack(found.name, *place, found.pack)
    elif found.write:
        _refuse_inside(found.write, found.data_dir, "--write")
        write(load(found.name, found.split, *place), found.count, found.write)
    else:
        sheet = Path(found.sheet or f"{found.name}-samples.png")
        _check_sheet(sheet, found.data_dir)
        check(found.name, *place, sheet)


def write(split: Split, count: int, folder: Path) -> None:
    """Writes the first pictures as `<stem>.png`, their labels as `<stem>_truth.png`.

    Args:
        split: the pictures and labels.
        count: the number of pictures.
        folder: made if it is not there.

    Raises:
        UserError: if the split has fewer pictures.
    """
    if not 1 <= count <= len(split):
        raise UserError(
            f"--count: {count}, must be 1 to {len(split)}, the number of pictures "
            f"in {split.name}"
        )
    stems = [Path(name).stem for name in split.names[:count]]
    names = [f"{stem}{end}.png" for stem in stems for end in ("", "_truth")]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(
            f"{folder / twice}: two of the pictures would get this name: take fewer "
            "with --count"
        )
    for index, stem in enumerate(stems):
        image, labels = split.read(index)
        pictures = {
            f"{stem}.png": Image.fromarray(as_rgb(image)),
            f"{stem}_truth.png": palette_image(labels, split.info),
        }
        for name, picture in pictures.items():
            with replacing(folder / name) as temporary:
                picture.save(temporary)
        print(folder / f"{stem}.png")


def pack(
    name: str, data_dir: str | None, channels: int, reading: Reading, folder: Path
) -> None:
    """Writes all splits as a pack; see `segnet_tf.datasets.storage.packed`.

    Args:
        name: a key of `segnet_tf.datasets.registry.DATASETS`.
        data_dir: the folder of the data set.
        channels: of an image: 1, 3 or 4.
        reading: how the files of a folder are read.
        folder: the pack, which is not there yet.

    Raises:
        UserError: if a split or a file is faulty, or if the pack cannot be written.
    """
    splits, unusable = _load_splits(name, data_dir, channels, reading)
    if unusable:
        raise UserError(unusable[0])
    packed.write(folder, splits)
    counts = ", ".join(f"{split.name} {len(split)}" for split in splits)
    print(f"{folder}: {counts}")


def _check_sheet(sheet: Path, data_dir: str | None) -> None:
    """Refuses a sheet that cannot be written, or that would lie in the data.

    Raises:
        UserError: the message says what to do.
    """
    if sheet.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".tif"):
        raise UserError(f"{sheet}: the sheet is a picture: end its name in .png")
    if sheet.is_dir():
        raise UserError(f"{sheet}: is a folder: choose another --sheet")
    _refuse_inside(sheet, data_dir, "--sheet")


def _refuse_inside(path: Path, data_dir: str | None, flag: str) -> None:
    if data_dir and path.resolve().is_relative_to(Path(data_dir).resolve()):
        raise UserError(
            f"{path}: would lie in the folder of the data: name another place with "
            f"{flag}"
        )


def check(
    name: str, data_dir: str | None, channels: int, reading: Reading, sheet: Path
) -> None:
    """Prints what a data set contains and what looks wrong, and draws samples of it.

    The process ends with exit code 1 if a file or a whole split cannot be used.

    Args:
        name: a key of `segnet_tf.datasets.registry.DATASETS`.
        data_dir: the folder of the data set.
        channels: of an image: 1, 3 or 4.
        reading: how the files of a folder are read.
        sheet: path of the sheet of samples.

    Raises:
        UserError: if no split can be loaded.
    """
    splits, unusable = _load_splits(name, data_dir, channels, reading)
    found = [examine(split) for split in splits]
    unusable += [line for findings in found for line in findings.unreadable]
    _show("cannot be used", unusable)
    readable = [findings for findings in found if len(findings.indices)]
    if readable:
        print(*readable[0].split.remarks(), sep="\n")
        print(*report(readable), sep="\n")
        odd = suspicions(readable)
        if reading.range and not any(split.info.value_range for split in splits):
            odd.append(f"--range {reading.range}: no use, as the images have 8 bits")
        _show("suspicious", odd)
        with replacing(sheet) as temporary:
            sample_sheet(readable[0]).save(temporary)
        split = readable[0].split.name
        print(f"\n{sheet}: samples of {split}, void hatched; look at them")
    if unusable:
        sys.exit(1)


def _load_splits(
    name: str, data_dir: str | None, channels: int, reading: Reading
) -> tuple[list[Split], list[str]]:
    """The splits that load, and one line for each that is there but does not load.

    Splits that are not there are printed. Raises UserError if no split loads.
    """
    splits, unusable, missing = [], [], []
    for split in SPLITS:
        try:
            loaded = load(name, split, data_dir, channels, reading, faulty=True)
            splits.append(loaded)
            # All splits are scaled as the first one.
            reading = scaled_alike(name, reading, loaded.info.value_range)
        except MissingSplit as error:
            missing.append(str(error))
        except UserError as error:
            unusable.append(str(error))
    if not splits:
        raise UserError((unusable or missing)[0])
    _show("not there", missing)
    return splits, unusable


def _show(heading: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{heading}:", *lines, sep="\n  ")
