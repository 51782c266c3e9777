"""Trains a network and writes everything into a run folder.

python train.py                                        generated scenes, SegNetLite
python train.py --dataset camvid --data-dir CamVid     CamVid from a folder
python train.py --dataset camvid --data-dir CamVid --resume
"""

import argparse
from dataclasses import fields

import segnet_tf
from segnet_tf import cli
from segnet_tf.config import TrainConfig


def size(text: str) -> tuple[int, int]:
    height, width = text.lower().split("x")
    return int(height), int(width)


def interval(text: str) -> tuple[float, float]:
    low, high = text.split("-")
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=segnet_tf.__version__)
    parser.add_argument("--output", help="run folder [runs/<dataset>-<model>]")
    parser.add_argument(
        "--resume", action="store_true", help="go on after the last finished epoch"
    )
    parsers = {"crop": size, "scale": interval}
    for option in fields(TrainConfig):
        default, name = option.default, option.name
        kind = parsers.get(name, str if default is None else type(default))
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=default,
            choices=option.metadata["choices"],
            help=f"{option.metadata['help']} [{default}]",
        )
    arguments = vars(parser.parse_args())
    output, resume = arguments.pop("output"), arguments.pop("resume")
    config = TrainConfig(**arguments)

    from segnet_tf.training import train

    train(config, output, resume)


if __name__ == "__main__":
    cli.run(main)
