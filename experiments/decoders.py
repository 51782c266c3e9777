"""Does unpooling to positions sharpen boundaries? The paper's table 1, trained here.

python -m experiments.smaller runs/streets --size 96x128
python -m experiments.decoders --dataset folder --data-dir runs/streets --filters 32
python -m experiments.decoders --dataset camvid --data-dir CamVid --crop 360x480

Trains the eight decoders alike, once per seed, and writes table.md and plot.png: our
scores beside the paper's. If a run was killed, the same command goes on where it was.
The table is written anew after every network. Speed is measured last, at full width; do
that on a machine that does nothing else (--repeats 0 leaves it out).
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if not __package__:
    # Run as `python experiments/decoders.py`: only experiments/ is searched then.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
import tensorflow as tf

from benchmarks.forward import forward_seconds
from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.layers.pooling import MaxUnpooling2D
from segnet_tf.models.networks import NETWORKS, TABLE_1, Network, build
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.trainer import train

SCORES = {
    "G": "global_accuracy",
    "C": "class_accuracy",
    "mIoU": "mean_iou",
    "BF": "boundary_f1",
}
"""The paper's names, and those of a run's metrics.json."""

PAPER = {
    "basic_bilinear": (0.625, 0, 24.2, 77.9, 61.1, 43.3, 20.83),
    "segnet_basic": (1.425, 1, 52.6, 82.7, 62.0, 47.7, 35.78),
    "basic_encoder_addition": (1.425, 64, 53.0, 83.4, 63.6, 48.5, 35.92),
    "basic_single_channel_decoder": (0.625, 1, 33.1, 81.2, 60.7, 46.1, 31.62),
    "fcn_basic": (0.65, 11, 24.2, 81.7, 62.4, 47.3, 38.11),
    "fcn_basic_no_addition": (0.65, None, 23.8, 80.5, 58.6, 44.1, 31.96),
    "fcn_basic_no_dim_reduction": (1.625, 64, 44.8, 84.1, 63.4, 50.1, 37.37),
    "fcn_basic_no_addition_no_dim_reduction": (
        1.625, 0, 43.9, 80.5, 61.6, 45.9, 30.47,
    ),
}  # fmt: skip
"""Table 1, median-frequency balancing, CamVid test: parameters in millions, storage in
units of SegNet-Basic's 2 bits per window, forward ms at 360x480, G, C, mIoU, BF."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_arguments(parser)
    add = parser.add_argument
    add("--models", nargs="+", choices=TABLE_1, default=list(TABLE_1))
    add("--output", default="runs/decoders", help="folder [runs/decoders]")
    add(
        "--size",
        type=cli.parsed_size,
        default="360x480",
        help="of the image for speed and storage, as HxW [360x480]",
    )
    add("--repeats", type=int, default=9, help="timed forward passes [9]; 0: none")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    measures = measured(arguments)
    networks = {
        name: replace(
            TABLE_1[name],
            arguments={**TABLE_1[name].arguments, "filters": arguments.filters},
        )
        for name in arguments.models
    }
    results = {}
    about = conditions(arguments) + (
        "Parameters, stored bytes and forward ms are those of the networks at full "
        "width, for an image of {}x{}. The paper counts storage in units of "
        "SegNet-Basic's two bits per window.\n\n".format(*arguments.size)
    )
    for results in trained_alike(networks, arguments, output):
        report(results, measures, output, about)
    if arguments.repeats:
        models = {name: build(name) for name in arguments.models}
        shape = (1, *arguments.size, 3)
        seconds = forward_seconds(models, shape, arguments.repeats)
        for name in models:
            measures[name]["ms"] = 1000 * seconds[name]
        report(results, measures, output, about)
    print(f"written to {output}/table.md and plot.png")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that `configuration`, `conditions` and `trained_alike` read."""
    add = parser.add_argument
    add("--dataset", choices=datasets.DATASETS, default="synthetic")
    add("--data-dir", help="folder of the data set")
    add("--train-split", default="train")
    add("--val-split", default="val", help="split that the table is about [val]")
    add("--filters", type=int, default=64, help="width while training [64]")
    add("--epochs", type=int, default=4, help="passes over the training split [4]")
    add("--learning-rate", type=float, default=2e-3, help="peak rate [0.002]")
    add("--seeds", type=int, default=3, help="how often each is trained [3]")
    add("--batch-size", type=int, default=8)
    add(
        "--crop",
        type=cli.parsed_size,
        default="96x128",
        help="crop that the network sees, as HxW [96x128]",
    )


def configuration(arguments, model: str, seed: int) -> TrainConfig:
    """The run's options: they differ in the network and the seed alone."""
    return TrainConfig.of(
        dataset=arguments.dataset,
        data_dir=arguments.data_dir,
        train_split=arguments.train_split,
        val_split=arguments.val_split,
        model=model,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        crop=arguments.crop,
        zoom=(0.8, 1.25),
        learning_rate=arguments.learning_rate,
        class_weights="median",
        # The last epoch's weights: to choose the best would score on what chose.
        save_best=False,
        validate_every=arguments.epochs,
        seed=seed,
    )


def conditions(arguments) -> str:
    """Which training gives the numbers of a table, and which command."""
    parts = {}
    for kind, name in (("train", arguments.train_split), ("val", arguments.val_split)):
        split = datasets.load(arguments.dataset, name, arguments.data_dir)
        height, width = split.read(0)[1].shape
        parts[kind] = f"{len(split)} images of {height}x{width}"
    module = Path(sys.argv[0]).stem
    command = shlex.join(["python", "-m", f"experiments.{module}", *sys.argv[1:]])
    return (
        f"Scores in percent on {parts['val']}, after {arguments.epochs} passes over "
        f"{parts['train']} in crops of {'x'.join(map(str, arguments.crop))}, "
        f"{arguments.filters} filters per stage, median-frequency weights; "
        f"{'mean ± standard deviation of' if arguments.seeds > 1 else 'of'} "
        f"{arguments.seeds} seed(s).\n\n    {command}\n\n"
    )


