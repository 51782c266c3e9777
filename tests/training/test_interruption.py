"""A run that is stopped inside an epoch goes on as if it had not been."""

import csv
import errno
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import ROOT

from segnet_tf import load_model
from segnet_tf.errors import Stopped, UserError
from segnet_tf.training import trainer
from segnet_tf.training.checkpoint import checkpoints
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.interruption import StepCheckpoint
from segnet_tf.training.trainer import train

OPTIONS = {
    "train_split": "train:8",
    "val_split": "val:1",
    "crop": (32, 48),
    "batch_size": 2,
    "epochs": 2,
}
"""Two epochs of four steps."""

NETWORKS = {
    "plain": {"model": "segnet_basic"},
    "averaged, accumulated": {"model": "segnet_basic", "ema": 0.9, "accumulate": 3},
    "two rates": {"model": "segnet_lite", "encoder_lr_multiplier": 0.25},
    "dropout": {"model": "bayesian_segnet_basic"},
}


class Signal(keras.callbacks.Callback):
    """Sends this process a signal after a step, or in a validation."""

    def __init__(self, number: int, step: int | None):
        super().__init__()
        self.number, self.step, self.seen = number, step, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.step:
            signal.raise_signal(self.number)

    def on_test_batch_begin(self, batch, logs=None):
        if self.step is None:
            signal.raise_signal(self.number)


def interrupted(monkeypatch, number: int, step: int | None) -> None:
    """Adds the signal to every run."""
    usual = trainer.callbacks_of
    monkeypatch.setattr(
        trainer, "callbacks_of", lambda *a: [*usual(*a), Signal(number, step)]
    )


