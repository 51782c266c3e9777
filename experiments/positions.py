"""Do pooling positions carry what pooling lost? One network, four ways to unpool.

python -m experiments.smaller runs/streets --size 96x128
python -m experiments.positions --dataset folder --data-dir runs/streets --filters 32

SegNet-Basic is trained alike with the true positions; with positions that are drawn
anew at every pass and so say nothing; with the top left corner, always; and with
bilinear interpolation in the place of unpooling, the same convolutions after it. Writes
table.md and plot.png. If a run was killed, the same command goes on where it was.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from experiments.decoders import (
    SCORES,
    add_training_arguments,
    conditions,
    mean_and_spread,
    trained_alike,
)
from segnet_tf.console import cli
from segnet_tf.files import replacing
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models import SegNetBasic
from segnet_tf.models.clone import clone, rebuilt
from segnet_tf.models.networks import NETWORKS

KINDS = ("true", "random", "fixed", "bilinear")


@keras.saving.register_keras_serializable("experiments")
class WrongPositions(MaxPoolingWithArgmax2D):
    """Pools as its parent does in mode "window", and gives wrong positions.

    Args:
        kind: "random": corners that are drawn anew at every call; "fixed": the top left
            corner of every window.
    """

    def __init__(self, kind: str, **kwargs):
        super().__init__(**{**kwargs, "mode": "window"})
        self.kind = kind

    def call(self, x):
        pooled, positions = super().call(x)
        if self.kind == "fixed":
            return pooled, tf.zeros_like(positions)
        corners = tf.random.uniform(tf.shape(positions), 0, 4, tf.int32)
        return pooled, tf.cast(corners, tf.uint8)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@keras.saving.register_keras_serializable("experiments")
class BilinearUnpooling2D(MaxUnpooling2D):
    """Takes unpooling's place: interpolates, and does not read the positions."""

    def call(self, values, positions, like=None):
        size = tf.shape(positions)[1:3] * 2 if like is None else tf.shape(like)[1:3]
        return tf.image.resize(values, size, "bilinear")


def unpooling(model: keras.Model, kind: str) -> keras.Model:
    """The same network and weights, in mode "window", unpooling in another way.

    Args:
        model: left as it is.
        kind: one of `KINDS`.

    Raises:
        ValueError: for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, not {kind!r}")

    def changed(layer):
        if not isinstance(layer, MaxPoolingWithArgmax2D | MaxUnpooling2D):
            return None
        config = {**layer.get_config(), "mode": "window"}
        if isinstance(layer, MaxPoolingWithArgmax2D) and kind in ("random", "fixed"):
            return WrongPositions(kind, **config)
        if isinstance(layer, MaxUnpooling2D) and kind == "bilinear":
            return BilinearUnpooling2D(**config)
        return rebuilt(layer, mode="window")

    return clone(model, changed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_arguments(parser)
    parser.add_argument(
        "--output", default="runs/positions", help="folder [runs/positions]"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    output = Path(arguments.output)
    networks = {
        kind: replace(
            NETWORKS["segnet_basic"],
            builder="experiments.positions:basic",
            # `unpooling` sets the mode.
            unpools=False,
            arguments={"kind": kind, "filters": arguments.filters},
        )
        for kind in arguments.kinds
    }
    about = conditions(arguments)
    for results in trained_alike(networks, arguments, output):
        report(results, output, about)
    print(f"written to {output}/table.md and plot.png")


def basic(num_classes: int, kind: str, **arguments) -> keras.Model:
    """SegNet-Basic that unpools in one of `KINDS`."""
    return unpooling(SegNetBasic(num_classes, **arguments), kind)


def report(results: dict[str, list[dict]], output: Path, about: str) -> None:
    """Writes table.md, mean ± standard deviation over the seeds, and plot.png."""
    from matplotlib.figure import Figure

    lines = [["positions", *SCORES], ["---"] * (1 + len(SCORES))]
    for kind, runs in results.items():
        columns = ([run[score] for run in runs] for score in SCORES)
        lines.append([kind, *map(mean_and_spread, columns)])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    with replacing(output / "table.md") as temporary:
        temporary.write_text(about + text, encoding="utf-8")

    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, score in zip(figure.subplots(1, 2), ("mIoU", "BF"), strict=True):
        for row, runs in enumerate(results.values()):
            values = [run[score] for run in runs]
            axes.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.6)
        axes.set_title(score)
        axes.set_yticks(range(len(results)), list(results))
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    with replacing(output / "plot.png") as temporary:
        figure.savefig(temporary, dpi=100)


if __name__ == "__main__":
    cli.run(main, "experiments.positions")