def trained_alike(
    networks: dict[str, Network], arguments, output: Path
) -> Iterator[dict[str, list[dict]]]:
    """Trains every network once per seed; yields all results after each training.

    Yields:
        name -> scores in percent, one dict per seed; a network without scores is left
        out.
    """
    results: dict[str, list[dict]] = {}
    left, seconds = arguments.seeds * len(networks), []
    for seed in range(arguments.seeds):
        for name, network in networks.items():
            # `train` builds by name, and a resumed run is told by it.
            model = f"{name}_{arguments.filters}"
            NETWORKS[model] = network
            started, folder = time.monotonic(), output / f"{name}-{seed}"
            is_new = not (folder / "metrics.json").is_file()
            scores = trained(configuration(arguments, model, seed), folder)
            results.setdefault(name, []).append(scores)
            keras.backend.clear_session()
            left -= 1
            if is_new:
                seconds.append(time.monotonic() - started)
                minutes = left * np.mean(seconds) / 60
                print(f"{seconds[-1]:.0f} s; {left} left: about {minutes:.0f} min")
            yield results


def trained(config: TrainConfig, folder: Path) -> dict[str, float]:
    """Scores in percent of a run: it is trained, resumed or read from its folder."""
    metrics, resume = folder / "metrics.json", (folder / "config.json").is_file()
    if not metrics.is_file():
        # `train` refuses a folder that holds a run with another configuration.
        train(config, str(folder), resume)
    elif json.loads((folder / "config.json").read_text()) != _as_json(config):
        raise UserError(f"{folder}: holds another run: choose another --output")
    found = json.loads(metrics.read_text())
    return {score: 100 * found[key] for score, key in SCORES.items()}


def _as_json(config: TrainConfig) -> dict:
    return json.loads(json.dumps(asdict(config)))


def measured(arguments) -> dict[str, dict]:
    """What does not depend on training: parameters and storage; ms is not known yet."""
    measures = {}
    for name in arguments.models:
        model, in_window = build(name), build(name, pooling_mode="window")
        measures[name] = {
            "parameters": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
            "argmax": stored_bytes(model, *arguments.size),
            "window": stored_bytes(in_window, *arguments.size),
            "ms": None,
        }
    return measures


def stored_bytes(model: keras.Model, height: int, width: int) -> int:
    """Bytes that wait in memory for the decoder, of one image: positions, features."""
    users = MaxUnpooling2D | keras.layers.Add
    kept = [layer.input[1] for layer in model.layers if isinstance(layer, users)]
    return tensor_bytes(model, kept, height, width)


def tensor_bytes(model: keras.Model, tensors: list, height: int, width: int) -> int:
    """Bytes of some of a model's tensors together, for an image of a size."""
    if not tensors:
        return 0
    probe = keras.Model(model.inputs[0], tensors)
    image = keras.KerasTensor((1, height, width, model.input_shape[-1]))
    found = keras.tree.flatten(probe.compute_output_spec(image))
    return sum(int(np.prod(t.shape)) * tf.as_dtype(t.dtype).size for t in found)


def report(results: dict, measures: dict, output: Path, about: str) -> None:
    """Writes table.md and plot.png of what has been trained so far."""
    with replacing(output / "table.md") as temporary:
        temporary.write_text(about + table(results, measures), encoding="utf-8")
    draw(results, output / "plot.png")


def table(results: dict[str, list[dict]], measures: dict[str, dict]) -> str:
    """A markdown table; ours as mean ± standard deviation over the seeds."""
    head = [
        "decoder", "parameters", "paper", "stored, `argmax`", "`window`", "paper",
        "forward", "paper", *(part for score in SCORES for part in (score, "paper")),
    ]  # fmt: skip
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for name, runs in results.items():
        parameters, storage, ms, *papers = PAPER[name]
        measure = measures[name]
        cells = [
            f"`{name}`",
            f"{measure['parameters'] / 1e6:.3f} M",
            f"{parameters} M",
            f"{measure['argmax'] / 2**20:.1f} MiB",
            f"{measure['window'] / 2**20:.1f} MiB",
            "n/a" if storage is None else f"{storage} x",
            "not measured" if measure["ms"] is None else f"{measure['ms']:.0f} ms",
            f"{ms} ms",
        ]
        for score, paper in zip(SCORES, papers, strict=True):
            ours = mean_and_spread([run[score] for run in runs])
            cells += [ours, f"{paper:.1f}"]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def mean_and_spread(values: list[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def draw(results: dict[str, list[dict]], path: Path) -> None:
    """mIoU and BF of every decoder: one dot per seed, and the paper's as a ring."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.5 * len(results) + 1.6), layout="constrained")
    names = list(results)[::-1]
    panels = figure.subplots(1, 2, sharey=True)
    for axes, score in zip(panels, ("mIoU", "BF"), strict=True):
        column = 3 + list(SCORES).index(score)
        for row, name in enumerate(names):
            values = [run[score] for run in results[name]]
            axes.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.6)
            axes.plot(np.mean(values), row, "|", color="tab:blue", markersize=16)
            axes.plot(PAPER[name][column], row, "o", color="grey", fillstyle="none")
        axes.set_title(score)
        axes.set_yticks(range(len(names)), names)
        axes.grid(alpha=0.3)
    figure.suptitle("dots: ours, one per seed; rings: the paper's, on other data")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


if __name__ == "__main__":
    cli.run(main, "experiments.decoders")
