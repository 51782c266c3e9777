"""Does unpooling to positions sharpen boundaries? The paper's table 1, trained here.

python -m benchmarks.decoders --dataset synthetic --epochs 20 --seeds 3
python -m benchmarks.decoders --dataset camvid --data-dir CamVid --epochs 40

Trains the eight decoders alike, once a seed, and writes table.md and plot.png: ours
beside the paper's. A killed run goes on where it was with the same command; the table
is written anew after every network. Speed is measured last, on a machine that should
have nothing else to do (--repeats 0 leaves it out).
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.forward import forward_seconds
from segnet_tf import cli, datasets
from segnet_tf.boundary import boundary_f1
from segnet_tf.config import TrainConfig
from segnet_tf.datasets import Split
from segnet_tf.errors import UserError
from segnet_tf.files import replacing, write_json
from segnet_tf.layers import MaxUnpooling2D
from segnet_tf.metrics import Scores, confusion_matrix
from segnet_tf.models.variants import VARIANTS
from segnet_tf.saving import load_model
from segnet_tf.training import train

SCORES = ("G", "C", "mIoU", "BF")

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
units of SegNet-Basic's 2 bits a window, forward ms at 360x480, G, C, mIoU, BF."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training_arguments(parser)
    add = parser.add_argument
    add("--models", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add("--output", default="runs/decoders", help="folder [runs/decoders]")
    add("--height", type=int, default=360, help="of the image for speed and storage")
    add("--width", type=int, default=480)
    add("--repeats", type=int, default=9, help="timed forward passes [9], 0: none")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    split = datasets.load(arguments.dataset, arguments.val_split, arguments.data_dir)
    results = {name: [] for name in arguments.models}
    measures = measured(arguments)
    for seed in range(arguments.seeds):
        for name in arguments.models:
            config = configuration(arguments, name, seed)
            results[name].append(trained(config, split, output / f"{name}-{seed}"))
            report(results, measures, output)
    if arguments.repeats:
        models = {name: VARIANTS[name]() for name in arguments.models}
        shape = (1, arguments.height, arguments.width, 3)
        seconds = forward_seconds(models, shape, arguments.repeats)
        for name in models:
            measures[name]["ms"] = 1000 * seconds[name]
        report(results, measures, output)
    print(f"written to {output}/table.md and plot.png")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that `configuration` reads, and --seeds."""
    add = parser.add_argument
    add("--dataset", choices=datasets.DATASETS, default="synthetic")
    add("--data-dir", help="folder of the data set")
    add("--train-split", default="train")
    add("--val-split", default="val", help="split that the table is about [val]")
    add("--epochs", type=int, default=20)
    add("--seeds", type=int, default=3, help="how often each is trained [3]")
    add("--batch-size", type=int, default=8)
    add("--crop", default="96x128", help="crop the network sees, as HxW [96x128]")


def configuration(arguments, name: str, seed: int) -> TrainConfig:
    """The same for all but the network and the seed."""
    height, _, width = arguments.crop.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise UserError(f"--crop: {arguments.crop!r} is not HxW, such as 96x128")
    return TrainConfig(
        dataset=arguments.dataset,
        data_dir=arguments.data_dir,
        train_split=arguments.train_split,
        val_split=arguments.val_split,
        model=name,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        crop=(int(height), int(width)),
        class_weights="median",
        # The last epoch's weights: to choose the best would score on what chose.
        keep="last",
        validate_every=arguments.epochs,
        seed=seed,
    )


def trained(config: TrainConfig, split: Split, folder: Path) -> dict[str, float]:
    """Scores in percent of a run, trained, resumed or read from its folder."""
    finished = folder / "decoder.json"
    if not finished.is_file():
        # `train` refuses a folder that holds a run with another configuration.
        train(config, str(folder), resume=(folder / "config.json").is_file())
        write_json(finished, sweep(load_model(folder / "model.keras"), split))
    elif json.loads((folder / "config.json").read_text()) != _as_json(config):
        raise UserError(f"{folder}: holds another run: choose another --output")
    return json.loads(finished.read_text())


def _as_json(config: TrainConfig) -> dict:
    return json.loads(json.dumps(vars(config)))


def sweep(model: keras.Model, split: Split) -> dict[str, float]:
    """G, C, mIoU over all pixels and BF over the images of a split, in percent."""
    classes = split.info.num_classes
    predict = tf.function(
        lambda x: tf.argmax(model(x, training=False), -1), reduce_retracing=True
    )
    confusion, boundaries = np.zeros((classes, classes), np.int64), []
    for image, labels in split:
        predicted = predict(tf.cast(image[None], tf.float32)).numpy()[0]
        confusion += confusion_matrix(labels, predicted, classes)
        boundaries.append(boundary_f1(labels, predicted, classes))
    scores = Scores.from_confusion(confusion)
    values = (scores.global_accuracy, scores.class_accuracy, scores.mean_iou)
    percent = [100 * float(value) for value in (*values, np.nanmean(boundaries))]
    return dict(zip(SCORES, percent, strict=True))


def measured(arguments) -> dict[str, dict]:
    """What does not depend on training: parameters and storage; ms is still open."""
    size = (arguments.height, arguments.width)
    measures = {}
    for name in arguments.models:
        model = VARIANTS[name]()
        measures[name] = {
            "parameters": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
            "argmax": stored_bytes(model, *size),
            "window": stored_bytes(VARIANTS[name](pooling_mode="window"), *size),
            "ms": None,
        }
    return measures


def stored_bytes(model: keras.Model, height: int, width: int) -> int:
    """Bytes of an image that wait in memory for the decoder: positions and features."""
    users = MaxUnpooling2D | keras.layers.Add
    kept = [layer.input[1] for layer in model.layers if isinstance(layer, users)]
    if not kept:
        return 0
    probe = keras.Model(model.inputs[0], kept)
    image = keras.KerasTensor((1, height, width, model.input_shape[-1]))
    tensors = keras.tree.flatten(probe.compute_output_spec(image))
    return sum(int(np.prod(t.shape)) * tf.as_dtype(t.dtype).size for t in tensors)


def report(results: dict, measures: dict, output: Path) -> None:
    """Writes table.md and plot.png of whatever has been trained so far."""
    done = {name: runs for name, runs in results.items() if runs}
    with replacing(output / "table.md") as temporary:
        temporary.write_text(table(done, measures), encoding="utf-8")
    draw(done, output / "plot.png")


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
    """mIoU and BF of every decoder: a dot a seed, and the paper's as a ring."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.5 * len(results) + 1.2), layout="constrained")
    names = list(results)[::-1]
    panels = figure.subplots(1, 2, sharey=True)
    for axes, score in zip(panels, ("mIoU", "BF"), strict=True):
        column = 3 + SCORES.index(score)
        for row, name in enumerate(names):
            values = [run[score] for run in results[name]]
            axes.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.6)
            axes.plot(np.mean(values), row, "|", color="tab:blue", markersize=16)
            axes.plot(PAPER[name][column], row, "o", color="grey", fillstyle="none")
        axes.set_title(f"{score}: dots ours, rings the paper's (other data)")
        axes.set_yticks(range(len(names)), names)
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


if __name__ == "__main__":
    cli.run(main)
