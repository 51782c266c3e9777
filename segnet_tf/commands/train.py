"""Trains a network and writes everything into a run folder.

    segnet train                                        # generated scenes, SegNetLite
    segnet train --dataset camvid --data-dir CamVid     # CamVid from a folder
    segnet train --dataset camvid --data-dir CamVid --resume
    segnet train --recipe paper_segnet_basic            # a named set of options

The networks and the recipes are listed at the end.
"""

from pathlib import Path

from segnet_tf.console import cli
from segnet_tf.console.options import add_flags
from segnet_tf.console.quiet import import_tensorflow
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import find_model, network_name
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.cluster import Cluster
from segnet_tf.training.config import GROUPS, TrainConfig
from segnet_tf.training.recipes import RECIPES

__all__ = ["main"]

RENAMED = {
    "--scale": "--zoom",
    "--light": "--color-jitter",
    "--degrade": "--corruption",
    "--keep": "--save-best or --save-last",
    "--reestimate-bn": "--recalibrate-bn",
    "--encoder-rate-factor": "--encoder-lr-multiplier",
}


def main(arguments: list[str] | None = None) -> None:
    """Reads the flags and trains.

    Args:
        arguments: the flags; None: those of the command line.
    """
    parser = cli.parser("train", __doc__, _epilog())
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help="named set of options, listed below; a flag beside it wins",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="options of another run, from its config.json; a flag beside it wins",
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help="run folder [runs/<dataset>-<model>]"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where the run with these options was stopped",
    )
    _add_places(parser.add_argument_group("devices and machines"))
    for title, group in GROUPS.items():
        add_flags(parser.add_argument_group(title), group)
    cli.add_renamed(parser, RENAMED)
    found = vars(parser.parse_args(arguments))
    keys = ("recipe", "config", "output", "resume", "devices", "workers", "index")
    name, file, output, resume, devices, workers, index = map(found.pop, keys)
    options = {}
    if file is not None:
        if name is not None:
            raise UserError("--config and --recipe: give one of them")
        options = _stored(file)
    if name is not None:
        recipe = cli.chosen("recipe", name, RECIPES)
        print(f"recipe {name}: {recipe.expects}")
        options = recipe.options
    given = {key: value for key, value in found.items() if value is not None}
    config = TrainConfig.of(**_started({**options, **given}))
    cluster = Cluster.of_flags(workers, index)

    import_tensorflow(training=True)
    from segnet_tf.training.replicas import Replicas

    replicas = Replicas.on(devices, cluster)
    from segnet_tf.training.trainer import train

    train(config, output, resume, replicas)


def _add_places(group) -> None:
    """The flags that say where a run computes; they are no part of its options."""
    add = group.add_argument
    add(
        "--devices",
        default="1",
        metavar="N",
        help="GPUs that share a batch, or all [1]",
    )
    add(
        "--workers",
        metavar="HOST:PORT,...",
        help="machines that share a batch, the same list on each [those of TF_CONFIG]",
    )
    add("--index", type=int, metavar="I", help="place of this machine in --workers")


def _stored(file: str) -> dict:
    """The options in the config.json of a run."""
    from segnet_tf.training.run_options import read_options

    options = read_options(Path(file))
    unknown = options.keys() - TrainConfig().as_options().keys()
    if unknown:
        raise UserError(f"{file}: no option {min(unknown)!r} here: delete it there")
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
    }


def _started(options: dict) -> dict:
    """The options with what --init-from says of the network and its first weights."""
    source = options.get("init_from")
    if source == "imagenet":
        return {**options, "init_from": None, "encoder_weights": "imagenet"}
    if source is None or "model" in options:
        return options
    name = network_name(find_model(source, forms=("model.keras",)))
    return {"model": name, **options} if name in NETWORKS else options


def _epilog() -> str:
    """The networks and the recipes; they are too many for the line of a flag."""
    lines = ["networks (--model), with their trainable parameters for 11 classes:"]
    for name, network in NETWORKS.items():
        lines.append(f"  {name:<39}{network.parameters:>12,}  {network.summary}")
    lines += ["", "recipes (--recipe), with their cost and result:"]
    lines += [f"  {name}: {recipe.expects}" for name, recipe in RECIPES.items()]
    return "\n".join(lines)
