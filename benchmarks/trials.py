"""Trials of SegNetLite on CamVid at an equal budget, ranked by held-out frames.

python -m benchmarks.trials --data-dir CamVid --lists LISTS reference no-skips --seeds 0

LISTS holds proxy_train.txt, proxy_unseen.txt and proxy_seen.txt, names of frames out
of CamVid's train split: what to learn from, frames of a sequence it has not seen, and
the later part of one it has. The score is 0.73 unseen + 0.27 seen, the proportions of
CamVid's test split. Each trial is a run of its own under runs/trials/; what is there
already is not trained again, what was cut short goes on. All scores of a trial go to
benchmarks/results/trials/, and a table of all that are there to trials.md beside it.
"""

import argparse
import json
from functools import partial
from pathlib import Path

from benchmarks.positions import unpooling
from segnet_tf import cli, datasets
from segnet_tf.config import TrainConfig
from segnet_tf.evaluation import evaluate
from segnet_tf.files import replacing, write_json
from segnet_tf.models import MODELS, SegNetLite
from segnet_tf.recipes import RECIPES
from segnet_tf.saving import load_model
from segnet_tf.training import train

RUNS = Path("runs/trials")
RESULTS = Path("benchmarks/results/trials")
EPOCHS = 35
"""Of 29 steps: about a thousand."""

REFERENCE = {"pooling_mode": "window", "learning_rate": 5e-3, "scale": (0.6, 1.5)}
"""Of the run, in every trial that does not say otherwise."""

SHIPPED = {
    name: RECIPES["segnet_lite_camvid"].options[name]
    for name in ("encoder_rate_factor", "light", "degrade")
}
"""Where the shipped recipe differs from it, but for its length."""

AVERAGED = {"schedule": "constant", "ema": 0.995, "reestimate_bn": True}
"""A rate that never falls, and the average of the last few hundred weights."""

GOES_ON = {
    "init_from": str(RUNS / "shipped-140-0"),
    "learning_rate": 2.5e-3,
    "ema": 0.998,
}
"""From weights that are done, at half of the rate."""


def bilinear(num_classes: int, pooling_mode: str, encoder_weights: str | None):
    """The network without skips, with bilinear interpolation where it unpools."""
    model = SegNetLite(
        num_classes,
        pooling_mode=pooling_mode,
        encoder_weights=encoder_weights,
        skips=False,
    )
    interpolating = unpooling(model, "bilinear")
    interpolating.set_weights(model.get_weights())
    return interpolating


# What each trial changes: options of the run, and of the network or its builder.
TRIALS = {
    "reference": ({}, {}),
    "no-skips": ({}, {"skips": False}),
    "bilinear": ({}, bilinear),
    "first-recipe": ({"learning_rate": 2e-3, "scale": (0.5, 1.3)}, {"skips": False}),
    "scratch": ({"encoder_weights": "none"}, {}),
    "slow-encoder": ({"encoder_rate_factor": 0.25}, {}),
    "slower-encoder": ({"encoder_rate_factor": 0.1}, {}),
    "no-context": ({}, {"context_dilations": ()}),
    "wide-context": ({}, {"context_dilations": (2, 4, 8)}),
    "weights-none": ({"class_weights": "none"}, {}),
    "weights-log": ({"class_weights": "log"}, {}),
    "weights-median": ({"class_weights": "median"}, {}),
    "wide-scale": ({"scale": (0.4, 2.0)}, {}),
    "narrow-scale": ({"scale": (0.8, 1.3)}, {}),
    "large-crop": ({"crop": (272, 360), "batch_size": 4, "epochs": 18}, {}),
    "strong-light": ({"light": 0.5}, {}),
    "degrade": ({"degrade": 0.3}, {}),
    "shipped": (SHIPPED, {}),
    "shipped-degrade-0": ({**SHIPPED, "degrade": 0.0}, {}),
    "shipped-degrade-6": ({**SHIPPED, "degrade": 0.6}, {}),
    "ema": ({"ema": 0.99}, {}),
    "slow-ema": ({"encoder_rate_factor": 0.25, **AVERAGED}, {}),
    "shipped-ema": ({**SHIPPED, **AVERAGED}, {}),
    "shipped-goes-on": ({**SHIPPED, **AVERAGED, **GOES_ON}, {}),
    "bn": ({"reestimate_bn": True}, {}),
    "dice": ({"loss": "dice"}, {}),
    "ohem": ({"loss": "ohem"}, {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = ", ".join(TRIALS)
    parser.add_argument(
        "trials", nargs="+", choices=TRIALS, metavar="TRIAL", help=f"of {names}"
    )
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--lists", required=True, type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        for name in arguments.trials:
            run_trial(name, seed, arguments)
            write_table()


def run_trial(name: str, seed: int, arguments) -> None:
    """Trains and scores one trial.

    The run's own proxy.json says that it is done: the results that come along with the
    project would keep others from repeating them.
    """
    options, network = TRIALS[name]
    trial = f"{name}-{arguments.epochs}-{seed}"
    folder = RUNS / trial
    if (folder / "proxy.json").is_file():
        return
    if not callable(network):
        network = partial(SegNetLite, **network)
    MODELS[f"segnet_lite_{name}"] = network
    epochs = max(1, options.get("epochs", EPOCHS) * arguments.epochs // EPOCHS)
    config = TrainConfig(
        **{**REFERENCE, **options, "epochs": epochs, "validate_every": epochs},
        dataset="camvid",
        data_dir=arguments.data_dir,
        train_split=str(arguments.lists / "proxy_train.txt"),
        val_split=str(arguments.lists / "proxy_unseen.txt"),
        model=f"segnet_lite_{name}",
        keep="last",
        seed=seed,
    )
    print(f"trial {name}, seed {seed}")
    train(config, str(folder), resume=(folder / "config.json").is_file())
    model = load_model(folder / "model.keras")
    scores = {}
    for part in ("unseen", "seen"):
        listing = str(arguments.lists / f"proxy_{part}.txt")
        split = datasets.load("camvid", listing, arguments.data_dir)
        result = evaluate(model, split)
        scores[part] = {
            **result.scores.as_dict(split.info.classes),
            "boundary_f1": result.boundary_f1,
        }
    means = {part: scores[part]["mean_iou"] for part in scores}
    scores["score"] = 0.73 * means["unseen"] + 0.27 * means["seen"]
    scores["trial"] = {"name": name, "seed": seed, "epochs": epochs}
    write_json(RESULTS / f"{trial}.json", scores)
    write_json(folder / "proxy.json", scores)


def write_table() -> None:
    """One line a trial, best first, of all that have been scored so far."""
    rows = [json.loads(path.read_text()) for path in RESULTS.glob("*.json")]
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
    with replacing(RESULTS.with_suffix(".md")) as temporary:
        temporary.write_text(text + "\n")


if __name__ == "__main__":
    cli.run(main, "benchmarks.trials")
