"""The commands as a user runs them: a run, its files, resuming, mistakes."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import SHIPPED_MODEL, read_labels, save_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.training.config import TrainConfig

QUICK = (
    "--train-split=train:8", "--val-split=val:2", "--model=segnet_basic",
    "--crop=32x48", "--batch-size=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A finished run of two epochs, made by the command itself."""
    from conftest import ROOT

    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, str(ROOT / "train.py"), *QUICK, "--epochs=2"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder / "runs" / "synthetic-segnet_basic", result.stdout


def test_a_run_writes_what_the_readme_says(run_folder):
    folder, printed = run_folder
    names = {path.name for path in folder.iterdir()}
    assert names == {
        ".lock", "checkpoint", "config.json", "curves.png", "history.csv",
        "metrics.json", "model.keras", "tensorboard",
    }  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"global_accuracy", "class_accuracy", "mean_iou"} <= set(metrics)
    assert set(metrics["per_class_iou"]) == set(INFO.classes)
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    best = max(float(row["val_mean_iou"]) for row in rows)
    assert metrics["mean_iou"] == pytest.approx(best, abs=1e-6)
    assert "segnet_basic on synthetic: 8 training" in printed
    assert "mIoU" in printed


def test_evaluate_repeats_the_runs_scores(run_folder, run_command, tmp_path):
    folder, _ = run_folder
    run_command("evaluate.py", "--model", folder, "--split=val:2", cwd=tmp_path)
    output = tmp_path / "evaluations" / f"{folder.name}-synthetic-val"
    again = json.loads((output / "metrics.json").read_text())
    first = json.loads((folder / "metrics.json").read_text())
    # Where a file lies is said as the command was given it.
    assert Path(again.pop("model")).name == Path(first.pop("model")).name
    assert again == first
    assert {"boundary_f1", "per_class_boundary_f1"} <= set(again)
    names = {path.name for path in output.iterdir()}
    assert names == {"metrics.json", "best_worst.png", "confusion.png"}
    for name in ("best_worst.png", "confusion.png"):
        with Image.open(output / name) as picture:
            assert min(picture.size) > 300


def test_evaluate_refuses_other_classes(run_command, tmp_path):
    from segnet_tf.models import SegNetBasic

    other = DatasetInfo("other", tuple("abcdefghijk"), ((0, 0, 0),) * 11)
    save_model(SegNetBasic(filters=8), tmp_path / "other.keras", other)
    arguments = ("evaluate.py", "--model=other.keras", "--dataset=synthetic")
    result = run_command(*arguments, cwd=tmp_path, check=False)
    assert result.returncode == 2 and "predicts a, b, c" in result.stderr


def test_predict_does_not_overwrite_what_it_reads(run_folder, run_command, tmp_path):
    folder, _ = run_folder
    for name in ("x.png", "x_labels.png"):
        Image.fromarray(draw_scene(9, 0, 32, 32)[0]).save(tmp_path / name)
    before = (tmp_path / "x_labels.png").read_bytes()
    arguments = ("predict.py", "x.png", "x_labels.png", "--output=.", "--model", folder)
    result = run_command(*arguments, cwd=tmp_path, check=False)
    assert result.returncode == 2 and "would be overwritten" in result.stderr
    assert (tmp_path / "x_labels.png").read_bytes() == before


def test_predict_writes_labels_and_overlay(run_folder, run_command, tmp_path):
    folder, _ = run_folder
    image = draw_scene(9, 0, 61, 83)[0]
    Image.fromarray(image).save(tmp_path / "a street.png")
    arguments = ("predict.py", "a street.png", "--model", folder, "--output", "out")
    result = run_command(*arguments, cwd=tmp_path)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    results = {"a street_labels.png", "a street_overlay.png"}
    assert names == results | {".done.jsonl", ".lock", "classes.csv", "index.html"}
    with Image.open(tmp_path / "out" / "a street_labels.png") as labels:
        assert labels.mode == "P" and labels.size == (83, 61)
        ids = np.asarray(labels)
    assert ids.max() < 11
    name = INFO.classes[np.bincount(ids.reshape(-1)).argmax()]
    assert f": {name} " in result.stdout


