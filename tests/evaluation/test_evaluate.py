"""A sweep over a split: pooled scores, each image's own, and pictures of both ends."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.errors import UserError
from segnet_tf.evaluation.evaluate import (
    best_and_worst,
    best_worst_sheet,
    evaluate,
    score_table,
    write_metrics,
)
from segnet_tf.evaluation.plots import draw_confusion
from segnet_tf.export.savedmodel import export_savedmodel
from segnet_tf.export.tflite import export_tflite
from segnet_tf.inference.predictor import Predictor
from segnet_tf.metrics.boundary import boundary_f1, per_class_boundary_f1
from segnet_tf.metrics.confusion import Scores, confusion_matrix
from segnet_tf.metrics.reliability import Reliability

INFO = DatasetInfo(
    "toy", ("left", "right", "nowhere"), ((200, 0, 0), (0, 200, 0), (0, 0, 200))
)
SHARES = (0.5, 0.0, 0.9, 0.2, 0.7)
"""How much of the right half each image shows as left."""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Reads the class off the blue channel: 80 a class, whichever is nearest."""
    images = keras.Input((None, None, 3))
    head = keras.layers.Conv2D(3, 1)
    model = keras.Model(images, head(images))
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[..., 2, :] = [0, 160, 320]
    head.set_weights([kernel, -(np.array([0.0, 80.0, 160.0], np.float32) ** 2)])
    return model


