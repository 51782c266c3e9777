"""Scores a model on a split: a table per class, and metrics.json.

python evaluate.py --model runs/camvid-segnet_lite --dataset camvid --data-dir CamVid
"""

import argparse
from pathlib import Path

import segnet_tf
from segnet_tf import cli


def main() -> None:
    from segnet_tf.datasets import DATASETS, load

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=segnet_tf.__version__)
    parser.add_argument(
        "--model", help="run folder or .keras file [the shipped one, or the newest run]"
    )
    parser.add_argument("--dataset", choices=DATASETS, default="synthetic")
    parser.add_argument("--data-dir", help="folder of the data set")
    parser.add_argument("--split", default="val", help="split, or file of names [val]")
    parser.add_argument(
        "--output", help="folder for metrics.json [evaluations/<dataset>-<split>]"
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
    split = load(arguments.dataset, arguments.split, arguments.data_dir)
    output = arguments.output or f"evaluations/{arguments.dataset}-{split.name}"

    from segnet_tf.evaluation import evaluate, score_table, write_metrics
    from segnet_tf.inference import find_model
    from segnet_tf.saving import load_model

    path = find_model(arguments.model)
    print(f"{path} on {arguments.dataset} {split.name}, {len(split)} images")
    scores = evaluate(load_model(path), split)
    print(score_table(scores, split.info.classes))
    write_metrics(Path(output) / "metrics.json", scores, split)
    print(f"written to {output}/metrics.json")
    if arguments.reliability is not None:
        judge_confidence(path, split, Path(output), arguments.reliability)


def judge_confidence(path: Path, split, output: Path, samples: int) -> None:
    from segnet_tf.calibration import draw_reliability, reliability_of
    from segnet_tf.files import write_json
    from segnet_tf.inference import Predictor

    probabilities = Predictor(path).probabilities
    if samples:
        from segnet_tf.saving import load_model
        from segnet_tf.uncertainty import MonteCarlo

        probabilities = MonteCarlo(load_model(path), samples).probabilities
    reliability = reliability_of(probabilities, split)
    draw_reliability(reliability, output / "reliability.png")
    write_json(output / "reliability.json", reliability.as_dict())
    print(f"expected calibration error {100 * reliability.error:.1f} %: {output}/")


if __name__ == "__main__":
    cli.run(main)
