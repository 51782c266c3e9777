"""The benchmarks' own arithmetic, and one run at toy size."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from networks import small
from PIL import Image

from benchmarks import decoders
from segnet_tf.datasets.split import Split
from segnet_tf.datasets.synthetic import INFO, load
from segnet_tf.models.variants import VARIANTS

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
    model = VARIANTS[name](pooling_mode=mode)
    assert decoders.stored_bytes(model, 360, 480) == expected


def test_a_sweep_of_what_is_known(monkeypatch):
    whole = load("val:2")
    model = small("segnet_basic")

    def predicted(image):
        return np.asarray(model(image[None].astype("float32"))).argmax(-1)[0]

    pairs = [(image, predicted(image).astype(np.uint8)) for image, _ in whole]
    truth = Split(INFO, "own", whole.names, lambda index: pairs[index])
    scores = decoders.sweep(model, truth)
    assert scores == pytest.approx(dict.fromkeys(decoders.SCORES, 100.0))


def test_the_table_and_the_plot(tmp_path):
    run = {"G": 80.0, "C": 60.0, "mIoU": 40.0, "BF": 30.0}
    results = {
        "segnet_basic": [run, {**run, "BF": 34.0}],
        "fcn_basic_no_addition": [run],
        "fcn_basic": [],
    }
    measure = {"parameters": 1_416_075, "argmax": 2**20, "window": 2**17, "ms": None}
    measures = {name: measure for name in results}
    measures["segnet_basic"] = {**measure, "ms": 123.4}
    decoders.report(results, measures, tmp_path)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert len(lines) == 4  # head, rule, and what has been trained
    columns = {line.count("|") for line in lines}
    assert len(columns) == 1
    assert lines[2].startswith(
        "| `segnet_basic` | 1.416 M | 1.425 M | 1.0 MiB | 0.1 MiB | 1 x | 123 ms | "
    )
    assert "| 32.0 ± 2.8 | 35.8 |" in lines[2]
    assert "| n/a | not measured |" in lines[3]
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.width == 1000


@pytest.mark.slow
def test_two_decoders_at_toy_size(tmp_path, monkeypatch, capsys):
    from segnet_tf.errors import UserError

    command = [
        "decoders", "--models", "basic_bilinear", "basic_single_channel_decoder",
        "--train-split=train:4", "--val-split=val:1", "--epochs=1", "--seeds=1",
        "--crop=32x48", "--batch-size=2", "--height=32", "--width=48", "--repeats=1",
        "--output", str(tmp_path),
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    decoders.main()
    first = (tmp_path / "table.md").read_text()
    assert first.count("\n") == 4 and "not measured" not in first
    scores = tmp_path / "basic_bilinear-0" / "decoder.json"
    assert set(json.loads(scores.read_text())) == set(decoders.SCORES)
    # A second call finds all of it finished, and trains nothing.
    monkeypatch.setattr(decoders, "train", None)
    decoders.main()
    monkeypatch.setattr("sys.argv", [*command, "--epochs=2"])
    with pytest.raises(UserError, match="basic_bilinear-0: holds another run"):
        decoders.main()
    arguments = SimpleNamespace(crop="32")
    with pytest.raises(UserError, match="--crop: '32' is not HxW"):
        decoders.configuration(arguments, "segnet_basic", 0)
