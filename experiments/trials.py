"""Which choices make SegNetLite better? Trials on CamVid, ranked by held-out frames.

python -m experiments.trials --data-dir CamVid reference no-skips --seeds 0
python -m experiments.trials --data-dir CamVid --leave-out 0016E5 reference

Every trial trains for the same number of steps on a part of CamVid's train split, which
`frame_lists` chooses, and is scored on the rest: 0.73 x mIoU on a sequence that it has
not seen + 0.27 x mIoU on the later half of one that it has seen. These are the
proportions of CamVid's test split. The lists of frames go to runs/trials/lists/, and
each trial is a run of its own under runs/trials/. A finished trial is not trained
again; a trial that was cut short goes on. All scores of a trial go to
experiments/results/trials/, and a table of all scores there to trials.md beside it. If
another sequence is left out, all of these folders carry its name.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from experiments.positions import unpooling
from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.errors import UserError
from segnet_tf.evaluation.evaluate import evaluate
from segnet_tf.files import replacing, write_json
from segnet_tf.inference.model_file import load_model
from segnet_tf.models import SegNetLite
from segnet_tf.models.networks import NETWORKS, Network
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.recipes import RECIPES
from segnet_tf.training.trainer import train

RUNS = Path("runs/trials")
RESULTS = Path("experiments/results/trials")
EPOCHS = 35
"""Of 29 steps: about a thousand."""

LEFT_OUT = "0006R0"
"""The sequence that no trial sees, unless another one is asked for."""

UNSEEN, SEEN = 0.73, 0.27
"""Weights of the two parts in the score."""

LITE = NETWORKS["segnet_lite"]

REFERENCE = {"pooling_mode": "window", "learning_rate": 5e-3, "zoom": (0.6, 1.5)}
"""Options of the run in every trial, unless the trial has its own."""

SHIPPED = {
    name: RECIPES["segnet_lite_camvid"].options[name]
    for name in ("encoder_lr_multiplier", "color_jitter", "corruption")
}
"""What the shipped recipe changes in it, apart from its length."""

AVERAGED = {"schedule": "constant", "ema": 0.995, "recalibrate_bn": True}
"""A rate that never falls, and the average of the last few hundred weights."""

GOES_ON = {"init_from": "shipped-140-0", "learning_rate": 2.5e-3, "ema": 0.998}
"""From the weights of a finished trial, at half of the rate."""


def bilinear(num_classes: int, **arguments):
    """The network without skips, with bilinear interpolation where it unpools."""
    return unpooling(SegNetLite(num_classes, skips=False, **arguments), "bilinear")


@dataclass(frozen=True)
class Trial:
    """What a trial changes.

    Attributes:
        options: of the run, beside those of `REFERENCE`. "init_from" names the folder
            of another trial.
        arguments: of the network's builder.
        builder: of the network, as in `segnet_tf.models.networks.Network`.
    """

    options: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)
    builder: str = LITE.builder

    def network(self) -> Network:
        """SegNetLite's record, with the changes."""
        return replace(LITE, builder=self.builder, arguments=self.arguments)


