"""A run's folder: what counts as taken, what a kill leaves, what damage says."""

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT

from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.models import SegNetBasic
from segnet_tf.training.checkpoint import Checkpoint
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.optimizers import build_optimizer, decay_kernels_only
from segnet_tf.training.run_folder import Run

CONFIG = TrainConfig.of(model="segnet_basic")
IMAGES = 9


def compiled() -> keras.Model:
    model = SegNetBasic(num_classes=2, filters=8)
    model.compile(build_optimizer(TrainConfig(), 10), "mse", jit_compile=False)
    images = np.zeros((1, 16, 16, 3), np.float32)
    model.fit(images, np.zeros((1, 16, 16, 2)), verbose=0)
    return model


def begun(folder) -> Run:
    run = Run.new(CONFIG, str(folder), IMAGES)
    run.begin(CONFIG)
    return run


def test_nothing_is_written_before_a_run_begins(tmp_path):
    run = Run.new(CONFIG, str(tmp_path / "run"), IMAGES)
    assert not (tmp_path / "run").exists()
    run.begin(CONFIG)
    assert (
        json.loads((tmp_path / "run" / "config.json").read_text())["run"]["seed"] == 0
    )


def test_a_folder_without_a_finished_epoch_is_not_taken(tmp_path):
    begun(tmp_path)
    (tmp_path / ".writing-x").mkdir()
    begun(tmp_path)
    (tmp_path / "model.keras").touch()
    with pytest.raises(UserError, match="already there"):
        Run.new(CONFIG, str(tmp_path), IMAGES)


def test_resuming_clears_what_a_kill_left(tmp_path):
    begun(tmp_path).finish_epoch(compiled(), {"epoch": 1, "loss": 1.0, "mean_iou": 0.1})
    for place in (tmp_path, tmp_path / "checkpoint"):
        (place / ".writing-x").mkdir()
        (place / ".writing-x" / "half.keras").touch()
    assert Run.resumed(CONFIG, str(tmp_path), IMAGES).epoch == 1
    assert not list(tmp_path.rglob(".writing-*"))


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, capsys):
    run = begun(tmp_path)
    for epoch in (1, 2, 3):
        run.finish_epoch(tiny(), {**ROW, "epoch": epoch})
    run.close()
    names = [path.name for path in sorted((tmp_path / "checkpoint").iterdir())]
    assert names == ["epoch-00002.keras", "epoch-00003.keras"]
    newest = tmp_path / "checkpoint" / names[1]
    whole = newest.read_bytes()
    for damaged in (whole[:3000], whole[:900] + b"x" + whole[901:], b""):
        newest.write_bytes(damaged)
        again = Run.resumed(CONFIG, str(tmp_path), IMAGES)
        assert again.epoch == 2 and again.checkpointed_model() is not None
        assert f"{names[1]}: damaged; the one before" in capsys.readouterr().out
        again.close()
    again = Run.resumed(CONFIG, str(tmp_path), IMAGES)
    again.save_step(tiny(), 1)
    again.close()
    left = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert left == {names[0], "epoch-00002-step-000001.keras"}, "the sound ones"
    newest.write_bytes(b"x")
    newest.with_name("epoch-00002-step-000001.keras").unlink()
    newest.with_name(names[0]).write_bytes(b"x")
    with pytest.raises(UserError, match=f"{names[1]}: damaged.*move .* aside"):
        Run.resumed(CONFIG, str(tmp_path), IMAGES)


def test_steps_inside_an_epoch(tmp_path):
    run = begun(tmp_path)
    run.save_step(tiny(), 7)
    run.close()
    assert (Run.resumed(CONFIG, str(tmp_path), IMAGES).step, run.epoch) == (7, 0)
    run = Run.resumed(CONFIG, str(tmp_path), IMAGES)
    run.save_step(tiny(), 9)
    run.finish_epoch(tiny(), ROW)
    run.save_step(tiny(), 3)
    run.close()
    again = Run.resumed(CONFIG, str(tmp_path), IMAGES)
    assert (again.epoch, again.step, again.rows) == (1, 3, [ROW])
    names = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert names == {"epoch-00001.keras", "epoch-00001-step-000003.keras"}