def test_large_pictures_are_scaled_unless_native(run_folder, run_command, tmp_path):
    folder, _ = run_folder
    assert read_labels(folder / "model.keras").image_size == (192, 256)
    image = draw_scene(9, 0, 192, 256)[0].repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(image).save(tmp_path / "x.png")
    expected = {
        flags: Predictor(folder, native=bool(flags)).labels(image)
        for flags in ((), ("--native",))
    }
    assert (expected[()] != expected["--native",]).any()
    for flags, labels in expected.items():
        run_command("predict.py", "x.png", "--model", folder, *flags, cwd=tmp_path)
        with Image.open(tmp_path / "predictions" / "x_labels.png") as written:
            np.testing.assert_array_equal(np.asarray(written), labels)


def test_predict_names_the_model_it_chose(run_command, tmp_path):
    from conftest import ROOT

    Image.fromarray(draw_scene(9, 0, 32, 32)[0]).save(tmp_path / "-dash.png")
    image = tmp_path / "-dash.png"
    chosen = "saved_models/segnet_lite_streets/model.tflite"
    result = run_command("predict.py", image, "--output", tmp_path / "out", cwd=ROOT)
    first, second = result.stdout.splitlines()
    assert first == f"model: {chosen}"
    assert second.startswith(f"{tmp_path / 'out' / '-dash_overlay.png'}: ")
    # A name with a dash in front, as *.png gives it; elsewhere the path is whole.
    result = run_command("predict.py", "-dash.png", cwd=tmp_path)
    assert result.stdout.splitlines()[0] == f"model: {ROOT / chosen}"
    assert (tmp_path / "predictions" / "-dash_labels.png").is_file()
    named = ("predict.py", "-dash.png", "--model", ROOT / chosen)
    assert "model:" not in run_command(*named, cwd=tmp_path).stdout


SYNTHETIC = ("--model", SHIPPED_MODEL.with_name("segnet_lite_synthetic"))

