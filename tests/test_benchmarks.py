"""The benchmarks' own arithmetic, and one run at toy size."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from networks import small
from PIL import Image

from benchmarks import decoders, positions
from segnet_tf.datasets.split import Split
from segnet_tf.datasets.synthetic import INFO, load
from segnet_tf.errors import UserError
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
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


def test_a_sweep_of_what_is_known():
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


def corners(kind: str, values: np.ndarray) -> np.ndarray:
    """`values` pooled and unpooled in one of the ways."""
    pooled, where = MaxPoolingWithArgmax2D(name="pool")(
        x := keras.Input((None, None, values.shape[-1]))
    )
    y = MaxUnpooling2D()(pooled, where, like=x)
    return positions.unpooling(keras.Model(x, y), kind)(values).numpy()


def test_four_ways_to_unpool(rng):
    x = rng.normal(size=(2, 7, 9, 3)).astype("float32")
    pooled, which = reference.pool(x)
    true = reference.unpool(pooled, which, 7, 9)
    np.testing.assert_array_equal(corners("true", x), true)
    fixed = reference.unpool(pooled, np.zeros_like(which), 7, 9)
    np.testing.assert_array_equal(corners("fixed", x), fixed)
    random = corners("random", x)
    assert (random != true).any() and (random != fixed).any()
    # Wherever it lands inside the image, every value is its own window's.
    even = random[:, :6, :8].reshape(2, 3, 2, 4, 2, 3).sum(axis=(2, 4))
    np.testing.assert_array_equal(even, pooled[:, :3, :4])
    bilinear = tf.image.resize(pooled, (7, 9), "bilinear")
    np.testing.assert_allclose(corners("bilinear", x), bilinear, atol=1e-6)
    with pytest.raises(ValueError, match="kind must be one of"):
        corners("nearest", x)


def test_wrong_positions_survive_saving(tmp_path):
    for kind in ("fixed", "bilinear"):
        model = positions.unpooling(small("segnet_basic"), kind)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        image = np.full((1, 16, 16, 3), 99.0, "float32")
        np.testing.assert_array_equal(again(image), model(image))


def test_the_positions_table(tmp_path):
    run = {"G": 80.0, "C": 60.0, "mIoU": 40.0, "BF": 30.0}
    positions.report({"true": [run, {**run, "BF": 34.0}], "fixed": [run]}, tmp_path)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2] == "| true | 80.0 ± 0.0 | 60.0 ± 0.0 | 40.0 ± 0.0 | 32.0 ± 2.8 |"
    assert lines[3] == "| fixed | 80.0 | 60.0 | 40.0 | 30.0 |"
    assert (tmp_path / "plot.png").is_file()


@pytest.mark.slow
def test_both_benchmarks_at_toy_size(tmp_path, monkeypatch):
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
    monkeypatch.undo()
    command = [
        "positions", "--kinds", "random", "--train-split=train:4",
        "--val-split=val:1", "--epochs=1", "--seeds=1", "--crop=32x48",
        "--batch-size=2", "--output", str(tmp_path / "positions"),
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", command)
    positions.main()
    assert (tmp_path / "positions" / "table.md").read_text().count("\n") == 3


def test_a_crop_that_is_none():
    arguments = SimpleNamespace(crop="32")
    with pytest.raises(UserError, match="--crop: '32' is not HxW"):
        decoders.configuration(arguments, "segnet_basic", 0)