def test_a_checkpoint_is_restored_once(tmp_path, monkeypatch):
    """In a later epoch, workers without a part in it would wait for the others."""
    run = begun(tmp_path)
    run.save_step(tiny(), 7)
    run.close()
    restored = []
    monkeypatch.setattr(
        Checkpoint, "restore", lambda own, model: restored.append(own.step)
    )
    for writes in (True, False):
        run = Run.resumed(CONFIG, str(tmp_path), IMAGES, writes)
        run.restore(tiny())
        run.save_step(tiny(), 9)
        run.restore(tiny())
        run.close()
    assert restored == [7, 9]


def test_two_processes_in_one_folder(tmp_path):
    """The second one is refused, whether it begins or goes on; a dead one is no bar."""
    code = (
        "import sys; from pathlib import Path; from segnet_tf.files import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); lock.acquire(); print(flush=True)\n"
        "sys.stdin.read()"
    )
    folder = tmp_path / "run"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as other:
        assert other.stdout and other.stdout.readline()
        with pytest.raises(UserError, match="another process is at work in it"):
            Run.new(CONFIG, str(folder), IMAGES).begin(CONFIG)
        (folder / "config.json").write_text(json.dumps(asdict(CONFIG)))
        with pytest.raises(UserError, match="another process is at work in it"):
            Run.resumed(CONFIG, str(folder), IMAGES)
        other.kill()
    Run.resumed(CONFIG, str(folder), IMAGES).begin(CONFIG)


def test_a_folder_that_was_used_since(tmp_path):
    first, second = (Run.new(CONFIG, str(tmp_path / "run"), IMAGES) for _ in range(2))
    first.begin(CONFIG)
    first.finish_epoch(tiny(), ROW)
    first.close()
    with pytest.raises(UserError, match="already there"):
        second.begin(CONFIG)


def test_a_run_whose_checkpoints_are_gone_is_not_overwritten(tmp_path):
    run = begun(tmp_path)
    run.finish_epoch(tiny(), ROW)
    run.model_path.touch()
    run.close()
    shutil.rmtree(tmp_path / "checkpoint")
    for broken in (None, "a file"):
        if broken:
            (tmp_path / "checkpoint").write_text(broken)
        with pytest.raises(UserError, match="no checkpoint to go on from.*--init-from"):
            Run.resumed(CONFIG, str(tmp_path), IMAGES)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path):
    """Its kept model and history come before the checkpoint, its plots after it."""
    run = begun(tmp_path)
    run.model_path.touch()
    (tmp_path / "history.csv").touch()
    (tmp_path / "checkpoint" / ".writing-x").mkdir(parents=True)
    run.close()
    again = Run.resumed(CONFIG, str(tmp_path), IMAGES)
    assert (again.epoch, again.step) == (0, 0)
    again.begin(CONFIG)
    again.close()
    with pytest.raises(UserError, match="already there"):
        Run.new(CONFIG, str(tmp_path), IMAGES)


def test_the_data_had_another_number_of_images(tmp_path):
    run = begun(tmp_path)
    run.save_step(tiny(), 4)
    run.close()
    with pytest.raises(UserError, match="trains on 9 images, and there are 8 now"):
        Run.resumed(CONFIG, str(tmp_path), 8)


def test_no_options_in_a_folder_that_holds_something(tmp_path):
    (tmp_path / "model.keras").touch()
    with pytest.raises(UserError, match="has no config.json, so that no run can go on"):
        Run.resumed(CONFIG, str(tmp_path), IMAGES)


def test_nothing_to_resume_begins(tmp_path, monkeypatch, capsys):
    """A service starts its run with the same command each time."""
    monkeypatch.chdir(tmp_path)
    for output in ("here", None):
        run = Run.resumed(CONFIG, output, IMAGES)
        assert (run.epoch, run.step) == (0, 0)
        assert "nothing to resume: the run begins" in capsys.readouterr().out
        assert not run.folder.exists()


