"""The paper's table 1, trained here: storage, the table, and a run at toy size."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT
from PIL import Image

from experiments import decoders, positions, smaller
from segnet_tf.errors import UserError
from segnet_tf.models.networks import build

WINDOWS = 180 * 240 + 90 * 120 + 45 * 60 + 23 * 30
PIXELS = 360 * 480 + 180 * 240 + 90 * 120 + 45 * 60


@pytest.mark.parametrize(
    "name, mode, expected",
    [
        ("segnet_basic", "argmax", 8 * 64 * WINDOWS),
        ("segnet_basic", "window", 64 * WINDOWS),
        ("basic_single_channel_decoder", "window", 64 * WINDOWS),
        ("basic_encoder_addition", "window", 64 * WINDOWS + 4 * 64 * PIXELS),
        ("fcn_basic", "argmax", 4 * 11 * PIXELS),
        ("fcn_basic_no_dim_reduction", "argmax", 4 * 64 * PIXELS),
        ("fcn_basic_no_addition", "argmax", 0),
        ("basic_bilinear", "argmax", 0),
    ],
)
def test_bytes_stored_for_the_decoder(name, mode, expected):
    model = build(name, pooling_mode=mode)
    assert decoders.stored_bytes(model, 360, 480) == expected


def test_the_table_and_the_plot(tmp_path):
    run = {"G": 80.0, "C": 60.0, "mIoU": 40.0, "BF": 30.0}
    results = {
        "segnet_basic": [run, {**run, "BF": 34.0}],
        "fcn_basic_no_addition": [run],
    }
    measure = {"parameters": 1_416_075, "argmax": 2**20, "window": 2**17, "ms": None}
    measures = {name: measure for name in results}
    measures["segnet_basic"] = {**measure, "ms": 123.4}
    decoders.report(results, measures, tmp_path, "At some size.\n\n")
    first, _, *lines = (tmp_path / "table.md").read_text().splitlines()
    assert first == "At some size." and len(lines) == 4
    columns = {line.count("|") for line in lines}
    assert len(columns) == 1
    assert lines[2].startswith(
        "| `segnet_basic` | 1.416 M | 1.425 M | 1.0 MiB | 0.1 MiB | 1 x | 123 ms | "
    )
    assert "| 32.0 ± 2.8 | 35.8 |" in lines[2]
    assert "| n/a | not measured |" in lines[3]
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width == 1000


def toy_command(name: str, folder, *flags) -> list[str]:
    return [
        name, "--dataset=folder", f"--data-dir={folder / 'streets'}", "--filters=8",
        "--epochs=1", "--seeds=1", "--crop=32x48", "--batch-size=2",
        f"--output={folder / name}", *flags,
    ]  # fmt: skip


@pytest.mark.slow
def test_two_experiments_at_toy_size(tmp_path, monkeypatch, capsys):
    command = ["smaller", str(tmp_path / "streets"), "--size=32x48"]
    monkeypatch.setattr("sys.argv", [*command, "--train=4", "--val=2"])
    smaller.main()
    models = ("--models", "basic_bilinear", "basic_single_channel_decoder")
    sizes = ("--size=32x48", "--repeats=1")
    command = toy_command("decoders", tmp_path, *models, *sizes)
    monkeypatch.setattr("sys.argv", command)
    decoders.main()
    first = (tmp_path / "decoders" / "table.md").read_text()
    assert first.count("\n|") == 4 and "not measured" not in first
    assert "2 images of 32x48, after 1 passes over 4 images of 32x48" in first
    assert "8 filters" in first and "python -m experiments.decoders --dataset" in first
    assert "1 left: about" in capsys.readouterr().out
    # A second call finds all of it finished, and trains nothing.
    monkeypatch.setattr(decoders, "train", None)
    decoders.main()
    monkeypatch.setattr("sys.argv", [*command, "--filters=16"])
    with pytest.raises(UserError, match="basic_bilinear-0: holds another run"):
        decoders.main()
    monkeypatch.undo()
    command = toy_command("positions", tmp_path, "--kinds", "random")
    monkeypatch.setattr("sys.argv", command)
    positions.main()
    assert (tmp_path / "positions" / "table.md").read_text().count("\n|") == 3


@pytest.mark.parametrize("script", ["experiments/decoders.py", "docs/figures.py"])
def test_run_by_its_path(tmp_path, script):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / script), "--help"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout
