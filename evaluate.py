"""Scores a model on a split: a table per class, metrics.json, and two pictures.

best_worst.png shows the best and the worst predictions beside the truth, and
confusion.png what each class was taken for.

python evaluate.py --model runs/camvid-segnet_lite --dataset camvid --data-dir CamVid
"""

import argparse
from pathlib import Path

import segnet_tf
from segnet_tf import cli
from segnet_tf.errors import UserError
from segnet_tf.quiet import import_tensorflow


def main() -> None:
    from segnet_tf.datasets import DATASETS, load
    from segnet_tf.inference import find_model
    from segnet_tf.saving import read_labels

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=segnet_tf.__version__)
    parser.add_argument(
        "--model", help="run folder or .keras file [the shipped one, or the newest run]"
    )
    parser.add_argument(
        "--dataset", choices=DATASETS, help="[what the model was trained on]"
    )
    parser.add_argument("--data-dir", help="folder of the data set")
    parser.add_argument("--split", default="val", help="split, or file of names [val]")
    parser.add_argument(
        "--output", help="folder of the results [evaluations/<model>-<dataset>-<split>]"
    )
    parser.add_argument(
        "--reliability",
        type=int,
        nargs="?",
        const=0,
        metavar="N",
        help="write reliability.png and .json too; with N, of the mean of N dropout "
        "samples",
    )
    arguments = parser.parse_args()
    samples = arguments.reliability
    if samples is not None and samples < 0:
        raise UserError(f"--reliability: {samples} samples: give 1 or more, or none")
    path = find_model(arguments.model, forms=("model.keras",))
    labels = read_labels(path)
    channels = labels.channels if labels else 3
    dataset = arguments.dataset or own_dataset(path, labels)
    split = load(dataset, arguments.split, arguments.data_dir, channels)
    check_classes(path, labels, split.info)
    name = path.parent.name if path.name == "model.keras" else path.stem
    default = Path("evaluations") / f"{name}-{dataset}-{split.name}"
    output = Path(arguments.output or default)
    if output.exists() and not output.is_dir():
        raise UserError(f"{output}: is a file, the results need a folder")
    # Built first: a network that cannot be sampled should not cost a sweep.
    confident = None if samples is None else confidence_of(path, samples)
    score(path, split, output)
    if confident is not None:
        judge_confidence(confident, split, output, samples)


def own_dataset(path: Path, labels) -> str:
    """The data set that a model was trained on."""
    from segnet_tf.datasets import DATASETS

    if labels is None or labels.name not in DATASETS:
        raise UserError(f"{path}: does not say what it was trained on: give --dataset")
    return labels.name


def check_classes(path: Path, labels, info) -> None:
    """Refuses to score a model on classes that it does not mean."""
    if labels is not None and labels.classes != info.classes:
        raise UserError(
            f"{path} predicts {', '.join(labels.classes)}; {info.name} has "
            f"{', '.join(info.classes)}"
        )


def score(path: Path, split, output: Path) -> None:
    import_tensorflow()
    from segnet_tf.evaluation import (
        best_worst_sheet,
        evaluate,
        score_table,
        write_metrics,
    )
    from segnet_tf.files import replacing
    from segnet_tf.saving import load_model
    from segnet_tf.visualize import draw_confusion

    print(f"{path} on {split.info.name} {split.name}, {len(split)} images")
    model = load_model(path)
    evaluation = evaluate(model, split)
    print(score_table(evaluation, split.info.classes))
    write_metrics(output / "metrics.json", evaluation, split, path)
    draw_confusion(evaluation.confusion, split.info.classes, output / "confusion.png")
    with replacing(output / "best_worst.png") as temporary:
        best_worst_sheet(model, split, evaluation).save(temporary)
    print(f"written to {output}/: metrics.json, confusion.png, best_worst.png")


def confidence_of(path: Path, samples: int):
    """Image to probabilities: the network's own, or the mean of dropout samples."""
    from segnet_tf.inference import Predictor

    predictor = Predictor(path, native=True)  # as `evaluate` runs it
    if not samples:
        return predictor.probabilities
    from segnet_tf.uncertainty import MonteCarlo

    return MonteCarlo(predictor.keras_model(), samples).probabilities


def judge_confidence(probabilities, split, output: Path, samples: int) -> None:
    from segnet_tf.files import write_json
    from segnet_tf.reliability import draw_reliability, reliability_of

    reliability, scores = reliability_of(probabilities, split)
    draw_reliability(reliability, output / "reliability.png")
    about = {"samples": samples, "mean_iou": scores.mean_iou}
    write_json(output / "reliability.json", {**about, **reliability.as_dict()})
    if samples:
        print(f"mIoU of the mean of {samples} samples {100 * scores.mean_iou:.1f}")
    print(f"expected calibration error {100 * reliability.error:.1f} %: {output}/")


if __name__ == "__main__":
    cli.run(main)
