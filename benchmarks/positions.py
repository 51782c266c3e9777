"""Do pooling positions carry what pooling lost? One network, four ways to unpool.

python -m benchmarks.smaller runs/streets --size 96x128
python -m benchmarks.positions --dataset folder --data-dir runs/streets --filters 32

SegNet-Basic is trained alike with the true positions; with positions drawn anew at
every pass, which say nothing; with the top left corner always, which is always the
same; and with bilinear interpolation in unpooling's place, the same convolutions after
it. Writes table.md and plot.png. A killed run goes on with the same command.
"""

import argparse
import os
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from benchmarks.decoders import (
    SCORES,
    add_training_arguments,
    conditions,
    mean_and_spread,
    trained_alike,
)
from segnet_tf import cli
from segnet_tf.files import replacing
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models import SegNetBasic

KINDS = ("true", "random", "fixed", "bilinear")


@keras.saving.register_keras_serializable("benchmarks")
class WrongPositions(MaxPoolingWithArgmax2D):
    """Pools as its parent does in mode "window", and lies about where.

    Args:
        kind: "random", another corner of every window at every call, or "fixed", the
            top left one.
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


@keras.saving.register_keras_serializable("benchmarks")
class BilinearUnpooling2D(MaxUnpooling2D):
    """Takes unpooling's place; interpolates, and leaves the positions unread."""

    def call(self, values, positions, like=None):
        size = tf.shape(positions)[1:3] * 2 if like is None else tf.shape(like)[1:3]
        return tf.image.resize(values, size, "bilinear")


def unpooling(model: keras.Model, kind: str) -> keras.Model:
    """A fresh network like `model`, in mode "window", that unpools in another way.

    Args:
        kind: one of `KINDS`.

    Raises:
        ValueError: for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, not {kind!r}")

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, MaxPoolingWithArgmax2D | MaxUnpooling2D):
            config["mode"] = "window"
        if isinstance(layer, MaxPoolingWithArgmax2D) and kind in ("random", "fixed"):
            return WrongPositions(kind, **config)
        if isinstance(layer, MaxUnpooling2D) and kind == "bilinear":
            return BilinearUnpooling2D(**config)
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=clone)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_arguments(parser)
    parser.add_argument("--output", default="runs/positions")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    output = Path(arguments.output)
    builders = {
        kind: partial(basic, kind=kind, filters=arguments.filters)
        for kind in arguments.kinds
    }
    about = conditions(arguments)
    for results in trained_alike(builders, arguments, output):
        report(results, output, about)
    print(f"written to {output}/table.md and plot.png")


def basic(num_classes: int, kind: str, filters: int) -> keras.Model:
    """SegNet-Basic that unpools in one of `KINDS`."""
    return unpooling(SegNetBasic(num_classes, filters=filters), kind)


def report(results: dict[str, list[dict]], output: Path, about: str) -> None:
    """table.md, mean ± standard deviation over the seeds; plot.png, a dot a seed."""
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
    cli.run(main)
