"""Trials: which frames they hold out, what they change, and their table."""

import json
import shutil
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from experiments import trials
from segnet_tf import datasets
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.files import write_json
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.config import TrainConfig


def frames(**sequences: int) -> list[str]:
    return [
        f"{name}_{n:06}.png" for name, count in sequences.items() for n in range(count)
    ]


def test_a_sequence_and_half_of_another_are_held_out():
    names = frames(B1=2, A0=9, C2=5)
    lists = trials.frame_lists(reversed(names), "B1")
    assert lists == {
        "unseen": frames(B1=2),
        # Five of the shorter one are odd: the middle frame is trained on.
        "seen": frames(C2=5)[3:],
        "train": frames(A0=9) + frames(C2=3),
    }


def test_every_sequence_can_be_left_out():
    names = frames(A0=9, B1=2, C2=5)
    for left_out in ("A0", "B1", "C2"):
        lists = trials.frame_lists(names, left_out)
        assert sorted(sum(lists.values(), [])) == names
        assert {name[:2] for name in lists["unseen"]} == {left_out}
        [divided] = {name[:2] for name in lists["seen"]}
        assert divided == ("B1" if left_out != "B1" else "C2")
        last = max(name for name in lists["train"] if name[:2] == divided)
        assert last < min(lists["seen"])


def test_a_sequence_that_is_not_there():
    with pytest.raises(UserError, match="Z9 is not one of .* there is A0, B1"):
        trials.frame_lists(frames(A0=1, B1=1), "Z9")
    with pytest.raises(UserError, match="A0 is not one of several sequences"):
        trials.frame_lists(frames(A0=3), "A0")


def test_the_lists_of_camvid(camvid_dir, tmp_path):
    lists = trials.write_lists(tmp_path, camvid_dir, trials.LEFT_OUT)
    splits = {
        part: datasets.load("camvid", path, camvid_dir) for part, path in lists.items()
    }
    counts = {part: len(split) for part, split in splits.items()}
    assert counts == {"train": 235, "unseen": 101, "seen": 31}
    begins = {
        part: {name[:6] for name in split.names} for part, split in splits.items()
    }
    assert begins == {
        "train": {"0001TP", "0016E5"},
        "unseen": {"0006R0"},
        "seen": {"0001TP"},
    }
    held_out = {*splits["unseen"].names, *splits["seen"].names}
    assert not held_out & {*splits["train"].names}


def test_other_folds_have_folders_of_their_own():
    assert trials.fold(Path("runs/trials"), trials.LEFT_OUT) == Path("runs/trials")
    folder = trials.fold(Path("runs/trials"), "0016E5")
    assert folder == Path("runs/trials-without-0016E5")


@pytest.mark.parametrize("name", trials.TRIALS)
def test_trials_are_valid_runs(name):
    trial = trials.TRIALS[name]
    TrainConfig.of(**{**trials.REFERENCE, **trial.options})
    module, function = trial.network().builder.split(":")
    builder = getattr(import_module(module), function)
    signature(builder).bind(11, **trial.network().arguments)


def test_what_a_trial_trains_and_writes(tmp_path, monkeypatch):
    runs, results = tmp_path / "runs", tmp_path / "results"
    asked = []

    def train(config, output, resume):
        asked.append((config, resume))
        (tmp_path / "runs" / "shipped-goes-on-70-3").mkdir(parents=True)

    monkeypatch.setattr(trials, "train", train)
    monkeypatch.setattr(trials, "load_model", lambda path: path)
    means = {"unseen.txt": 0.4, "seen.txt": 0.6}
    monkeypatch.setattr(
        trials, "scored", lambda model, path, data_dir: {"mean_iou": means[path]}
    )
    lists = {part: f"{part}.txt" for part in ("train", "unseen", "seen")}
    arguments = SimpleNamespace(epochs=70, data_dir=None)
    for _ in range(2):  # the second finds it finished
        trials.run_trial("shipped-goes-on", 3, arguments, lists, runs, results)
    [(config, resume)] = asked
    assert not resume and config.run.seed == 3 and not config.run.save_best
    assert config.network.init_from == str(runs / "shipped-140-0")
    assert config.data.train_split == "train.txt"
    assert config.data.val_split == "unseen.txt"
    assert config.optimization.epochs == config.run.validate_every == 70
    assert NETWORKS[config.network.model] == trials.LITE
    [path] = results.iterdir()
    scores = json.loads(path.read_text())
    assert path.name == "shipped-goes-on-70-3.json"
    assert scores["score"] == pytest.approx(0.73 * 0.4 + 0.27 * 0.6)


def test_bilinear_trial_interpolates():
    model = trials.bilinear(3, pooling_mode="window")
    kinds = {type(layer).__name__ for layer in model.layers}
    assert "MaxUnpooling2D" not in kinds
    assert model(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 32, 32, 3)


def test_the_table_of_trials(tmp_path, capsys):
    part = {"mean_iou": 0.5, "boundary_f1": 0.25}
    part["per_class_iou"] = dict.fromkeys(INFO.classes, 0.125)
    part["per_class_iou"]["Bicyclist"] = None
    for name, score in (("worse", 0.25), ("better", 0.75)):
        trial = {"name": name, "seed": 1, "epochs": 35}
        row = {"score": score, "unseen": part, "seen": part, "trial": trial}
        write_json(tmp_path / "trials" / f"{name}-35-1.json", row)
    trials.write_table(tmp_path / "trials")
    lines = (tmp_path / "trials.md").read_text().splitlines()
    values = ["75.0", "50.0", "50.0", "25.0", *3 * ["12.5"], "0.0"]
    assert lines[2] == f"| better | 35 | 1 | {' | '.join(values)} |"
    assert lines[3].startswith("| worse | 35 | 1 | 25.0 |")
    assert capsys.readouterr().out.splitlines() == lines


def test_the_table_that_comes_along_is_that_of_the_scores(tmp_path):
    shutil.copytree(ROOT / trials.RESULTS, tmp_path / "trials")
    trials.write_table(tmp_path / "trials")
    published = (ROOT / trials.RESULTS).with_suffix(".md").read_text()
    assert (tmp_path / "trials.md").read_text() == published