MISTAKES = {
    "no such data set folder": ("train.py", "--dataset=camvid", "--data-dir=nowhere"),
    "crop": ("train.py", "--crop=8x8"),
    "choose from segnet_lite,": ("train.py", "--model=no_such_network"),
    "encoder_weights": (
        "train.py",
        "--model=segnet_basic",
        "--encoder-weights=imagenet",
    ),
    "no such file": ("predict.py", "missing.png"),
    "text.png": ("predict.py", "text.png"),
    "no model there": ("evaluate.py", "--model=nowhere"),
    "reads no folder": ("evaluate.py", "--data-dir=mine", *SYNTHETIC),
    "for mine, name its data set": ("train.py", "--data-dir=mine"),
    "no split": ("evaluate.py", "--dataset=synthetic", "--split=holiday"),
    "is no .keras file": (
        "evaluate.py",
        "--samples=3",
        "--model",
        SHIPPED_MODEL / "model.tflite",
    ),
    "need a folder": ("evaluate.py", "--output=text.png", *SYNTHETIC),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_get_one_line_and_exit_2(mistake, run_command, tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    before = sorted(tmp_path.rglob("*"))
    result = run_command(*MISTAKES[mistake], cwd=tmp_path, check=False)
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert "Traceback" not in result.stderr
    if mistake != "no such data set folder":
        assert mistake in errors[0]
    assert sorted(tmp_path.rglob("*")) == before, "nothing is left behind"


def test_an_exploding_loss_gets_one_line_and_exit_2(run_command, tmp_path):
    arguments = ("--epochs=1", "--learning-rate=1e30", "--output=run")
    result = run_command("train.py", *QUICK, *arguments, cwd=tmp_path, check=False)
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if ".py: error:" in line]
    assert len(errors) == 1 and "Traceback" not in result.stderr
    assert "the loss is" in errors[0] and "no epoch was finished" in errors[0]
    assert not (tmp_path / "run" / "model.keras").exists()


def test_an_output_folder_in_use_is_not_overwritten(run_folder, run_command):
    folder, _ = run_folder
    before = (folder / "history.csv").read_text()
    arguments = ("train.py", *QUICK, "--epochs=1", "--output", folder)
    result = run_command(*arguments, cwd=folder.parent, check=False)
    assert result.returncode == 2 and "already there" in result.stderr
    assert (folder / "history.csv").read_text() == before


def test_resume_with_another_configuration_says_what_differs(run_folder, run_command):
    folder, _ = run_folder
    arguments = ("train.py", *QUICK, "--epochs=3", "--output", folder, "--resume")
    result = run_command(*arguments, cwd=folder.parent, check=False)
    assert result.returncode == 2 and "epochs" in result.stderr


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_end(run_command, tmp_path):
    from conftest import ROOT

    arguments = ("train.py", *QUICK, "--epochs=3")
    whole = ("--output", "whole")
    run_command(*arguments, *whole, cwd=tmp_path)
    command = [sys.executable, str(ROOT / "train.py"), *arguments[1:]]
    process = subprocess.Popen(
        [*command, "--output", "cut"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "cut" / "checkpoint" / "epoch-00001.keras"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None:
        assert time.monotonic() < deadline, "no first epoch in two minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = run_command(*arguments, "--output=cut", "--resume", cwd=tmp_path)
    histories = []
    for name in ("whole", "cut"):
        with (tmp_path / name / "history.csv").open() as file:
            histories.append(list(csv.DictReader(file)))
    # The kill may have come after the second epoch, but hardly after the last.
    assert "going on after epoch" in result.stdout
    assert [row["epoch"] for row in histories[1]] == ["1", "2", "3"]
    for row, other in zip(*histories, strict=True):
        # Threads add in another order from run to run, so not to the last digit.
        for name in ("loss", "val_loss"):
            assert float(row[name]) == pytest.approx(float(other[name]), rel=0.05)


def test_version(run_command, tmp_path):
    import segnet_tf

    for script in ("train.py", "predict.py", "evaluate.py"):
        result = run_command(script, "--version", cwd=tmp_path)
        assert result.stdout.strip() == segnet_tf.__version__


def test_a_missing_validation_split_is_said_not_fatal(run_command, tmp_path):
    """CamVid's layout with a training split alone."""
    for folder in ("train", "trainannot"):
        (tmp_path / "camvid" / folder).mkdir(parents=True)
    for index in range(2):
        image, labels = draw_scene(9, index, 32, 48)
        Image.fromarray(image).save(tmp_path / f"camvid/train/{index}.png")
        labels = np.where(labels == 255, 11, labels).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / f"camvid/trainannot/{index}.png")
    result = run_command(
        "train.py", "--dataset=camvid", "--data-dir=camvid", "--epochs=1",
        "--model=segnet_basic", "--crop=32x48", "--batch-size=2", "--output=run",
        cwd=tmp_path,
    )  # fmt: skip
    assert "split 'val' is not here" in result.stdout
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert "model.keras" in names and "metrics.json" not in names


@pytest.mark.parametrize(
    "option", ["learning_rate=nan", "seed=-1", "weight_decay=-1", "warmup_steps=-5"]
)
def test_values_that_cannot_be(option):
    name, value = option.split("=")
    with pytest.raises(UserError, match=name):
        TrainConfig.of(**{name: float(value) if name != "seed" else int(value)})


@pytest.mark.slow
def test_camvid_from_its_folder(camvid_dir, run_command, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("0001TP_006690.png\n0016E5_07959.png\n")
    run_command(
        "train.py", "--dataset=camvid", "--data-dir", camvid_dir, "--epochs=1",
        "--train-split", names, "--val-split", names, "--batch-size=2",
        "--output=run", cwd=tmp_path,
    )  # fmt: skip
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["split"] == "names" and metrics["images"] == 2