def rows(folder) -> list[dict]:
    with (folder / "history.csv").open() as file:
        return [
            {name: float(text) for name, text in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Each network's run without an interruption, trained once."""
    folders = {}

    def of(name: str):
        if name not in folders:
            config = TrainConfig.of(**OPTIONS, **NETWORKS[name])
            folders[name] = train(config, str(tmp_path_factory.mktemp("runs") / "run"))
        return folders[name]

    return of


@pytest.mark.parametrize(
    "name, step",
    [
        ("dropout", 6),
        # What is left of an epoch that is not the last is a fit of its own.
        ("averaged, accumulated", 2),
        *(pytest.param(name, step, marks=pytest.mark.slow)
          for name in NETWORKS for step in (2, 6)),
    ],
)  # fmt: skip
def test_a_signal_inside_an_epoch_changes_nothing(
    name, step, unbroken, tmp_path, monkeypatch
):
    config = TrainConfig.of(**OPTIONS, **NETWORKS[name])
    folder = tmp_path / "run"
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        interrupted(patch, signal.SIGTERM, step)
        place = f"step 2 of epoch {step // 4 + 1}, and saved"
        with pytest.raises(Stopped, match=place) as stopped:
            train(config, str(folder))
    assert stopped.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    *earlier, newest = checkpoints(folder / "checkpoint")
    assert (newest.epoch, newest.step) == (step // 4, 2)
    assert len(earlier) == step // 4
    train(config, str(folder), resume=True)

    whole = unbroken(name)
    for ours, theirs in zip(rows(folder), rows(whole), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    ours, theirs = (load_model(f / "model.keras").weights for f in (folder, whole))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5, err_msg=one.path)


def test_a_signal_in_a_validation_finishes_the_epoch(tmp_path, monkeypatch):
    config = TrainConfig.of(**OPTIONS, **NETWORKS["plain"])
    interrupted(monkeypatch, signal.SIGINT, None)
    with pytest.raises(Stopped, match="after epoch 1, and saved") as stopped:
        train(config, str(tmp_path / "run"))
    assert stopped.value.number == signal.SIGINT
    assert len(rows(tmp_path / "run")) == 1


def test_a_second_signal_ends_a_step_that_computes():
    """Python's own handlers would wait until the product is there."""
    script = """
import os, signal, threading, time
from types import SimpleNamespace
import numpy as np
from segnet_tf.training.interruption import StepCheckpoint
StepCheckpoint(SimpleNamespace(step=0), 9, 0).on_train_begin()
def ask():
    for _ in range(2):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=ask).start()
np.linalg.svd(np.random.default_rng(0).normal(size=(4000, 4000)))
print("computed")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 130, done.stderr
    assert done.stdout.split("\n")[1:] == [
        "finishing the step, then saving; again: stop at once",
        "",
    ]


def test_signals_go_back_to_those_that_had_them():
    before = signal.getsignal(signal.SIGINT)
    callback = StepCheckpoint(SimpleNamespace(step=0), 9, 0)
    for _ in range(2):
        callback.on_train_begin()
        assert signal.getsignal(signal.SIGINT) != before
        callback.on_train_end()
        assert signal.getsignal(signal.SIGINT) == before
        assert signal.set_wakeup_fd(-1) == -1


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    """The write breaks off half way, the run ends, and goes on when there is room."""
    config = TrainConfig.of(**OPTIONS, **NETWORKS["plain"])
    folder, usual, calls = tmp_path / "run", Path.write_bytes, []
    save = keras.Model.save

    def full(model, path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 3:
            # The first two are the first epoch's checkpoint and kept model.
            usual(Path(path), b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return save(model, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "save", full)
        with pytest.raises(UserError, match="cannot be written .*No space left"):
            train(config, str(folder))
    assert len(calls) == 3
    [found] = checkpoints(folder / "checkpoint")
    assert found.epoch == 1 and found.rows() is not None
    assert not list(folder.rglob(".writing-*"))
    load_model(folder / "model.keras")
    train(config, str(folder), resume=True)
    assert [row["epoch"] for row in rows(folder)] == [1, 2]


def test_checkpoints_from_time_to_time():
    for minutes, expected in ((1e-9, [3, 4, 5]), (60.0, []), (0.0, [])):
        saved = []
        run = SimpleNamespace(
            step=2, writes=True, save_step=lambda _, step, s=saved: s.append(step)
        )
        callback = StepCheckpoint(run, 6, minutes)
        callback.set_model(None)
        for batch in range(4):
            callback.on_train_batch_end(batch)
        assert saved == expected, "the last step's is the epoch's"


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_stops_with_the_shells_code(number, code, tmp_path):
    words = "--train-split train:400 --val-split val:1 --crop 32x48 --batch-size 2"
    command = [sys.executable, ROOT / "train.py", *words.split(), "--output=run"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/tensorboard/train/*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert "stopped after step" in error and "Traceback" not in error


@pytest.mark.slow
def test_a_deterministic_run_is_the_same_bit_for_bit(tmp_path):
    """Killed inside an epoch with kill -9, and resumed."""
    words = (
        "--train-split train:24 --val-split val:2 --crop 32x48 --batch-size 2 "
        "--epochs 3 --model bayesian_segnet_basic --deterministic "
        "--checkpoint-minutes 0.0001"
    )
    command = [sys.executable, str(ROOT / "train.py"), *words.split()]
    subprocess.run([*command, "--output=whole"], cwd=tmp_path, check=True)
    process = subprocess.Popen([*command, "--output=cut"], cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("cut/checkpoint/epoch-00001-step-*.keras")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    subprocess.run([*command, "--output=cut", "--resume"], cwd=tmp_path, check=True)
    assert rows(tmp_path / "whole") == rows(tmp_path / "cut")
    ends = [
        checkpoints(tmp_path / name / "checkpoint")[-1].model()
        for name in ("whole", "cut")
    ]
    for one, other in zip(ends[0].weights, ends[1].weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    slots = [end.optimizer.variables for end in ends]
    for one, other in zip(*slots, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


@pytest.mark.slow
def test_fifty_kills_at_random_moments(tmp_path, rng):
    """Nothing is lost or left behind, and the end is that of an unbroken run."""
    words = (
        "--train-split train:16 --val-split val:2 --crop 32x48 --batch-size 2 "
        "--epochs 25 --model segnet_basic --deterministic --checkpoint-minutes 0.0001"
    )
    command = [sys.executable, str(ROOT / "train.py"), *words.split()]
    start = time.monotonic()
    subprocess.run([*command, "--output=whole"], cwd=tmp_path, check=True)
    seconds = time.monotonic() - start
    run, kept = tmp_path / "cut", b""
    for _ in range(50):
        process = subprocess.Popen(
            [*command, "--output=cut", "--resume"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        # Half of the kills hit imports and the first step.
        time.sleep(rng.uniform(0, min(seconds, 20)))
        process.kill()
        text = process.communicate()[0].decode()
        assert "Traceback" not in text and "error" not in text, text
        found = checkpoints(run / "checkpoint") if run.is_dir() else []
        assert not found or any(each.rows() is not None for each in found)
        if kept:
            with zipfile.ZipFile(run / "model.keras") as archive:
                assert archive.testzip() is None
        kept = (run / "model.keras").read_bytes() if found and found[-1].epoch else b""
        if found and found[-1].epoch == 25:
            break
    subprocess.run([*command, "--output=cut", "--resume"], cwd=tmp_path, check=True)
    assert not list(run.rglob(".writing-*"))
    assert len(list((run / "checkpoint").iterdir())) == 2
    assert rows(tmp_path / "whole") == rows(run)
    ends = [load_model(each / "model.keras") for each in (tmp_path / "whole", run)]
    for one, other in zip(ends[0].weights, ends[1].weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
