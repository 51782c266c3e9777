"""Files are whole or not there: errors at every step, full disks, killed processes."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet_tf import files
from segnet_tf.errors import UserError
from segnet_tf.files import clear_litter, replacing, unfinished, write_json
from segnet_tf.inference.model_file import SHIPPED_MODELS

ROOT = Path(__file__).parents[1]
MODEL = SHIPPED_MODELS / "segnet_lite_synthetic" / "model.tflite"


@pytest.fixture
def old(tmp_path):
    """A folder with one file in it, which must survive."""
    path = tmp_path / "scores.json"
    write_json(path, {"mean_iou": 1})
    return path


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def write(path):
    with replacing(path) as temporary:
        temporary.write_text("new")


@pytest.mark.parametrize("step", ["fsync", "replace", "mkdir", "open"])
def test_an_error_at_any_step_is_one_line_and_loses_nothing(step, old, monkeypatch):
    before = old.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(os if step != "open" else Path, step, full)
        if step == "open":
            patch.setattr(Path, "write_text", full)
        with pytest.raises(UserError, match="scores.json: cannot be written .No space"):
            write(old)
    assert old.read_text() == before
    assert list(old.parent.iterdir()) == [old]
    write(old)
    assert old.read_text() == "new"


def test_the_line_names_no_temporary_folder(old, monkeypatch):
    with unfinished(old) as folder:
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(UserError) as found:
            write(folder / "labels.json")
    assert str(found.value).startswith(f"{old.parent / 'labels.json'}: cannot be")


def test_the_bytes_are_synced_before_the_name_is(old, monkeypatch):
    """A loss of power after the name would leave an empty file."""
    done = []
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.readlink(
        f"/proc/self/fd/{handle}")))  # fmt: skip
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: done.append("name") or replace(
        *names))  # fmt: skip
    write(old)
    assert [Path(step).name for step in done] == [old.name, "name", old.parent.name]


def test_an_error_of_the_writer_itself_keeps_its_traceback(old):
    with pytest.raises(OSError, match="cannot write mode F"), replacing(old) as path:
        Image.new("F", (2, 2)).save(path.with_suffix(".png"))
    with pytest.raises(ZeroDivisionError), replacing(old):
        raise ZeroDivisionError
    with pytest.raises(UserError, match="No space"), replacing(old):
        raise OSError("Can't write data (errno = 28, message = 'No space left')")


def test_names_that_are_too_long_and_folders_that_are_files(tmp_path, old):
    with pytest.raises(UserError, match="cannot be written .File name too long"):
        write(tmp_path / ("x" * 300))
    with pytest.raises(UserError, match="cannot be written"):
        write(old / "in a file.txt")


def test_litter_of_dead_processes_is_cleared(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = files._HERE
    dead = tmp_path / f".writing-{host}-{process.pid}-abc"
    alive = tmp_path / f".writing-{host}-{os.getpid()}-abc"
    elsewhere = tmp_path / f".writing-another{host}-{process.pid}-abc"
    old = tmp_path / f".writing-another{host}-{process.pid}-old"
    strange = tmp_path / f".writing-{host}-99999999999999999999-x"
    for folder in (dead, alive, elsewhere, old, strange):
        folder.mkdir()
        (folder / "half.png").touch()
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    link = tmp_path / f".writing-{host}-{process.pid}-link"
    link.symlink_to(elsewhere)
    clear_litter(tmp_path)
    assert not dead.exists() and not old.exists() and not strange.exists()
    assert alive.exists() and elsewhere.exists() and link.is_symlink()
    assert (elsewhere / "half.png").exists()


KILLED = """
import os, sys
from segnet_tf.files import replacing
with replacing(sys.argv[1]) as path:
    path.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_a_killed_process_leaves_the_old_file_and_its_litter_goes(old):
    before = old.read_text()
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", KILLED, old], cwd=ROOT)
        assert done.returncode == -signal.SIGKILL and old.read_text() == before
    assert len(list(old.parent.glob(".writing-*"))) == 1, "each clears the one before"
    files._cleared.discard(old.parent)
    write(old)
    assert list(old.parent.iterdir()) == [old]


def limited(megabytes: float, *arguments, cwd) -> subprocess.CompletedProcess:
    """Runs Python so that no file can grow above a size, as on a full disk."""
    size = int(megabytes * 2**20)
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
    )


def refused(result) -> str:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1
    return lines[0]


def test_predict_on_a_full_disk(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    flags = (ROOT / "predict.py", "a.png", "--model", MODEL)
    line = refused(limited(0.1, *flags, cwd=tmp_path))
    assert "predictions/a_overlay.png: cannot be written (File too large)" in line
    assert {path.name for path in (tmp_path / "predictions").iterdir()} == {
        ".done.jsonl", ".lock", "a_labels.png",
    }  # fmt: skip


@pytest.mark.slow
def test_export_on_a_full_disk(tmp_path):
    flags = ("--model", "synthetic", "--size", "64x96", "--output", "m.tflite")
    line = refused(limited(1, ROOT / "export.py", *flags, cwd=tmp_path))
    assert "cannot be" in line and "(File too large)" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_training_on_a_full_disk(tmp_path):
    flags = "--dataset synthetic --train-split train:8 --val-split val:2 --epochs 1"
    result = limited(
        0.5, ROOT / "train.py", *flags.split(), "--output", "run", cwd=tmp_path
    )
    assert "cannot be written" in refused(result)
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert not any(name.endswith(".keras") or name.startswith(".") for name in left)


def test_a_model_that_may_not_be_read(tmp_path, monkeypatch):
    from segnet_tf.inference.model_file import read_labels
    from segnet_tf.inference.tflite_metadata import read_metadata

    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="no permission to read it"):
        read_labels(path)

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UserError, match="cannot be read .Permission denied"):
        read_metadata(path)