def test_data_may_move_between_a_kill_and_resuming(tmp_path):
    begun(tmp_path)
    for change in ({"data_dir": "elsewhere"}, {"checkpoint_minutes": 3.0}):
        assert Run.resumed(CONFIG.replaced(**change), str(tmp_path), IMAGES).epoch == 0
    with pytest.raises(UserError, match="another seed"):
        Run.resumed(CONFIG.replaced(seed=1), str(tmp_path), IMAGES)


def test_a_run_from_before_an_option_had_its_default(tmp_path):
    begun(tmp_path)
    older = asdict(CONFIG)
    del older["data"]["channels"]
    (tmp_path / "config.json").write_text(json.dumps(older))
    assert Run.resumed(CONFIG, str(tmp_path), IMAGES).epoch == 0
    with pytest.raises(UserError, match="another channels"):
        Run.resumed(CONFIG.replaced(channels=1), str(tmp_path), IMAGES)


def test_damage_is_one_line(tmp_path):
    begun(tmp_path).finish_epoch(compiled(), {"epoch": 1, "loss": 1.0, "mean_iou": 0.1})
    checkpoint = next((tmp_path / "checkpoint").iterdir())
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(UserError, match=f"{checkpoint.name}: damaged"):
        Run.resumed(CONFIG, str(tmp_path), IMAGES).checkpointed_model()
    (tmp_path / "config.json").write_text('{"seed": 0}')
    with pytest.raises(UserError, match="before 0.1.0.*train anew"):
        Run.resumed(CONFIG, str(tmp_path), IMAGES)
    for text in ("{", "[]"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match="config.json: damaged"):
            Run.resumed(CONFIG, str(tmp_path), IMAGES)


def test_a_resumed_run_decays_what_it_decayed_before(tmp_path):
    model = compiled()
    begun(tmp_path).finish_epoch(model, {"epoch": 1, "loss": 1.0, "mean_iou": 0.1})
    again = Run.resumed(CONFIG, str(tmp_path), IMAGES).checkpointed_model()
    decay_kernels_only(again.optimizer)
    decayed = [
        [v.path for v in m.trainable_variables if m.optimizer._use_weight_decay(v)]
        for m in (model, again)
    ]
    assert decayed[0] == decayed[1]
    assert all(path.endswith("kernel") for path in decayed[0])


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        with replacing(tmp_path / "file" / "x.json"):
            pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        with replacing(tmp_path / "folder") as temporary:
            temporary.touch()
    assert not list(tmp_path.glob(".writing-*"))


def test_another_runs_folder_does_not_keep_a_run_from_going_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = Path("runs/synthetic-segnet_basic")
    begun(good)
    for number, text in ((2, "{"), (3, '{"seed": 0}')):
        other = good.with_name(f"{good.name}-{number}")
        other.mkdir()
        (other / "config.json").write_text(text)
    assert Run.resumed(CONFIG, None, IMAGES).folder == good
    with pytest.raises(UserError, match="nothing to resume.*damaged.*another seed"):
        Run.resumed(CONFIG.replaced(seed=1), None, IMAGES)


def test_options_that_a_run_does_not_name_had_their_defaults(tmp_path):
    begun(tmp_path)
    (tmp_path / "config.json").write_text('{"network": {"model": "segnet_basic"}}')
    assert Run.resumed(CONFIG, str(tmp_path), IMAGES).epoch == 0


ROW = {"epoch": 1, "loss": 1.0, "mean_iou": 0.1, "val_mean_iou": 0.7}


def tiny() -> keras.Model:
    """A compiled model that is saved in no time."""
    images = keras.Input((2,))
    model = keras.Model(images, keras.layers.Dense(1)(images))
    model.compile("sgd", "mse")
    return model


