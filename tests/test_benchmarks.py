"""The benchmarks' own arithmetic, and one run at toy size."""

import os
import subprocess
import sys
from inspect import signature

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from conftest import ROOT
from networks import small
from PIL import Image

from benchmarks import decoders, positions, robustness, smaller, trials
from segnet_tf import datasets
from segnet_tf.config import TrainConfig
from segnet_tf.datasets.split import DatasetInfo, Split
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.files import write_json
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models import SegNetLite
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
    results = {"true": [run, {**run, "BF": 34.0}], "fixed": [run]}
    positions.report(results, tmp_path, "")
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2] == "| true | 80.0 ± 0.0 | 60.0 ± 0.0 | 40.0 ± 0.0 | 32.0 ± 2.8 |"
    assert lines[3] == "| fixed | 80.0 | 60.0 | 40.0 | 30.0 |"
    assert (tmp_path / "plot.png").is_file()


def toy_command(name: str, folder, *flags) -> list[str]:
    return [
        name, "--dataset=folder", f"--data-dir={folder / 'streets'}", "--filters=8",
        "--epochs=1", "--seeds=1", "--crop=32x48", "--batch-size=2",
        f"--output={folder / name}", *flags,
    ]  # fmt: skip


@pytest.mark.slow
def test_both_benchmarks_at_toy_size(tmp_path, monkeypatch, capsys):
    command = ["smaller", str(tmp_path / "streets"), "--size=32x48"]
    monkeypatch.setattr("sys.argv", [*command, "--train=4", "--val=2"])
    smaller.main()
    models = ("--models", "basic_bilinear", "basic_single_channel_decoder")
    sizes = ("--height=32", "--width=48", "--repeats=1")
    command = toy_command("decoders", tmp_path, *models, *sizes)
    monkeypatch.setattr("sys.argv", command)
    decoders.main()
    first = (tmp_path / "decoders" / "table.md").read_text()
    assert first.count("\n|") == 4 and "not measured" not in first
    assert "2 images of 32x48, after 1 passes over 4 images of 32x48" in first
    assert "8 filters" in first and "python -m benchmarks.decoders --dataset" in first
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


def test_small_scenes_as_a_folder(tmp_path, monkeypatch):
    folder = tmp_path / "streets"
    command = ["smaller", str(folder), "--size=32x48", "--train=3", "--val=2"]
    monkeypatch.setattr("sys.argv", command)
    smaller.main()
    train, val = (datasets.load("folder", name, folder) for name in ("train", "val"))
    assert (len(train), len(val)) == (3, 2)
    assert train.info.classes == INFO.classes and train.info.colours == INFO.colours
    for index, (image, labels) in enumerate(val):
        expected = draw_scene(1, index, 32, 48)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(labels, expected[1])
    with pytest.raises(UserError, match="already there"):
        smaller.main()


def test_other_data_made_small():
    image = np.zeros((4, 6, 3), np.uint8)
    image[::2] = 100
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    small_image, small_labels = smaller.resized(image, labels, (2, 3))
    assert (small_image == 50).all()  # the mean of a block
    assert small_labels.shape == (2, 3) and np.isin(small_labels, labels).all()


def test_a_size_that_is_none():
    assert smaller.parsed_size("--crop", "32x48") == (32, 48)
    with pytest.raises(UserError, match="--crop: '32' is not HxW"):
        smaller.parsed_size("--crop", "32")


@pytest.mark.parametrize("script", ["benchmarks/decoders.py", "docs/figures.py"])
def test_run_by_its_path(tmp_path, script):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / script), "--help"]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "usage:" in result.stdout


def test_figures_name_what_has_to_be_trained(tmp_path, monkeypatch):
    from docs import figures

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="benchmarks.decoders .*--models segnet_basic"):
        figures.shifts_picture()


def test_corruptions_and_their_score():
    labels = np.indices((40, 60)).sum(axis=0).astype(np.uint8) // 25
    image = np.repeat(60 * labels[..., None], 3, axis=-1)
    info = DatasetInfo("bands", tuple("abcd"), ((0, 0, 0),) * 4)
    split = Split(info, "all", ("only",), lambda index: (image, labels))

    class Brightness:
        """Knows the bands by how bright they are."""

        def labels(self, image):
            return np.clip(np.rint(image[..., 0] / 60), 0, 3).astype(np.uint8)

    scores = {
        name: robustness.score(Brightness(), split, corrupt).mean_iou
        for name, corrupt in robustness.CORRUPTIONS.items()
    }
    assert scores["none"] == scores["grey"] == 1
    assert scores["dark, a third of the light"] < scores["blur, radius 2"] < 1
    assert 0.8 < scores["half the size"] < scores["twice the size"] <= 1
    picture = Image.fromarray(image)
    sizes = [corrupt(picture, 0).size for corrupt in robustness.CORRUPTIONS.values()]
    assert sizes.count((60, 40)) == 7 and {(30, 20), (120, 80)} < set(sizes)
    noises = [np.asarray(robustness.noisy(picture, index)) for index in (0, 0, 1)]
    assert np.array_equal(noises[0], noises[1])
    assert not np.array_equal(noises[0], noises[2])


@pytest.mark.parametrize("name", trials.TRIALS)
def test_trials_are_valid_runs(name):
    options, network = trials.TRIALS[name]
    TrainConfig(**{**trials.REFERENCE, **options})
    if not callable(network):
        signature(SegNetLite).bind(11, **network)


def test_bilinear_trial_interpolates():
    model = trials.bilinear(3, "window", None)
    kinds = {type(layer).__name__ for layer in model.layers}
    assert "MaxUnpooling2D" not in kinds
    assert model(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 32, 32, 3)


def test_the_table_of_trials(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trials, "RESULTS", tmp_path / "trials")
    part = {"mean_iou": 0.5, "boundary_f1": 0.25}
    part["per_class_iou"] = dict.fromkeys(INFO.classes, 0.125)
    part["per_class_iou"]["Bicyclist"] = None
    for name, score in (("worse", 0.25), ("better", 0.75)):
        trial = {"name": name, "seed": 1, "epochs": 35}
        row = {"score": score, "unseen": part, "seen": part, "trial": trial}
        write_json(tmp_path / "trials" / f"{name}-35-1.json", row)
    trials.write_table()
    lines = (tmp_path / "trials.md").read_text().splitlines()
    values = ["75.0", "50.0", "50.0", "25.0", *3 * ["12.5"], "0.0"]
    assert lines[2] == f"| better | 35 | 1 | {' | '.join(values)} |"
    assert lines[3].startswith("| worse | 35 | 1 | 25.0 |")
    assert capsys.readouterr().out.splitlines() == lines
