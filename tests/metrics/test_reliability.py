"""Reliability against plain loops, and its picture."""

import numpy as np
import pytest
from PIL import Image

from segnet_tf.evaluation.plots import draw_reliability
from segnet_tf.metrics.reliability import Reliability


def reference(labels, probabilities, bins, ignore_label):
    """(pixels, sum of confidence, hits) of every bin, and the error, by loops."""
    rows = [[0, 0.0, 0] for _ in range(bins)]
    for index in np.ndindex(labels.shape):
        if labels[index] == ignore_label:
            continue
        confidence = float(max(probabilities[index]))
        predicted = list(probabilities[index]).index(max(probabilities[index]))
        row = rows[min(int(confidence * bins), bins - 1)]
        row[0] += 1
        row[1] += confidence
        row[2] += int(predicted == labels[index])
    total = sum(row[0] for row in rows)
    error = 0.0
    for pixels, confidence, hits in rows:
        if pixels:
            error += pixels / total * abs(hits / pixels - confidence / pixels)
    return rows, error


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_bins_and_error_are_the_reference(rng, bins):
    labels = rng.integers(0, 4, (2, 9, 7))
    labels[rng.random(labels.shape) < 0.2] = 255
    probabilities = rng.dirichlet((0.3,) * 4, labels.shape).astype(np.float32)
    probabilities[0, 0, 0] = (0, 1, 0, 0)  # the end of the last bin
    labels[0, 0, 0] = 1
    reliability = Reliability(bins)
    for part in zip(labels, probabilities, strict=True):  # image by image
        reliability.add(*part)
    rows, error = reference(labels, probabilities, bins, 255)
    np.testing.assert_array_equal(reliability.count, [row[0] for row in rows])
    np.testing.assert_allclose(reliability.confidence, [row[1] for row in rows])
    np.testing.assert_array_equal(reliability.hits, [row[2] for row in rows])
    assert reliability.error == pytest.approx(error)
    described = reliability.as_dict()
    assert described["expected_calibration_error"] == reliability.error
    assert sum(row["pixels"] for row in described["bins"]) == (labels != 255).sum()


def test_calibrated_by_construction_has_no_error(rng):
    confidence = rng.uniform(0.5, 1, 200_000)
    labels = (rng.random(confidence.shape) > confidence).astype(int)
    reliability = Reliability()
    reliability.add(labels, np.stack([confidence, 1 - confidence], axis=-1))
    assert reliability.error < 0.005


def test_nothing_seen_is_no_error():
    reliability = Reliability()
    reliability.add(np.full((2, 2), 255), np.ones((2, 2, 1)))
    assert reliability.error == 0.0
    assert reliability.as_dict()["bins"] == []


def test_what_is_refused():
    shapes = r"labels \(2, 3\) and probabilities \(3, 2, 4\)"
    with pytest.raises(ValueError, match=shapes):
        Reliability().add(np.zeros((2, 3), int), np.zeros((3, 2, 4)))
    with pytest.raises(ValueError, match="not probabilities"):
        Reliability().add(np.zeros((1, 1), int), np.array([[[7.0, -3.0]]]))
    with pytest.raises(ValueError, match="not probabilities"):
        Reliability().add(np.zeros((1, 1), int), np.array([[[np.nan, 0.5]]]))


@pytest.mark.parametrize("seen", [True, False])
def test_the_diagram(tmp_path, rng, seen):
    reliability = Reliability()
    if seen:
        probabilities = rng.dirichlet((0.3,) * 4, (8, 8))
        reliability.add(rng.integers(0, 4, (8, 8)), probabilities)
    draw_reliability(reliability, tmp_path / "reliability.png")
    with Image.open(tmp_path / "reliability.png") as picture:
        assert min(picture.size) > 300
