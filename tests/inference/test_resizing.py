"""Images of other sizes than training's: scaled there, and their answers back."""

from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
from PIL import Image

from segnet_tf.datasets.dataset import DatasetInfo, Split, typical_size
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.evaluation.evaluate import evaluate
from segnet_tf.export.describe import describe
from segnet_tf.export.tflite import export_tflite
from segnet_tf.inference.labels_json import dataset_info
from segnet_tf.inference.model_file import load_model, read_labels, save_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.inference.resizing import (
    resized_argmax,
    resized_scores,
    resized_strips,
    working_size,
)
from segnet_tf.metrics.reliability import Reliability
from segnet_tf.models import SegNetBasic

TRAINED = 48, 64


@pytest.mark.parametrize(
    "size, expected",
    [
        ((48, 64), (48, 64)),
        ((50, 70), (50, 70)),
        ((64, 48), (64, 48)),
        ((48, 52), (48, 52)),
        ((48, 50), (54, 57)),
        ((60, 63), (60, 63)),
        ((60, 66), (53, 58)),
        ((96, 128), (48, 64)),
        ((24, 32), (48, 64)),
        ((128, 96), (64, 48)),
        ((1, 1), (55, 55)),
        ((3072, 1), (3072, 1)),
        ((1, 30720), (1, 9715)),
    ],
)
def test_as_many_pixels_as_in_training(size, expected):
    assert working_size(size, TRAINED) == expected
    assert working_size(size, None) == size