TRIALS = {
    "reference": Trial(),
    "no-skips": Trial(arguments={"skips": False}),
    "bilinear": Trial(builder="experiments.trials:bilinear"),
    "first-recipe": Trial(
        {"learning_rate": 2e-3, "zoom": (0.5, 1.3)}, {"skips": False}
    ),
    "scratch": Trial({"encoder_weights": "none"}),
    "slow-encoder": Trial({"encoder_lr_multiplier": 0.25}),
    "slower-encoder": Trial({"encoder_lr_multiplier": 0.1}),
    "no-context": Trial(arguments={"context_dilations": ()}),
    "wide-context": Trial(arguments={"context_dilations": (2, 4, 8)}),
    "weights-none": Trial({"class_weights": "none"}),
    "weights-log": Trial({"class_weights": "log"}),
    "weights-median": Trial({"class_weights": "median"}),
    "wide-zoom": Trial({"zoom": (0.4, 2.0)}),
    "narrow-zoom": Trial({"zoom": (0.8, 1.3)}),
    "large-crop": Trial({"crop": (272, 360), "batch_size": 4, "epochs": 18}),
    "strong-jitter": Trial({"color_jitter": 0.5}),
    "corruption": Trial({"corruption": 0.3}),
    "shipped": Trial(SHIPPED),
    "shipped-corruption-0": Trial({**SHIPPED, "corruption": 0.0}),
    "shipped-corruption-6": Trial({**SHIPPED, "corruption": 0.6}),
    "ema": Trial({"ema": 0.99}),
    "slow-ema": Trial({"encoder_lr_multiplier": 0.25, **AVERAGED}),
    "shipped-ema": Trial({**SHIPPED, **AVERAGED}),
    "shipped-goes-on": Trial({**SHIPPED, **AVERAGED, **GOES_ON}),
    "bn": Trial({"recalibrate_bn": True}),
    "dice": Trial({"loss": "dice"}),
    "ohem": Trial({"loss": "ohem"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(TRIALS)
    parser.add_argument(
        "trials", nargs="+", choices=TRIALS, metavar="TRIAL", help=f"one of {names}"
    )
    parser.add_argument("--data-dir", help="CamVid's folder")
    parser.add_argument(
        "--leave-out",
        default=LEFT_OUT,
        metavar="SEQUENCE",
        help=f"sequence that is not trained on [{LEFT_OUT}]",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"[{EPOCHS}]")
    parser.add_argument(
        "--results", type=Path, help=f"folder of the scores [{RESULTS}]"
    )
    arguments = parser.parse_args()
    runs = fold(RUNS, arguments.leave_out)
    results = arguments.results or fold(RESULTS, arguments.leave_out)
    lists = write_lists(runs / "lists", arguments.data_dir, arguments.leave_out)
    for seed in arguments.seeds:
        for name in arguments.trials:
            run_trial(name, seed, arguments, lists, runs, results)
            write_table(results)


def fold(folder: Path, left_out: str) -> Path:
    """The folder for what leaves out a sequence: another one gets its own."""
    if left_out == LEFT_OUT:
        return folder
    return folder.with_name(f"{folder.name}-without-{left_out}")


def frame_lists(names: Iterable[str], left_out: str = LEFT_OUT) -> dict[str, list[str]]:
    """Which frames to train on, and which to score.

    A frame's name begins with its sequence, and its number follows: 0001TP_006690.png.
    One sequence is left out: it is "unseen". The shortest of the others is divided in
    the middle of its frames, and the later half is "seen": the same drive, but other
    places. The rest is "train". Of CamVid's train split, without 0006R0, these are 101
    frames, the later 31 of 0001TP's 62, and 235.

    Args:
        names: of the frames, in any order.
        left_out: the sequence that is not trained on.

    Raises:
        UserError: if no frame is of that sequence, or all frames are.
    """
    sequences: dict[str, list[str]] = {}
    for name in sorted(names):
        sequences.setdefault(name.partition("_")[0], []).append(name)
    if left_out not in sequences or len(sequences) < 2:
        raise UserError(
            f"--leave-out: {left_out} is not one of several sequences: there is "
            + ", ".join(sequences)
        )
    unseen = sequences.pop(left_out)
    divided = min(sequences.values(), key=len)
    seen = divided[(len(divided) + 1) // 2 :]
    others = (name for sequence in sequences.values() for name in sequence)
    train = [name for name in others if name not in seen]
    return {"train": train, "unseen": unseen, "seen": seen}


def write_lists(folder: Path, data_dir: str | None, left_out: str) -> dict[str, str]:
    """Writes the lists of CamVid's train split; returns the path of each.

    A list of frames stands for a split: `train.py --train-split` takes its path, too.
    """
    names = datasets.load("camvid", "train", data_dir).names
    paths = {}
    for part, listed in frame_lists(names, left_out).items():
        path = folder / f"{part}.txt"
        with replacing(path) as temporary:
            temporary.write_text("\n".join(listed) + "\n")
        paths[part] = str(path)
    return paths


def run_trial(
    name: str, seed: int, arguments, lists: dict[str, str], runs: Path, results: Path
) -> None:
    """Trains and scores one trial.

    A trial is finished if its run's folder holds scores.json. Scores in `results` do
    not count: those that come with the project must not keep others from repeating
    them.
    """
    trial = f"{name}-{arguments.epochs}-{seed}"
    folder = runs / trial
    if (folder / "scores.json").is_file():
        return
    NETWORKS[f"segnet_lite_{name}"] = TRIALS[name].network()
    options = {**REFERENCE, **TRIALS[name].options}
    if "init_from" in options:
        options["init_from"] = str(runs / options["init_from"])
    epochs = max(1, options.get("epochs", EPOCHS) * arguments.epochs // EPOCHS)
    options |= {"epochs": epochs, "validate_every": epochs}
    config = TrainConfig.of(
        **options,
        dataset="camvid",
        data_dir=arguments.data_dir,
        train_split=lists["train"],
        val_split=lists["unseen"],
        model=f"segnet_lite_{name}",
        save_best=False,
        seed=seed,
    )
    print(f"trial {name}, seed {seed}")
    train(config, str(folder), resume=(folder / "config.json").is_file())
    model = load_model(folder / "model.keras")
    scores = {
        part: scored(model, lists[part], arguments.data_dir)
        for part in ("unseen", "seen")
    }
    unseen, seen = (scores[part]["mean_iou"] for part in ("unseen", "seen"))
    scores["score"] = UNSEEN * unseen + SEEN * seen
    scores["trial"] = {"name": name, "seed": seed, "epochs": epochs}
    write_json(results / f"{trial}.json", scores)
    write_json(folder / "scores.json", scores)


def scored(model, listing: str, data_dir: str | None) -> dict:
    """Scores of a model on the frames of a list."""
    split = datasets.load("camvid", listing, data_dir)
    result = evaluate(model, split)
    return {
        **result.scores.as_dict(split.info.classes),
        "boundary_f1": result.boundary_f1,
    }


def write_table(results: Path) -> None:
    """Writes and prints one line per trial, best first, of all scores in a folder."""
    rows = [json.loads(path.read_text()) for path in results.glob("*.json")]
    rows.sort(key=lambda row: -row["score"])
    thin = ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")
    lines = [
        "| trial | epochs | seed | score | unseen | seen | boundary F1, unseen |"
        f" {' | '.join(thin)} |",
        "|---" * (len(thin) + 7) + "|",
    ]
    for row in rows:
        trial, unseen = row["trial"], row["unseen"]
        values = [row["score"], unseen["mean_iou"], row["seen"]["mean_iou"]]
        values.append(unseen["boundary_f1"])
        values += [unseen["per_class_iou"][name] or 0.0 for name in thin]
        cells = [trial["name"], trial["epochs"], trial["seed"]]
        cells += [f"{100 * value:.1f}" for value in values]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    text = "\n".join(lines)
    print(text)
    with replacing(results.with_suffix(".md")) as temporary:
        temporary.write_text(text + "\n")


if __name__ == "__main__":
    cli.run(main, "experiments.trials")
