"""Checks a data set: counts, sizes, classes, faulty files, and a sheet of samples.

python -m segnet_tf.datasets camvid --data-dir CamVid
python -m segnet_tf.datasets folder --data-dir leaves --sheet leaves.png

Exits with 1 where a file, or a whole split, cannot be used.
"""

import argparse
import sys

from segnet_tf import cli, datasets
from segnet_tf.datasets.check import examine, report, sample_sheet, suspicions
from segnet_tf.datasets.split import MissingSplit, Split
from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.images import CHANNELS

SPLITS = ("train", "val", "test")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m segnet_tf.datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(datasets.DATASETS))
    parser.add_argument("--data-dir", help="folder of the data set")
    parser.add_argument(
        "--channels", type=int, choices=CHANNELS, default=3, help="of the images [3]"
    )
    parser.add_argument("--sheet", help="picture to write [<NAME>-samples.png]")
    arguments = parser.parse_args()
    splits, unusable = load_splits(
        arguments.name, arguments.data_dir, arguments.channels
    )
    found = [examine(split) for split in splits]
    unusable += [line for findings in found for line in findings.unreadable]
    show("cannot be used", unusable)
    readable = [findings for findings in found if len(findings.indices)]
    if readable:
        print(*report(readable), sep="\n")
        show("suspicious", suspicions(readable))
        sheet = arguments.sheet or f"{arguments.name}-samples.png"
        with replacing(sheet) as temporary:
            sample_sheet(readable[0]).save(temporary)
        name = readable[0].split.name
        print(f"\n{sheet}: samples of {name}, void hatched; look at them")
    if unusable:
        sys.exit(1)


def load_splits(
    name: str, data_dir: str | None, channels: int
) -> tuple[list[Split], list[str]]:
    """The splits that load, and why others that are there do not.

    Splits that are not there are printed. Raises UserError where none loads.
    """
    splits, unusable, missing = [], [], []
    for split in SPLITS:
        try:
            splits.append(datasets.load(name, split, data_dir, channels))
        except MissingSplit as error:
            missing.append(str(error))
        except UserError as error:
            unusable.append(str(error))
    if not splits:
        raise UserError((unusable or missing)[0])
    show("not there", missing)
    return splits, unusable


def show(heading: str, lines: list[str]) -> None:
    if lines:
        print(f"\n{heading}:", *lines, sep="\n  ")


if __name__ == "__main__":
    cli.run(main, "segnet_tf.datasets")
