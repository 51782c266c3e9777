"""Trains a network and writes everything into a run folder.

python train.py                                        generated scenes, SegNetLite
python train.py --dataset camvid --data-dir CamVid     CamVid from a folder
python train.py --dataset camvid --data-dir CamVid --resume
python train.py --recipe paper_segnet_basic            a named set of options
"""

import argparse
from dataclasses import Field, fields

import segnet_tf
from segnet_tf import cli
from segnet_tf.config import TrainConfig
from segnet_tf.quiet import import_tensorflow
from segnet_tf.recipes import RECIPES


def size(text: str) -> tuple[int, int]:
    height, width = text.lower().split("x")
    return int(height), int(width)


def interval(text: str) -> tuple[float, float]:
    low, high = text.split("-")
    return float(low), float(high)


def add_option(parser: argparse.ArgumentParser, option: Field) -> None:
    """A flag for a field of TrainConfig; absent when not given, so recipes show."""
    name, default = option.name, option.default
    flag, text = f"--{name.replace('_', '-')}", option.metadata["help"]
    if isinstance(default, bool):
        text = f"{text} [{'yes' if default else 'no'}]"
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        return
    if isinstance(default, tuple):
        kind, joint = (size, "x") if name == "crop" else (interval, "-")
        text = f"{text} [{joint.join(map(str, default))}]"
    else:
        kind = str if default is None else type(default)
        text = f"{text} [{default}]" if default is not None else text
    choices = option.metadata["choices"]
    parser.add_argument(flag, type=kind, choices=choices, help=text)


def main() -> None:
    recipes = (f"  {name}: {recipe.expects}" for name, recipe in RECIPES.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="\n".join(["recipes, as they stand:", *recipes]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=segnet_tf.__version__)
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        metavar="NAME",
        help="options worth repeating, listed below; flags beside it win",
    )
    parser.add_argument("--output", help="run folder [runs/<dataset>-<model>]")
    parser.add_argument(
        "--resume", action="store_true", help="go on after the last finished epoch"
    )
    for option in fields(TrainConfig):
        add_option(parser, option)
    arguments = vars(parser.parse_args())
    name = arguments.pop("recipe")
    recipe = RECIPES.get(name)
    output, resume = arguments.pop("output"), arguments.pop("resume")
    given = {name: value for name, value in arguments.items() if value is not None}
    if recipe:
        print(f"{name} as it stands: {recipe.expects}")
    config = TrainConfig(**{**(recipe.options if recipe else {}), **given})

    import_tensorflow()
    from segnet_tf.training import train

    train(config, output, resume)


if __name__ == "__main__":
    cli.run(main)