def bilinear(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Between pixel centres, the border repeated: plain loops."""
    result = np.empty((*size, *scores.shape[2:]))
    for row, column in np.ndindex(*size):
        y = np.clip((row + 0.5) * scores.shape[0] / size[0] - 0.5, 0, None)
        x = np.clip((column + 0.5) * scores.shape[1] / size[1] - 0.5, 0, None)
        top, left = int(y), int(x)
        total = 0
        for i, weight in ((top, 1 - y + top), (top + 1, y - top)):
            for j, part in ((left, 1 - x + left), (left + 1, x - left)):
                i_, j_ = min(i, scores.shape[0] - 1), min(j, scores.shape[1] - 1)
                total = total + weight * part * scores[i_, j_]
        result[row, column] = total
    return result


@pytest.mark.parametrize("size", [(5, 7), (10, 14), (13, 16), (5, 9)])
def test_enlarged_against_loops(rng, size):
    scores = rng.normal(size=(5, 7, 3)).astype(np.float32)
    found = resized_scores(scores, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, bilinear(scores, size), atol=1e-5)
    np.testing.assert_array_equal(resized_scores(scores[..., 1], size), found[..., 1])
    np.testing.assert_array_equal(resized_argmax(scores, size), found.argmax(-1))


def test_argmax_takes_the_first_of_equals():
    assert not resized_argmax(np.zeros((2, 2, 3), np.float32), (4, 4)).any()


def scores_with_areas(rng, height: int, width: int, classes: int) -> np.ndarray:
    """Scores with one winner in large areas, and with doubt at their borders."""
    areas = rng.integers(0, classes, (height // 6 + 1, width // 6 + 1))
    winners = areas.repeat(6, axis=0).repeat(6, axis=1)[:height, :width]
    scores = rng.normal(size=(height, width, classes)).astype(np.float32)
    return scores + 4 * (winners[..., None] == np.arange(classes))


@pytest.mark.parametrize(
    "source, size",
    [
        ((37, 53), (111, 159)),
        ((37, 53), (38, 54)),
        ((30, 41), (251, 90)),
        ((5, 90), (7, 1000)),
        ((90, 5), (1000, 5)),
        ((1, 1), (40, 30)),
        ((40, 30), (40, 20)),
        ((40, 30), (20, 60)),
    ],
)
@pytest.mark.parametrize("classes", [1, 2, 11])
def test_argmax_by_blocks_is_that_of_the_whole(rng, source, size, classes):
    scores = scores_with_areas(rng, *source, classes)
    expected = resized_scores(scores, size).argmax(-1)
    found = resized_argmax(scores, size)
    assert found.dtype == np.uint8 and found.shape == size
    # Pillow rounds places in a block otherwise than in the whole.
    assert (found != expected).mean() <= 1e-4


@pytest.mark.parametrize("size", [(111, 159), (37, 53), (20, 90), (1, 1)])
def test_strips_are_the_whole(rng, size):
    scores = scores_with_areas(rng, 37, 53, 3)
    strips = list(resized_strips(scores, size, rows=8))
    assert all(len(strip) <= 8 for strip in strips)
    np.testing.assert_allclose(
        np.concatenate(strips), resized_scores(scores, size), atol=1e-4
    )


def test_a_class_that_wins_between_pixels_is_found():
    """Class 2 is second at each pixel, and first half-way between two."""
    scores = np.array([[[4, 0, 3], [0, 4, 3]]], np.float32)
    assert set(resized_argmax(scores, (1, 20))[0]) == {0, 1, 2}


def test_typical_size_is_the_median():
    sizes = [(10, 20), (30, 60), (12, 24)]

    def read(index):
        return np.zeros((*sizes[index], 3), np.uint8), np.zeros(sizes[index], np.uint8)

    info = DatasetInfo("mixed", ("a",), ((0, 0, 0),))
    assert typical_size(Split(info, "all", ("x", "y", "z"), read)) == (12, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of scenes of 48x64, as .keras and .tflite, one of them of one size."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("scaled")
    model = SegNetBasic(filters=8)
    info = replace(INFO, image_size=TRAINED)
    save_model(model, path / "model.keras", info)
    export_tflite(model, path / "model.tflite", info, size=TRAINED)
    export_tflite(model, path / "labels.tflite", info, size=TRAINED, result="labels")
    export_tflite(model, path / "odd.tflite", info, size=(101, 131))
    return path


@pytest.mark.parametrize("name", ["model.keras", "model.tflite"])
def test_a_large_picture_is_seen_as_in_training(folder, name):
    predictor = Predictor(folder / name)
    assert predictor.info.image_size == read_labels(folder / "model.keras").image_size
    image, _ = draw_scene(0, 0, *TRAINED)
    # Each pixel four times: scaled back, it is the same picture but for rounding.
    large = image.repeat(4, axis=0).repeat(4, axis=1)
    scaled = predictor.scaled(large)
    assert scaled.shape == image.shape
    labels = predictor.labels(large)
    assert labels.shape == (192, 256) and labels.dtype == np.uint8
    scores = predictor.logits(scaled)
    np.testing.assert_array_equal(labels, resized_argmax(scores, (192, 256)))
    np.testing.assert_allclose(
        predictor.logits(large), resized_scores(scores, (192, 256)), atol=1e-5
    )
    sums = predictor.probabilities(large).sum(axis=-1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)
    native = Predictor(folder / name, native=True)
    assert native.scaled(large) is large
    assert (native.labels(large) != labels).any()
    close = np.asarray(Image.fromarray(image).resize((60, 50)))
    np.testing.assert_array_equal(predictor.labels(close), native.labels(close))


def test_labels_of_a_file_are_enlarged_too(folder):
    image, _ = draw_scene(0, 0, 96, 128)
    predictor = Predictor(folder / "labels.tflite")
    small = Predictor(folder / "labels.tflite", native=True).labels(
        predictor.scaled(image)
    )
    expected = small.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(predictor.labels(image), expected)


def test_a_file_of_one_size_gets_images_of_that_size(folder):
    image, _ = draw_scene(0, 0, 101, 131)
    predictor = Predictor(folder / "odd.tflite")
    assert predictor.info.image_size is None
    native = Predictor(folder / "model.keras", native=True)
    assert (predictor.labels(image) == native.labels(image)).mean() > 0.999
    description = describe(folder / "odd.tflite")
    assert "exactly this size" in description and "trained on" not in description
    assert "images of 48x64: scale others" in describe(folder / "model.tflite")


def test_what_is_scaled_down_is_smoothed(folder):
    checks = np.indices((192, 256)).sum(axis=0).astype(np.uint8) % 2 * 255
    scaled = Predictor(folder / "model.tflite").scaled(np.stack([checks] * 3, axis=-1))
    np.testing.assert_allclose(scaled[1:-1, 1:-1], 127.5, atol=2)


def test_confidence_is_judged_at_the_size_that_scores_are(folder):
    image, _ = draw_scene(0, 0, 96, 128)
    labels = np.zeros((96, 128), np.uint8)
    split = Split(INFO, "val", ("x",), lambda index: (image, labels))
    found, expected, scaled = (Reliability() for _ in range(3))
    evaluate(load_model(folder / "model.keras"), split, reliability=found)
    for reliability, native in ((expected, True), (scaled, False)):
        predictor = Predictor(folder / "model.keras", native=native)
        reliability.add(labels, predictor.probabilities(image))
    np.testing.assert_allclose(found.confidence, expected.confidence, rtol=1e-5)
    assert np.abs(found.confidence - scaled.confidence).max() > 1


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (5, 5), (5, 5, 4), (5, 5, 0)])
def test_what_is_no_image_of_ours(folder, shape, native):
    predictor = Predictor(folder / "model.tflite", native=native)
    for answer in (predictor.labels, predictor.logits, predictor.probabilities):
        with pytest.raises(UserError, match=r"takes images \(height, width, 3\)"):
            answer(np.zeros(shape, np.uint8))


def test_a_size_may_be_missing():
    labels = asdict(replace(INFO, image_size=None))
    assert dataset_info(labels).image_size is None
    del labels["image_size"]
    assert dataset_info(labels).image_size is None
