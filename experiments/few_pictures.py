"""How much do first weights bring if there are few labelled pictures?

python -m experiments.few_pictures --idd-lite idd_lite --labelmefacade labelmefacade

Trains on 20, 50 and 200 labelled pictures, of which a fifth is kept for validation, as
`--dataset folder` does it: from random weights, from the encoder's ImageNet weights,
and from the shipped model for streets. The sets are generated leaves, which have
nothing in common with streets, and the streets of IDD-Lite and LabelMeFacade, with
classes of their own. Every run has the options that `train.py` takes by itself. A
hundred other pictures give the score: of other drives and places for the streets.

A finished run is not trained again; one that was cut short goes on. The scores go to
experiments/results/few_pictures.json. On an NVIDIA GPU, `--jobs` writes the same runs
for `experiments.gpu.pack`, and `--copied` takes the scores of its `run.py`, which keeps
the last weights, where `train.py` keeps the best ones on the validation pictures.
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
from segnet_tf.metrics.confusion import Scores
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
    parser.add_argument(
        "--jobs", metavar="FILE", help="write the runs for a GPU and end"
    )
    parser.add_argument("--copied", metavar="FILE", help="take results.json of a GPU")
    parser.add_argument(
        "--only", metavar="RUN", nargs="+", help="such as leaves-20-camvid-0"
    )
    found = parser.parse_args()
    scores = {"copy": {}, "keras": {}}
    if RESULTS.is_file():
        scores = json.loads(RESULTS.read_text())
    if found.table:
        print(table(scores))
        return
    if found.copied:
        results = json.loads(Path(found.copied).read_text())
        scores["copy"] |= copied(results)
        write_json(RESULTS, scores)
        return
    folders = {
        "leaves": str(leaves()),
        "idd_lite": found.idd_lite,
        "labelmefacade": found.labelmefacade,
    }
    folders = {name: folder for name, folder in folders.items() if folder}
    if found.jobs:
        write_json(Path(found.jobs), for_gpu(folders))
        return
    for name, job, options in every(folders):
        if job not in scores["keras"] and (not found.only or job in found.only):
            own = score(name, folders[name], options, RUNS / job)
            scores["keras"][job] = own
            write_json(RESULTS, scores)
            print(job, own)


def every(folders: dict[str, str]) -> Iterator[tuple[str, str, dict]]:
    """Each run: its set, its name, its options."""
    for seed in SEEDS:
        for name, folder in folders.items():
            for job, options in jobs(name, folder, seed):
                yield name, job, options


def for_gpu(folders: dict[str, str]) -> dict:
    """The runs as `experiments.gpu.pack` takes them."""
    scored = {name: listed(names_of(name, folders[name])[1]) for name in folders}
    return {
        job: {"options": options, "score": scored[name]}
        for name, job, options in every(folders)
    }


def copied(results: dict) -> dict:
    """The scores in the results of `experiments/gpu/run.py`."""
    found = {}
    for job, own in results.items():
        # Other runs of the same turn have no such names, or were not scored.
        if own["confusion"] and job.count("-") == 3:
            scores = Scores.from_confusion(np.array(own["confusion"]))
            found[job] = {"mean_iou": round(scores.mean_iou, 4), "steps": own["steps"]}
    return found


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
    """mIoU, the mean over the seeds and their spread, and minutes on a CPU."""
    lines = [
        f"| set | pictures | {' | '.join(STARTS)} | minutes |",
        f"|---|---|{'---|' * (len(STARTS) + 1)}",
    ]
    for name in dict.fromkeys(job.split("-")[0] for job in scores["copy"]):
        for count in COUNTS:
            cells = [
                spread(scores["copy"], f"{name}-{count}-{start}-") for start in STARTS
            ]
            minutes = [
                own["minutes"]
                for job, own in scores["keras"].items()
                if job.startswith(f"{name}-{count}-")
            ]
            middle = f"{statistics.median(minutes):.0f}" if minutes else ""
            lines.append(f"| {name} | {count} | {' | '.join(cells)} | {middle} |")
    return "\n".join(lines)


def spread(scores: dict, start: str) -> str:
    """Mean and standard deviation of the mIoU of the runs whose names start so."""
    values = [
        100 * own["mean_iou"] for job, own in scores.items() if job.startswith(start)
    ]
    mean = f"{statistics.mean(values):.1f}" if values else ""
    return f"{mean} ± {statistics.stdev(values):.1f}" if values[1:] else mean


if __name__ == "__main__":
    cli.run(main, "experiments.few_pictures")