def example(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, labels, and what the model sees in it."""
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 30:] = 1
    shown = labels.copy()
    shown[: round(40 * share), 30:] = 0
    image = np.full((40, 60, 3), 100, np.uint8)
    image[..., 2] = 80 * shown
    labels[:3] = 255
    return image, labels, shown


@pytest.fixture(scope="module")
def split() -> Split:
    names = tuple(f"{share:.1f}.png" for share in SHARES)
    return Split(INFO, "val", names, lambda index: example(SHARES[index])[:2])


@pytest.fixture(scope="module")
def evaluation(model, split):
    return evaluate(model, split)


def test_a_split_with_groups_has_their_scores(model, split, tmp_path):
    """Half of the pixels of "right" say only that they are right or nowhere."""

    def read(index):
        image, labels, _ = example(SHARES[index])
        labels[labels == 1] = np.where(np.arange((labels == 1).sum()) % 2, 1, 3)
        return image, labels

    coarse = replace(split, read=read, groups=((1, 2),))
    assert coarse.labels.classes == ("left", "right", "nowhere", "right or nowhere")
    assert coarse.labels.colours[3] == (0, 100, 100)
    found = evaluate(model, coarse)
    fine = evaluate(model, split)
    assert found.confusion.shape == (4, 3)
    cells = found.confusion.copy()
    cells[1] += cells[3]
    np.testing.assert_array_equal(cells[:3], fine.confusion)
    assert np.isnan(found.boundary_f1s).all()
    recall = found.scores.per_class_accuracy
    np.testing.assert_allclose(recall[3], recall[1], atol=0.02)
    assert "right or nowhere" in score_table(found, coarse.labels.classes)
    write_metrics(tmp_path / "metrics.json", found, coarse, "model.keras")
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert scores["per_class_iou"]["right or nowhere"] == found.scores.per_class_iou[3]
    draw_confusion(found.confusion, coarse.labels.classes, tmp_path / "confusion.png")
    assert best_worst_sheet(model, coarse, found, 1).size[0] > 100


def test_pooled_and_single_scores(evaluation):
    total = 0
    for index, share in enumerate(SHARES):
        _, labels, shown = example(share)
        cells = confusion_matrix(labels, shown, 3)
        single = Scores.from_confusion(cells).mean_iou
        assert evaluation.image_mean_ious[index] == pytest.approx(single)
        np.testing.assert_allclose(
            evaluation.boundary_f1s[index], per_class_boundary_f1(labels, shown, 3)
        )
        total = total + cells
    np.testing.assert_array_equal(evaluation.confusion, total)
    assert evaluation.scores.mean_iou == Scores.from_confusion(total).mean_iou


def test_boundary_f1_is_averaged_as_in_the_paper(evaluation):
    images = [boundary_f1(*example(share)[1:], 3) for share in SHARES]
    assert 0 < evaluation.boundary_f1 < 1
    assert evaluation.boundary_f1 == pytest.approx(np.mean(images))
    left, right, nowhere = evaluation.per_class_boundary_f1
    assert 0 < left < 1 and 0 < right < 1 and np.isnan(nowhere)


def test_metrics_and_table_hold_boundary_f1(evaluation, split, tmp_path):
    write_metrics(tmp_path / "metrics.json", evaluation, split, "x.keras")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["boundary_f1"] == evaluation.boundary_f1
    assert metrics["per_class_boundary_f1"]["nowhere"] is None
    assert metrics["per_class_boundary_f1"]["left"] < 1
    assert metrics["images"] == 5 and metrics["mean_iou"] > 0
    lines = score_table(evaluation, INFO.classes).splitlines()
    assert lines[0].split() == ["class", "accuracy", "IoU", "BF"]
    boundary = f"{100 * evaluation.per_class_boundary_f1[0]:.1f}"
    assert lines[1].split()[0] == "left" and lines[1].split()[-1] == boundary
    assert "absent" in lines[3]
    assert f"boundary F1 {100 * evaluation.boundary_f1:.1f}" in lines[4]


def test_files_of_other_forms_have_the_same_scores(model, split, evaluation, tmp_path):
    export_tflite(model, tmp_path / "m.tflite", INFO, (40, 60))
    export_tflite(model, tmp_path / "ids.tflite", INFO, (40, 60), result="labels")
    export_savedmodel(model, tmp_path / "1", INFO)
    for name in ("m.tflite", "ids.tflite", "1"):
        opened = Predictor(tmp_path / name, native=True)
        reliability = None if name == "ids.tflite" else Reliability()
        found = evaluate(opened, split, reliability=reliability)
        assert (found.confusion == evaluation.confusion).all()
        assert reliability is None or reliability.count.sum() > 0
        assert best_worst_sheet(opened, split, found).width > 100
    with pytest.raises(UserError, match="gives labels, no probabilities"):
        evaluate(opened_ids := Predictor(tmp_path / "ids.tflite"), split,
            reliability=Reliability())  # fmt: skip
    assert opened_ids.num_classes == 3
    other = replace(split, info=replace(INFO, classes=("a",), colours=((0, 0, 0),)))
    with pytest.raises(UserError, match="predicts 3 classes, but toy has 1"):
        evaluate(opened_ids, other)


def test_images_are_ranked_by_their_own_score(evaluation):
    best, worst = best_and_worst(evaluation.image_mean_ious, 2)
    assert [SHARES[index] for index in best] == [0.0, 0.2]
    assert [SHARES[index] for index in worst] == [0.7, 0.9]


@pytest.mark.parametrize(
    "scores, count, best, worst",
    [
        ([0.1], 4, [0], []),
        ([0.1, 0.9, 0.5], 4, [1, 2], [0]),
        ([0.1, np.nan, 0.9], 1, [2], [0]),
        ([np.nan], 3, [], []),
    ],
)
def test_ranking_of_few_images(scores, count, best, worst):
    assert best_and_worst(np.array(scores), count) == (best, worst)


def test_the_sheet_shows_the_best_first(model, split, monkeypatch):
    evaluation = evaluate(model, split)
    monkeypatch.setattr(tf, "function", lambda **_: pytest.fail("traced again"))
    sheet = best_worst_sheet(model, split, evaluation, count=1)
    pixels = np.asarray(sheet)
    # Two rows of 320x213 under captions; the fourth picture of each marks errors.
    rows = [pixels[top : top + 213, 3 * 324 : 3 * 324 + 320] for top in (40, 273)]
    wrong = [(row == (220, 20, 60)).all(axis=-1).mean() for row in rows]
    # Of the worst, 0.9 of the right half less the void rows at the top.
    assert wrong[0] == 0 and wrong[1] == pytest.approx((36 - 3) / 40 / 2, abs=0.01)


def test_reliability_is_gathered_in_the_same_sweep(model, split, evaluation):
    reads = []

    def read(index):
        reads.append(index)
        return split.read(index)

    reliability = Reliability()
    found = evaluate(model, replace(split, read=read), reliability=reliability)
    assert sorted(reads) == list(range(len(SHARES)))
    np.testing.assert_array_equal(found.confusion, evaluation.confusion)
    expected = Reliability()
    for index in range(len(SHARES)):
        image, labels = split.read(index)
        logits = model(image[None].astype(np.float32))[0]
        expected.add(labels, tf.nn.softmax(logits).numpy())
    np.testing.assert_array_equal(reliability.count, expected.count)
    np.testing.assert_array_equal(reliability.hits, expected.hits)


def test_other_probabilities_are_scored_in_place_of_the_models(model, split):
    def always_right(image):
        return np.eye(3, dtype=np.float32)[np.ones(image.shape[:2], int)]

    found = evaluate(model, split, always_right)
    assert found.scores.per_class_accuracy[:2].tolist() == [0.0, 1.0]
    sheet = best_worst_sheet(model, split, found, 1, always_right)
    assert min(sheet.size) > 100
