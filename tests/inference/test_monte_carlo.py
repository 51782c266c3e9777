"""Sampled dropout: values known beforehand, chunks, modes, files; what it shows."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers
from networks import small, street
from PIL import Image

from segnet_tf.commands.predict import predict_files
from segnet_tf.datasets import load
from segnet_tf.datasets.images import resized
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import load_model, save_model
from segnet_tf.inference.monte_carlo import (
    MAPS,
    MonteCarlo,
    sample_bytes,
    write_uncertainty,
)
from segnet_tf.inference.resizing import SCALING, resized_argmax, resized_scores
from segnet_tf.metrics.confusion import Scores, confusion_matrix
from segnet_tf.metrics.reliability import Reliability
from segnet_tf.models import SegNet
from segnet_tf.models.clone import with_pooling_mode
from segnet_tf.training.pixel_loss import PixelLoss


def entropy(p: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(p), 0).sum(axis=-1)


def two_classes(logit: float, rate: float) -> keras.Model:
    """Logits (logit / (1 - rate), 0) where a pixel of 1 is kept, (0, 0) where not."""
    x = image = keras.Input((None, None, 1))
    x = layers.Dropout(rate)(x)
    dense = layers.Conv2D(2, 1, use_bias=False)
    model = keras.Model(image, dense(x))
    dense.kernel.assign(np.reshape([logit, 0], (1, 1, 1, 2)))
    return model


@pytest.mark.parametrize("rate", [0.5, 0.2])
def test_values_of_a_coin_per_pixel(rate):
    result = MonteCarlo(two_classes(1.5, rate), samples=50)(np.ones((40, 50, 1)))
    sure = 1 / (1 + np.exp(-1.5 / (1 - rate)))
    p = rate * 0.5 + (1 - rate) * sure
    assert result.probabilities.shape == (40, 50, 2)
    assert result.probabilities[..., 0].mean() == pytest.approx(p, abs=2e-3)
    pair = np.array([sure, 1 - sure])
    aleatoric = rate * np.log(2) + (1 - rate) * entropy(pair)
    assert result.aleatoric.mean() == pytest.approx(aleatoric, abs=2e-3)
    # 50 samples' own variance, not the coin's: smaller by one fiftieth.
    variance = rate * (1 - rate) * (sure - 0.5) ** 2 * 49 / 50
    assert result.variance.mean() == pytest.approx(variance, rel=0.02)
    # Every pixel tosses its own coin.
    assert result.probabilities[..., 0].std() > 0.01


def test_maps_fit_together():
    images, _ = street(1, 32, 48)
    result = MonteCarlo(small("bayesian_segnet_basic"), samples=6)(images[0])
    assert {getattr(result, name).shape for name in MAPS} == {(32, 48)}
    assert {getattr(result, name).dtype for name in MAPS} == {np.dtype("float32")}
    np.testing.assert_allclose(result.probabilities.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(result.entropy, entropy(result.probabilities), atol=1e-5)
    np.testing.assert_allclose(
        result.entropy, result.aleatoric + result.epistemic, atol=1e-5
    )
    assert result.epistemic.max() > 0.01 and result.variance.max() > 1e-4
    np.testing.assert_array_equal(result.labels, result.probabilities.argmax(-1))


def test_seeds_and_chunks():
    model = small("bayesian_segnet")
    image = street(1, 21, 30)[0][0]
    whole = MonteCarlo(model, samples=5, seed=3)(image)
    again = MonteCarlo(model, samples=5, seed=3)(image)
    singly = MonteCarlo(model, samples=5, seed=3, memory=1)(image)
    other = MonteCarlo(model, samples=5, seed=4)(image)
    for name in ("probabilities", *MAPS):
        expected = getattr(whole, name)
        np.testing.assert_array_equal(getattr(again, name), expected)
        np.testing.assert_allclose(getattr(singly, name), expected, atol=1e-5)
        assert np.abs(getattr(other, name) - expected).max() > 1e-3


def test_an_image_of_which_no_sample_fits_is_sampled_in_tiles():
    keras.utils.set_random_seed(0)
    # So rarely is anything dropped that samples are alike, and tiles comparable.
    model = SegNet(encoder=((4,), (4,), (4,)), dropout=1e-12)
    image = street(1, 128, 160)[0][0]
    whole = MonteCarlo(model, samples=2)
    tiled = MonteCarlo(model, samples=2, memory=sample_bytes(model, (1, 96, 96, 3)))
    assert len(whole._tiles(image)) == 1
    tiles = tiled._tiles(image)
    assert len(tiles) > 1
    for tile in tiles:
        height, width = image[tile.source].shape[:2]
        assert height * width <= 96 * 96
    expected, found = whole(image), tiled(image)
    for name in ("probabilities", *MAPS):
        assert getattr(found, name).shape == getattr(expected, name).shape
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), atol=1e-5
        )


def test_memory_bounds_the_chunk(monkeypatch):
    model = small("fcn32s")
    image = street(1, 32, 32)[0][0]
    one = sample_bytes(model, (1, 32, 32, 3))
    # Cropping handles most: 11 channels in and out beside the image; 4 bytes; twice.
    assert one == 2 * 4 * 32 * 32 * (11 + 3 + 11)
    sampler, sizes = MonteCarlo(model, samples=5, memory=2 * one), []
    draw = sampler._sums

    def counted(batch, keys):
        sizes.append(len(keys))
        return draw(batch, keys)

    sampler._sums = counted
    sampler(image)
    assert sizes == [2, 2, 1]


def test_every_mode_draws_the_same():
    model = small("bayesian_segnet_basic")
    image = street(1, 19, 26)[0][0]
    expected = MonteCarlo(model, samples=3)(image).probabilities
    for mode in ("window", "mask"):
        twin = with_pooling_mode(model, mode)
        found = MonteCarlo(twin, samples=3)(image).probabilities
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_only_dropout_varies():
    images, labels = street(2, 32, 32)
    model = small("bayesian_segnet_basic", dropout=1e-9)
    model.compile("sgd", PixelLoss(), run_eagerly=True)
    model.train_on_batch(images, labels)  # running statistics unlike the batch's
    result = MonteCarlo(model, samples=2)(images[0])
    expected = keras.ops.softmax(model(images[:1], training=False))[0]
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
    assert result.variance.max() < 1e-6


def test_a_loaded_model_samples_alike(tmp_path):
    model = small("bayesian_segnet_basic")
    image = street(1, 16, 24)[0][0]
    expected = MonteCarlo(model, samples=2)(image).probabilities
    save_model(model, tmp_path / "model.keras", INFO)
    loaded = load_model(tmp_path / "model.keras")
    found = MonteCarlo(loaded, samples=2)(image).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_refused():
    with pytest.raises(UserError, match="segnet_basic has no dropout to sample"):
        MonteCarlo(small("segnet_basic"))
    with pytest.raises(UserError, match="samples: 0, must be at least 1"):
        MonteCarlo(small("bayesian_segnet_basic"), samples=0)


def test_dropout_out_of_reach_is_refused():
    inner = keras.Sequential([layers.Conv2D(4, 1), layers.Dropout(0.5)], name="inner")
    x = image = keras.Input((None, None, 3))
    x = layers.Dropout(0.5)(inner(x))
    with pytest.raises(UserError, match="the dropout inside inner cannot be sampled"):
        MonteCarlo(keras.Model(image, x, name="outer"))


def test_files(tmp_path):
    result = MonteCarlo(two_classes(1.0, 0.5), samples=3)(np.ones((12, 20, 1)))
    write_uncertainty(result, (12, 20), tmp_path / "new" / "a.street")
    folder = tmp_path / "new"
    assert {path.name for path in folder.iterdir()} == {
        "a.street_uncertainty.npy",
        "a.street_uncertainty.png",
    }
    maps = np.load(folder / "a.street_uncertainty.npy")
    assert maps.shape == (12, 20, 4) and maps.dtype == np.float32
    for index, name in enumerate(MAPS):
        np.testing.assert_array_equal(maps[..., index], getattr(result, name))
    with Image.open(folder / "a.street_uncertainty.png") as picture:
        assert picture.width == 1000
    write_uncertainty(result, (24, 30), tmp_path / "new" / "a.street")
    maps = np.load(folder / "a.street_uncertainty.npy")
    for index, name in enumerate(MAPS):
        expected = resized_scores(getattr(result, name), (24, 30))
        np.testing.assert_array_equal(maps[..., index], expected)


def test_predict_and_evaluate_with_samples(tmp_path, run_command):
    model = small("bayesian_segnet_basic", filters=8)
    save_model(model, tmp_path / "model.keras", replace(INFO, image_size=(16, 24)))
    image = street(1, 24, 40)[0][0].astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "x.png")
    use = ("--model", "model.keras")
    predict = ("predict.py", "x.png", *use, "--samples=3", "--uncertainty")
    run_command(*predict, cwd=tmp_path)
    names = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert {name for name in names if name.startswith("x_")} == {
        f"x_{name}" for name in (
            "labels.png", "overlay.png", "uncertainty.png", "uncertainty.npy"
        )
    }  # fmt: skip
    with Image.open(tmp_path / "predictions" / "x_labels.png") as labels:
        scaled = resized(image, (15, 25), SCALING)
        mean = MonteCarlo(model, samples=3).probabilities(scaled)
        expected = resized_argmax(mean, (24, 40))
        assert (np.asarray(labels) == expected).mean() > 0.99
    doubts = np.load(tmp_path / "predictions" / "x_uncertainty.npy")
    assert doubts.shape == (24, 40, 4)
    evaluate = ("evaluate.py", *use, "--split=val:1", "--samples=2", "--reliability")
    result = run_command(*evaluate, "--output=e", cwd=tmp_path)
    assert "expected calibration error" in result.stdout
    assert "each the mean of 2 samples" in result.stdout
    found = json.loads((tmp_path / "e" / "reliability.json").read_text())
    image, labels = load("synthetic", "val:1").read(0)
    reliability, mean = Reliability(), MonteCarlo(model, samples=2).probabilities(image)
    reliability.add(labels, mean)
    scores = Scores.from_confusion(confusion_matrix(labels, mean.argmax(-1), 11))
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["samples"] == 2
    for reported in (metrics["mean_iou"], found["mean_iou"]):
        assert reported == pytest.approx(scores.mean_iou, abs=1e-3)
    assert found["expected_calibration_error"] == pytest.approx(
        reliability.error, abs=1e-4
    )
    assert (tmp_path / "e" / "reliability.png").is_file()
    # What would be written over is refused before anything is.
    Image.fromarray(image).save(tmp_path / "predictions" / "x_uncertainty.png")
    clash = ("predict.py", "--overwrite", *predict[1:])
    result = run_command(*clash, cwd=tmp_path, check=False)
    assert result.returncode == 2 and "x_uncertainty.png" in result.stderr
    with Image.open(tmp_path / "predictions" / "x_uncertainty.png") as kept:
        np.testing.assert_array_equal(np.asarray(kept), image)


def test_sampling_loads_a_model_once(tmp_path, monkeypatch):
    save_model(small("bayesian_segnet_basic"), tmp_path / "model.keras", INFO)
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    load, loaded = keras.models.load_model, []

    def counted(path, **options):
        loaded.append(path)
        return load(path, **options)

    monkeypatch.setattr(keras.models, "load_model", counted)
    model, image = str(tmp_path / "model.keras"), str(tmp_path / "x.png")
    predict_files([image], model, tmp_path / "out", samples=2)
    assert (tmp_path / "out" / "x_labels.png").is_file() and len(loaded) == 1


def test_samples_of_a_network_without_dropout(tmp_path, run_command):
    save_model(small("segnet_basic"), tmp_path / "model.keras", INFO)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.png")
    result = run_command(
        "predict.py", "x.png", "--model", "model.keras", "--uncertainty",
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert "error: segnet_basic has no dropout to sample" in result.stderr
    assert not (tmp_path / "predictions").exists()
    for samples, message in (("4", "no dropout to sample"), ("-3", "--samples: -3")):
        result = run_command(
            "evaluate.py", "--model", "model.keras", f"--samples={samples}",
            cwd=tmp_path, check=False,
        )  # fmt: skip
        assert result.returncode == 2 and message in result.stderr
    assert not (tmp_path / "evaluations").exists()


UNSEEN = INFO.classes.index("Car")


@pytest.fixture(scope="module")
def street_without_cars():
    """A network that never had a car in its loss, new scenes, and its doubts there."""
    from segnet_tf.datasets.synthetic import draw_scene

    def scenes(seed, count):
        drawn = [draw_scene(seed, index, 48, 64) for index in range(count)]
        images, labels = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return images.astype(np.float32), labels

    images, labels = scenes(5, 48)
    labels = np.where(labels == UNSEEN, 255, labels)
    model = small("bayesian_segnet_basic", filters=12)
    steps = 480
    rate = keras.optimizers.schedules.CosineDecay(1e-2, steps)
    model.compile(keras.optimizers.Adam(rate), PixelLoss())
    model.fit(images, labels, batch_size=4, epochs=steps // 12, verbose=0)
    images, labels = scenes(6, 16)
    sampler = MonteCarlo(model, samples=20)
    return labels, [sampler(image) for image in images]


def near_boundaries(labels: np.ndarray) -> np.ndarray:
    """True within two pixels of another class: bool (H, W)."""
    edge = np.zeros(labels.shape, bool)
    edge[:-1] |= labels[:-1] != labels[1:]
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    grown = np.zeros_like(edge)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            grown |= np.roll(edge, (dy, dx), (0, 1))
    return grown


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("place", ["boundaries", "the class never seen"])
def test_doubt_is_where_it_belongs(street_without_cars, place, name):
    labels, results = street_without_cars
    values = np.stack([getattr(result, name) for result in results])
    edges = np.stack([near_boundaries(image) for image in labels])
    seen = (labels != 255) & (labels != UNSEEN)
    # Cars' outlines are boundaries too: their insides alone are compared.
    doubtful = seen & edges if place == "boundaries" else (labels == UNSEEN) & ~edges
    ratio = values[doubtful].mean() / values[seen & ~edges].mean()
    print(f"{name}: {ratio:.2f} times as high on {place}")
    assert ratio > 1.5
