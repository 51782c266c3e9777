"""How much do first weights bring if there are few labelled pictures?

python -m experiments.few_pictures --idd-lite idd_lite --labelmefacade labelmefacade

Trains on 20, 50 and 200 labelled pictures, of which a fifth is kept for validation, as
`--dataset folder` does it: from random weights, from the encoder's ImageNet weights,
and from the shipped model for streets. The sets are generated leaves, which have
nothing in common with streets, and the streets of IDD-Lite and LabelMeFacade, with
classes of their own. Every run has the options that `train.py` takes by itself. A
hundred other pictures give the score: of other drives and places for the streets.

A finished run is not trained again; one that was cut short goes on. The scores go to
experiments/results/few_pictures.json.
"""

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from docs.leaves import write_leaves
from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.datasets.dataset import Split
from segnet_tf.evaluation.evaluate import evaluate
from segnet_tf.files import write_json
from segnet_tf.inference.model_file import load_model
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.trainer import train

RUNS = Path("runs/few")
RESULTS = Path(__file__).with_name("results") / "few_pictures.json"
COUNTS = (20, 50, 200)
SCORED = 100
SEEDS = (0, 1, 2)

STARTS = {
    "random": {"encoder_weights": "none"},
    "imagenet": {"encoder_weights": "imagenet"},
    "camvid": {"init_from": "camvid"},
}
"""First weights -> options. All train the network of the shipped model."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--idd-lite", metavar="FOLDER")
    parser.add_argument("--labelmefacade", metavar="FOLDER")
    parser.add_argument("--table", action="store_true", help="print the scores and end")
    found = parser.parse_args()
    scores = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if found.table:
        print(table(scores))
        return
    folders = {
        "leaves": leaves(),
        "idd_lite": found.idd_lite,
        "labelmefacade": found.labelmefacade,
    }
    for seed in SEEDS:
        for name, folder in folders.items():
            if folder is None:
                continue
            for job, options in jobs(name, str(folder), seed):
                if job not in scores:
                    scores[job] = score(name, str(folder), options, RUNS / job)
                    write_json(RESULTS, scores)
                    print(job, scores[job])


def leaves() -> Path:
    """A folder of generated leaves, as small as the streets."""
    folder = RUNS / "leaves"
    if not (folder / "classes.txt").is_file():
        write_leaves(folder, max(COUNTS) + SCORED, 320, 240)
    return folder


def names_of(name: str, folder: str) -> tuple[list[str], list[str]]:
    """The pictures to train on, and `SCORED` others, in an order without a meaning."""
    if name == "labelmefacade":
        pool, others = (datasets.load(name, s, folder).names for s in ("train", "val"))
    elif name == "idd_lite":
        every = datasets.load(name, "train", folder).names
        drives = mixed({each.split("/")[0] for each in every})
        left = set(drives[: len(drives) // 5])
        others = [each for each in every if each.split("/")[0] in left]
        pool = [each for each in every if each.split("/")[0] not in left]
    else:
        every = [f"leaf {n:02}.jpg" for n in range(max(COUNTS) + SCORED)]
        pool, others = every[SCORED:], every[:SCORED]
    return mixed(pool), mixed(others)[:SCORED]


def mixed(names) -> list[str]:
    return sorted(names, key=lambda each: hashlib.sha1(each.encode()).hexdigest())


def jobs(name: str, folder: str, seed: int) -> Iterator[tuple[str, dict]]:
    """Each run's name and its options."""
    pool, _ = names_of(name, folder)
    # Each seed has other pictures.
    pool = list(np.random.default_rng(seed).permutation(pool))
    for count in COUNTS:
        train_list = listed(pool[count // 5 : count])
        val_list = listed(pool[: count // 5])
        for start, options in STARTS.items():
            yield (
                f"{name}-{count}-{start}-{seed}",
                {
                    **options,
                    "dataset": "folder" if name == "leaves" else name,
                    "data_dir": folder,
                    "model": "segnet_lite1",
                    "pooling_mode": "input",
                    "train_split": train_list,
                    "val_split": val_list,
                    "seed": seed,
                },
            )


def listed(names: list[str]) -> str:
    """A text file of these names, always of one name, so that a run can go on."""
    text = "\n".join(names) + "\n"
    name = hashlib.sha1(text.encode()).hexdigest()[:12]
    path = RUNS / "lists" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def score(name: str, folder: str, options: dict, run: Path) -> dict:
    """Trains, and scores the kept weights on the other pictures."""
    start = time.monotonic()
    config = TrainConfig.of(**options)
    train(config, str(run), resume=run.is_dir())
    minutes = (time.monotonic() - start) / 60
    split = others(name, folder, config.data.dataset)
    found = evaluate(load_model(run / "model.keras"), split).scores
    epochs = len((run / "history.csv").read_text().splitlines()) - 1
    return {
        "mean_iou": round(found.mean_iou, 4),
        "minutes": round(minutes, 1),
        "epochs": epochs,
    }


def others(name: str, folder: str, dataset: str) -> Split:
    _, names = names_of(name, folder)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as file:
        file.write("\n".join(names))
    try:
        return replace(datasets.load(dataset, file.name, folder), name="others")
    finally:
        os.unlink(file.name)


def table(scores: dict) -> str:
    """mIoU and minutes, the mean over the seeds, and the spread of the mIoU."""
    lines = [
        f"| set | pictures | {' | '.join(STARTS)} | minutes |",
        f"|---|---|{'---|' * (len(STARTS) + 1)}",
    ]
    for name in dict.fromkeys(job.split("-")[0] for job in scores):
        for count in COUNTS:
            cells, minutes = [], []
            for start in STARTS:
                key = f"{name}-{count}-{start}-"
                found = [row for job, row in scores.items() if job.startswith(key)]
                values = [100 * row["mean_iou"] for row in found]
                minutes += [row["minutes"] for row in found]
                spread = f" ± {statistics.stdev(values):.1f}" if values[1:] else ""
                mean = f"{statistics.mean(values):.1f}{spread}" if values else ""
                cells.append(mean)
            if minutes:
                middle = f"{statistics.median(minutes):.0f}"
                lines.append(f"| {name} | {count} | {' | '.join(cells)} | {middle} |")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, "experiments.few_pictures")
