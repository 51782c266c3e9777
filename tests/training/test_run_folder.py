"""A run's folder: what counts as taken, what a kill leaves, what damage says."""

import json
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest

from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.models import SegNetBasic
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.optimizers import build_optimizer, decay_kernels_only
from segnet_tf.training.run_folder import Run

CONFIG = TrainConfig.of(model="segnet_basic")


def compiled() -> keras.Model:
    model = SegNetBasic(num_classes=2, filters=8)
    model.compile(build_optimizer(TrainConfig(), 10), "mse", jit_compile=False)
    images = np.zeros((1, 16, 16, 3), np.float32)
    model.fit(images, np.zeros((1, 16, 16, 2)), verbose=0)
    return model


def begun(folder) -> Run:
    run = Run.new(CONFIG, str(folder))
    run.begin(CONFIG)
    return run


def test_nothing_is_written_before_a_run_begins(tmp_path):
    run = Run.new(CONFIG, str(tmp_path / "run"))
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
        Run.new(CONFIG, str(tmp_path))


def test_resuming_clears_what_a_kill_left(tmp_path):
    begun(tmp_path).finish_epoch(compiled(), {"epoch": 1, "loss": 1.0, "mean_iou": 0.1})
    for place in (tmp_path, tmp_path / "checkpoint"):
        (place / ".writing-x").mkdir()
        (place / ".writing-x" / "half.keras").touch()
    assert Run.resumed(CONFIG, str(tmp_path)).epoch == 1
    assert not list(tmp_path.rglob(".writing-*"))


def test_data_may_move_between_a_kill_and_resuming(tmp_path):
    begun(tmp_path)
    assert Run.resumed(CONFIG.replaced(data_dir="elsewhere"), str(tmp_path)).epoch == 0
    with pytest.raises(UserError, match="another seed"):
        Run.resumed(CONFIG.replaced(seed=1), str(tmp_path))


def test_a_run_from_before_an_option_had_its_default(tmp_path):
    begun(tmp_path)
    older = asdict(CONFIG)
    del older["data"]["channels"]
    (tmp_path / "config.json").write_text(json.dumps(older))
    assert Run.resumed(CONFIG, str(tmp_path)).epoch == 0
    with pytest.raises(UserError, match="another channels"):
        Run.resumed(CONFIG.replaced(channels=1), str(tmp_path))


def test_damage_is_one_line(tmp_path):
    begun(tmp_path).finish_epoch(compiled(), {"epoch": 1, "loss": 1.0, "mean_iou": 0.1})
    checkpoint = next((tmp_path / "checkpoint").iterdir())
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(UserError, match=f"{checkpoint.name}: damaged"):
        Run.resumed(CONFIG, str(tmp_path)).checkpointed_model()
    (tmp_path / "config.json").write_text('{"seed": 0}')
    with pytest.raises(UserError, match="before 0.1.0.*train anew"):
        Run.resumed(CONFIG, str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json: damaged"):
        Run.resumed(CONFIG, str(tmp_path))


def test_a_resumed_run_decays_what_it_decayed_before(tmp_path):
    model = compiled()
    begun(tmp_path).finish_epoch(model, {"epoch": 1, "loss": 1.0, "mean_iou": 0.1})
    again = Run.resumed(CONFIG, str(tmp_path)).checkpointed_model()
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
    assert Run.resumed(CONFIG, None).folder == good
    with pytest.raises(UserError, match="nothing to resume.*damaged.*another seed"):
        Run.resumed(CONFIG.replaced(seed=1), None)


def test_options_that_a_run_does_not_name_had_their_defaults(tmp_path):
    begun(tmp_path)
    (tmp_path / "config.json").write_text('{"network": {"model": "segnet_basic"}}')
    assert Run.resumed(CONFIG, str(tmp_path)).epoch == 0


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
        run = Run.resumed(CONFIG, str(tmp_path))
        assert run.rows == [ROW] and run.epoch == 1
    run.finish_epoch(tiny(), {**ROW, "epoch": 2})
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


HISTORIES = {
    "nothing": "",
    "no rows": "epoch,loss\n",
    "another epoch": "epoch,loss\n2,0.5\n",
    "words": "epoch,loss\n1,low\n",
    "a column of another name": "epoch,loss,val_mean_iox\n1,0.5,0.7\n",
    "a cell too many": "epoch,loss\n1,0.5,0.7\n",
    "bytes": "\x00\x01",
}


def test_older_checkpoints_need_a_sound_history(tmp_path):
    begun(tmp_path).finish_epoch(tiny(), ROW)
    [path] = (tmp_path / "checkpoint").iterdir()
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            if name != "history.json":
                archive.writestr(name, content)
    assert Run.resumed(CONFIG, str(tmp_path)).rows == [ROW]
    for text in HISTORIES.values():
        (tmp_path / "history.csv").write_text(text)
        with pytest.raises(UserError, match="history.csv: ") as caught:
            Run.resumed(CONFIG, str(tmp_path))
        assert "\n" not in str(caught.value)


def test_strange_names_beside_the_checkpoint(tmp_path):
    begun(tmp_path).finish_epoch(tiny(), ROW)
    place = tmp_path / "checkpoint"
    (place / "epoch-none.keras").touch()
    (place / "epoch-99999.keras").mkdir()
    (place / ".writing-x").touch()
    (tmp_path / ".writing-y").symlink_to(tmp_path)
    run = Run.resumed(CONFIG, str(tmp_path))
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
            run = Run.resumed(CONFIG, str(folder))
            run.checkpointed_model()
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert run.rows in ([ROW], [])
