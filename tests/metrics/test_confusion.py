"""Confusion matrix and scores against plain loops."""

import json

import keras
import numpy as np
import pytest

from segnet_tf.metrics.confusion import MeanIoU, Scores, confusion_matrix


def reference_confusion(labels, predictions, num_classes, ignore_label=255):
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for label, prediction in zip(
        labels.reshape(-1), predictions.reshape(-1), strict=True
    ):
        if label != ignore_label:
            matrix[label, prediction] += 1
    return matrix


def reference_mean_iou(labels, predictions, num_classes) -> float:
    ious = []
    for index in range(num_classes):
        true = (labels == index) & (labels != 255)
        predicted = (predictions == index) & (labels != 255)
        if true.any():
            ious.append((true & predicted).sum() / (true | predicted).sum())
    return float(np.mean(ious))


@pytest.fixture
def example(rng):
    """Labels with void, and class 4 predicted though the ground truth never has it."""
    labels = rng.integers(0, 4, (2, 9, 7)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.2] = 255
    logits = rng.normal(size=(2, 9, 7, 5)).astype(np.float32)
    return labels, logits


def test_confusion_matrix(example):
    labels, logits = example
    predictions = logits.argmax(-1)
    matrix = confusion_matrix(labels, predictions, 5)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, reference_confusion(labels, predictions, 5))


def test_scores_of_labels_that_stand_for_several_classes(rng):
    """Against a plain loop: groups share class 2, and class 3 is in none."""
    groups = ((0, 2), (1, 2))
    labels = rng.integers(0, 6, (40, 50)).astype(np.uint8)
    labels[labels == 1] = 255
    predictions = rng.integers(0, 4, labels.shape)
    sets = [{0}, {1}, {2}, {3}, *map(set, groups)]
    matrix = confusion_matrix(labels, predictions, 4, num_groups=2)
    assert matrix.shape == (6, 4)
    scores = Scores.from_confusion(matrix, groups)
    right = 0
    for label, allowed in enumerate(sets):
        hits = misses = wrong = 0
        for true, predicted in zip(labels.ravel(), predictions.ravel(), strict=True):
            if true == label:
                hits += predicted in allowed
                misses += predicted not in allowed
            elif true != 255:
                wrong += predicted in allowed and predicted not in sets[true]
        right += hits
        if label == 1:
            assert np.isnan(scores.per_class_iou[label])
            continue
        np.testing.assert_allclose(
            scores.per_class_iou[label], hits / (hits + misses + wrong)
        )
        np.testing.assert_allclose(
            scores.per_class_accuracy[label], hits / (hits + misses)
        )
    np.testing.assert_allclose(scores.mean_iou, np.nanmean(scores.per_class_iou))
    np.testing.assert_allclose(scores.global_accuracy, right / (labels != 255).sum())


def test_the_metric_leaves_groups_out(rng):
    labels = rng.integers(0, 6, (2, 9, 7)).astype(np.uint8)
    logits = rng.normal(size=(2, 9, 7, 4)).astype(np.float32)
    metric = MeanIoU(4)
    metric.update_state(labels, logits)
    exact = np.where(labels < 4, labels, 255)
    expected = confusion_matrix(exact, logits.argmax(-1), 4)
    np.testing.assert_array_equal(metric.confusion, expected)


@pytest.mark.parametrize(
    "labels, predictions, message",
    [
        ([[5]], [[0]], "label"),
        ([[0]], [[5]], "prediction"),
        ([[0]], [[0, 0]], "labels"),
    ],
)
def test_confusion_matrix_refuses(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(labels), np.array(predictions), 5)


def test_scores_leave_out_absent_classes(example):
    labels, logits = example
    predictions = logits.argmax(-1)
    assert (predictions[labels != 255] == 4).any()
    scores = Scores.from_confusion(confusion_matrix(labels, predictions, 5))
    valid = labels != 255
    assert scores.global_accuracy == (labels == predictions)[valid].mean()
    assert scores.mean_iou == pytest.approx(reference_mean_iou(labels, predictions, 5))
    recalls = [(predictions[labels == index] == index).mean() for index in range(4)]
    assert scores.class_accuracy == pytest.approx(np.mean(recalls))
    assert np.isnan(scores.per_class_iou[4])
    content = json.loads(json.dumps(scores.as_dict(tuple("abcde"))))
    assert content["per_class_iou"]["e"] is None
    assert content["mean_iou"] == scores.mean_iou


def test_scores_of_nothing():
    scores = Scores.from_confusion(np.zeros((3, 3), np.int64))
    assert (scores.global_accuracy, scores.mean_iou) == (0.0, 0.0)


def test_counts_beyond_float32():
    matrix = np.array([[2**24 + 1, 0], [1, 2**40]], np.int64)
    scores = Scores.from_confusion(matrix)
    assert scores.per_class_iou[0] == (2**24 + 1) / (2**24 + 2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_keras_metric_agrees_over_batches(example, jit_compile):
    import tensorflow as tf

    labels, logits = example
    metric = MeanIoU(5)
    update = tf.function(metric.update_state, jit_compile=jit_compile)
    for label, logit in zip(labels, logits, strict=True):
        update(label[None], logit[None])
    predictions = logits.argmax(-1)
    expected = reference_mean_iou(labels, predictions, 5)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    assert metric.scores().mean_iou == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(
        metric.confusion.numpy(), reference_confusion(labels, predictions, 5)
    )
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_keras_metric_survives_serialisation():
    metric = MeanIoU(7, ignore_label=9, name="iou")
    twin = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(metric)
    )
    assert twin.get_config() == metric.get_config()
