"""Scores a model on a split: prints a table, writes metrics.json and two pictures.

    segnet evaluate --model runs/camvid-segnet_lite --dataset camvid --data-dir CamVid
    segnet evaluate --model phone.tflite --dataset camvid --data-dir CamVid
    segnet evaluate --model runs/camvid-bayesian_segnet --samples 20 --reliability

The table has one line per class. best_worst.png shows the best and the worst
predictions beside the truth; confusion.png shows what each class was taken for.
"""

import argparse
from pathlib import Path

from segnet_tf.console import cli
from segnet_tf.console.options import add_flags, options_from
from segnet_tf.console.quiet import import_tensorflow
from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.registry import DATASETS, load, scaled_alike
from segnet_tf.datasets.value_range import range_lines
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import find_model, read_labels, shipped_names
from segnet_tf.inference.predictor import Predictor

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Reads the flags and scores the model.

    Args:
        arguments: the flags; None: those of the command line.
    """
    found = _parser().parse_args(arguments)
    if found.reliability not in (None, True):
        raise UserError(
            f"--reliability: takes no value: give --samples {found.reliability}"
        )
    if found.samples is not None and found.samples < 1:
        raise UserError(f"--samples: {found.samples}, must be at least 1")
    path = find_model(found.model, ("model.keras", "saved_model.pb"))
    if found.samples and path.suffix != ".keras":
        raise UserError(f"--samples: {path} is no .keras file, which alone has dropout")
    opened = None if path.suffix == ".keras" else Predictor(path, native=True)
    labels = opened.info if opened else read_labels(path)
    channels = labels.channels if labels else 3
    dataset = found.dataset or _own_dataset(path, labels)
    reading = reading_of(found, dataset, labels)
    split = load(dataset, found.split, found.data_dir, channels, reading)
    check_classes(path, labels, split.info)
    for line in range_lines(split, labels):
        print(line)
    in_folder = path.name == "model.keras" or path.is_dir()
    name = path.resolve().parent.name if in_folder else path.stem
    default = Path("evaluations") / f"{name}-{dataset}-{split.name}"
    output = Path(found.output or default)
    if output.exists() and not output.is_dir():
        raise UserError(
            f"{output}: is a file, but the results need a folder: choose another "
            "--output"
        )
    score(path, split, output, found.samples, bool(found.reliability), opened)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("evaluate", __doc__)
    add = parser.add_argument
    add(
        "--model",
        help=f"run folder, .keras, .tflite or .onnx file, folder of a SavedModel, or "
        f"{', '.join(shipped_names())} (shipped) [camvid, else the newest run]",
    )
    add(
        "--dataset",
        metavar="NAME",
        help=f"data set: {', '.join(DATASETS)} [the one that the model was trained on]",
    )
    add("--data-dir", metavar="FOLDER", help="folder of the data set")
    add("--split", default="val", help="split, or text file of frame names [val]")
    add(
        "--output",
        metavar="FOLDER",
        help="folder of the results [evaluations/<model>-<dataset>-<split>]",
    )
    add(
        "--samples",
        type=int,
        metavar="N",
        help="score the mean of N predictions, for which dropout stays on",
    )
    add(
        "--reliability",
        nargs="?",
        const=True,
        metavar="",
        help="also write reliability.png and reliability.json: is the model right as "
        "often as it says?",
    )
    add_flags(parser.add_argument_group("folder"), Reading)
    return parser


def _own_dataset(path: Path, labels: DatasetInfo | None) -> str:
    """The data set that a model was trained on. Raises UserError if it is not known."""
    if labels is None or labels.name not in DATASETS:
        raise UserError(f"{path}: does not say what it was trained on: give --dataset")
    return labels.name


def reading_of(
    found: argparse.Namespace, dataset: str, labels: DatasetInfo | None
) -> Reading:
    """How the files of a data set are read for a model.

    Args:
        found: the flags, with those of `Reading`.
        dataset: its name.
        labels: what the model file says of itself; images are scaled as those that the
            model was trained on.

    Raises:
        UserError: if a flag has a wrong value.
    """
    reading = options_from(found, Reading)
    return scaled_alike(dataset, reading, labels.value_range) if labels else reading


def check_classes(path: Path, labels: DatasetInfo | None, info: DatasetInfo) -> None:
    """Refuses a data set whose classes are not those that a model predicts.

    Args:
        path: the model file, for the message.
        labels: the classes that the model file names; None: it names none, and every
            data set is accepted.
        info: the data set.

    Raises:
        UserError: if the classes differ; the message lists both.
    """
    if labels is not None and labels.classes != info.classes:
        raise UserError(
            f"{path} predicts {', '.join(labels.classes)}, but {info.name} has "
            f"{', '.join(info.classes)}"
        )


def score(
    path: Path,
    split: Split,
    output: Path,
    samples: int | None,
    reliable: bool,
    opened: Predictor | None = None,
) -> None:
    """Runs the model over the split once, prints the table and writes the results.

    Args:
        path: the model's file.
        split: images and labels of the model's classes.
        output: folder of the results.
        samples: a prediction is the mean of this many dropout samples; None: dropout
            is off.
        reliable: whether to write the reliability diagram, too.
        opened: the model, if it is no `.keras` file.

    Raises:
        UserError: if the model cannot be loaded, or has no dropout to sample.
    """
    import_tensorflow()
    from segnet_tf.evaluation import evaluate as evaluation
    from segnet_tf.evaluation.plots import draw_confusion, draw_reliability
    from segnet_tf.files import replacing, write_json
    from segnet_tf.inference.model_file import load_model
    from segnet_tf.inference.monte_carlo import MonteCarlo
    from segnet_tf.metrics.reliability import Reliability

    model = opened or load_model(path)
    probabilities = MonteCarlo(model, samples).probabilities if samples else None
    reliability = Reliability() if reliable else None
    print(
        f"{path} on {split.info.name} {split.name}, {len(split)} images"
        + (f", each the mean of {samples} samples" if samples else "")
    )
    found = evaluation.evaluate(model, split, probabilities, reliability)
    print(evaluation.score_table(found, split.labels.classes))
    evaluation.write_metrics(output / "metrics.json", found, split, path, samples or 0)
    draw_confusion(found.confusion, split.labels.classes, output / "confusion.png")
    sheet = evaluation.best_worst_sheet(
        model, split, found, probabilities=probabilities
    )
    with replacing(output / "best_worst.png") as temporary:
        sheet.save(temporary)
    written = "metrics.json, confusion.png, best_worst.png"
    if reliability is not None:
        draw_reliability(reliability, output / "reliability.png")
        about = {"samples": samples or 0, "mean_iou": found.scores.mean_iou}
        write_json(output / "reliability.json", {**about, **reliability.as_dict()})
        print(f"expected calibration error {100 * reliability.error:.1f} %")
        written += ", reliability.png, reliability.json"
    print(f"written to {output}/: {written}")