def test_the_history_is_in_the_checkpoint(tmp_path):
    """A damaged history.csv neither stops a run nor loses its best score."""
    begun(tmp_path).finish_epoch(tiny(), ROW)
    for text in ("", "epoch,val_mean_iou\n1,0.1\n", "\x00", None):
        if text is None:
            (tmp_path / "history.csv").unlink()
        else:
            (tmp_path / "history.csv").write_text(text)
        run = Run.resumed(CONFIG, str(tmp_path), IMAGES)
        assert run.rows == [ROW] and run.epoch == 1
        run.close()
    run.finish_epoch(tiny(), {**ROW, "epoch": 2})
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


BAD_ROWS = {
    "a number": 5,
    "a text": "abc",
    "a list of numbers": [1],
    "no score": [{**ROW, "val_mean_iou": None}],
    "a score that is no number": [{**ROW, "val_mean_iou": float("nan")}],
    "a score above 1": [{**ROW, "val_mean_iou": 1e9}],
    "an epoch that is a float": [{**ROW, "epoch": 1.0}],
    "an epoch that is true": [{**ROW, "epoch": True}],
    "another epoch": [{**ROW, "epoch": 2}],
    "a list in a cell": [{**ROW, "loss": [1, 2]}],
    "an unknown key": [{**ROW, "x": 1}],
    "no epoch": [{"loss": 1.0}],
}


def test_a_history_that_cannot_be(tmp_path):
    begun(tmp_path).finish_epoch(tiny(), ROW)
    [path] = (tmp_path / "checkpoint").iterdir()
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    for name, rows in BAD_ROWS.items():
        contents["history.json"] = json.dumps(rows).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for entry, content in contents.items():
                archive.writestr(entry, content)
        with pytest.raises(UserError, match=f"{path.name}: damaged"):
            Run.resumed(CONFIG, str(tmp_path), IMAGES)
            pytest.fail(name)


def test_a_kept_model_is_no_checkpoint(tmp_path):
    begun(tmp_path).finish_epoch(tiny(), ROW)
    [path] = (tmp_path / "checkpoint").iterdir()
    images = keras.Input((2,))
    keras.Model(images, keras.layers.Dense(1)(images)).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("history.json", json.dumps([ROW]))
    with pytest.raises(UserError, match=f"{path.name}: damaged"):
        Run.resumed(CONFIG, str(tmp_path), IMAGES).checkpointed_model()


def test_strange_names_beside_the_checkpoint(tmp_path):
    begun(tmp_path).finish_epoch(tiny(), ROW)
    place = tmp_path / "checkpoint"
    (place / "epoch-none.keras").touch()
    (place / "epoch-99999.keras").mkdir()
    (place / ".writing-x").touch()
    (tmp_path / ".writing-y").symlink_to(tmp_path)
    run = Run.resumed(CONFIG, str(tmp_path), IMAGES)
    assert run.epoch == 1 and run.checkpointed_model() is not None
    assert not list(tmp_path.rglob(".writing-*"))
    assert (tmp_path / "config.json").is_file(), "the link's target is untouched"


@pytest.mark.slow
def test_mutated_run_folders(tmp_path):
    """231 damaged folders: one line, or the right history."""
    begun(tmp_path / "good").finish_epoch(tiny(), ROW)
    rng = np.random.default_rng(0)
    for number in range(231):
        folder = tmp_path / "bad"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tmp_path / "good", folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        path = files[rng.integers(len(files))]
        data = bytearray(path.read_bytes())
        kind = number % 4
        if kind == 0:
            data = data[: rng.integers(len(data))]
        elif kind == 1:
            path.rename(path.with_name(f"x{path.name}"[: rng.integers(2, 12)]))
        else:
            for place in rng.integers(0, max(len(data), 1), 1 + rng.integers(9)):
                data[place] = rng.integers(256)
        if kind != 1:
            path.write_bytes(data)
        try:
            run = Run.resumed(CONFIG, str(folder), IMAGES)
            run.checkpointed_model()
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert run.rows in ([ROW], [])
