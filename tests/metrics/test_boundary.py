"""Boundary F1 against plain loops, and against figures worked out by hand."""

import math
import time

import numpy as np
import pytest

from segnet_tf.metrics.boundary import boundary_f1, per_class_boundary_f1


def reference(labels, prediction, num_classes, **options):
    scores = per_class_reference(labels, prediction, num_classes, **options)
    known = [score for score in scores if not math.isnan(score)]
    return sum(known) / len(known) if known else math.nan


def per_class_reference(
    labels, prediction, num_classes, ignore_label=255, tolerance=0.0075
):
    """The definition, pixel by pixel."""
    height, width = labels.shape
    radius = tolerance * math.hypot(height, width)

    def boundary(ids, wanted):
        pixels = []
        for y in range(height):
            for x in range(width):
                if ids[y, x] != wanted or labels[y, x] == ignore_label:
                    continue
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    inside = 0 <= v < height and 0 <= u < width
                    if inside and labels[v, u] != ignore_label and ids[v, u] != wanted:
                        pixels.append((y, x))
                        break
        return pixels

    def share_near(pixels, others):
        near = [
            any(math.hypot(y - v, x - u) <= radius + 1e-9 for v, u in others)
            for y, x in pixels
        ]
        return sum(near) / len(near) if near else 0.0

    scores = [math.nan] * num_classes
    for wanted in range(num_classes):
        true, predicted = boundary(labels, wanted), boundary(prediction, wanted)
        if not (labels == wanted).any() or not (true or predicted):
            continue
        recall, precision = share_near(true, predicted), share_near(predicted, true)
        total = recall + precision
        scores[wanted] = 2 * recall * precision / total if total else 0.0
    return scores


def patches(rng, shape, num_classes, void_share=0.0):
    """Labels in patches of a few pixels, as boundaries with some length need them."""
    size = int(rng.integers(1, 6))
    height, width = shape
    cells = rng.integers(0, num_classes, (height // size + 1, width // size + 1))
    ids = np.kron(cells, np.ones((size, size), np.int64))[:height, :width]
    ids[rng.random(shape) < void_share] = 255
    return ids.astype(np.uint8)


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_plain_loops(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 20, 2))
    num_classes = int(rng.integers(1, 6))
    labels = patches(rng, shape, num_classes, void_share=rng.choice([0, 0.05, 0.4]))
    wrong = patches(rng, shape, num_classes)
    kept = (labels != 255) & (rng.random(shape) < rng.random())
    prediction = np.where(kept, labels, wrong)
    tolerance = float(rng.choice([0.0075, 0.05, 0.1, 0.3]))
    arguments = (labels, prediction, num_classes)
    got = per_class_boundary_f1(*arguments, tolerance=tolerance)
    expected = per_class_reference(*arguments, tolerance=tolerance)
    np.testing.assert_allclose(got, expected, rtol=1e-12, equal_nan=True)
    got = boundary_f1(*arguments, tolerance=tolerance)
    expected = reference(*arguments, tolerance=tolerance)
    np.testing.assert_allclose(got, expected, rtol=1e-12, equal_nan=True)


def test_more_classes_than_one_word_has_bits():
    rng = np.random.default_rng(1)
    labels = rng.permutation(24 * 12).reshape(24, 12) % 150
    prediction = np.where(rng.random(labels.shape) < 0.7, labels, labels[::-1])
    got = boundary_f1(labels, prediction, 150, tolerance=0.08)
    assert got == pytest.approx(reference(labels, prediction, 150, tolerance=0.08))
    assert 0 < got < 1


def halves(column: int, height=360, width=480):
    """Class 0 left of a column, class 1 from there on."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, column:] = 1
    return labels


# The diagonal of 360x480 is 600, the tolerance 4.5 pixels.
@pytest.mark.parametrize(("shift", "expected"), [(0, 1), (4, 1), (5, 0)])
def test_tolerance_at_the_size_of_camvid(shift, expected):
    assert boundary_f1(halves(200), halves(200 + shift), 2) == expected


def test_a_distance_equal_to_the_tolerance_counts():
    # 0.01 of the diagonal of 360x480 is 6 pixels exactly.
    for shift, expected in ((6, 1), (7, 0)):
        prediction = halves(200 + shift)
        assert boundary_f1(halves(200), prediction, 2, tolerance=0.01) == expected


def test_precision_and_recall_by_hand():
    labels, prediction = halves(200), halves(200)
    prediction[:, 100:102] = 1  # a false stripe, far from the true boundary
    # Class 0: 360 of its 1,080 predicted boundary pixels are right, all 360 found.
    # Class 1: 360 of 1,080 (both columns of the stripe are boundary), all found.
    one = 2 * (1 / 3) * 1 / (1 / 3 + 1)
    assert boundary_f1(labels, prediction, 2) == pytest.approx(one)


def test_boundaries_against_void_are_none():
    labels = halves(200)
    labels[:, 190:210] = 255
    # The labels hold no boundary, and the prediction's runs on void.
    assert math.isnan(boundary_f1(labels, halves(200), 2))
    # One on valid pixels is false, for both classes.
    assert boundary_f1(labels, halves(100), 2) == 0
    # One along the void's edge is as little a boundary there as in the labels.
    assert math.isnan(boundary_f1(labels, halves(190), 2))


def test_only_classes_of_the_ground_truth_count():
    labels, prediction = halves(200), halves(200)
    prediction[10:20, 10:20] = 2
    with_false_class = boundary_f1(labels, prediction, 3)
    # Class 0 loses precision to the hole; class 2 itself is not averaged in as 0.
    hole = 40  # pixels of class 0 that touch the square
    precision = 360 / (360 + hole)
    assert with_false_class == pytest.approx((2 * precision / (precision + 1) + 1) / 2)


def test_nothing_to_measure_is_nan():
    flat = np.zeros((5, 6), np.uint8)
    assert math.isnan(boundary_f1(flat, flat, 2))
    assert math.isnan(boundary_f1(np.full((5, 6), 255), flat, 2))
    assert boundary_f1(flat, np.eye(5, 6, dtype=np.uint8), 2) == 0


@pytest.mark.parametrize(
    ("labels", "prediction"),
    [
        (np.zeros((4, 4)), np.zeros((4, 5))),
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4))),
        (np.full((4, 4), 7), np.zeros((4, 4))),
        (np.zeros((4, 4)), np.full((4, 4), -1)),
    ],
)
def test_refuses_what_does_not_fit(labels, prediction):
    with pytest.raises(ValueError):
        boundary_f1(labels.astype(int), prediction.astype(int), 7)


def test_a_test_split_takes_seconds():
    """233 frames of 360x480 are to take under a minute: 257 ms each."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 11, (18, 24)), np.ones((20, 20), int))
    labels = labels.astype(np.uint8)
    prediction = np.roll(labels, 3, axis=1)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        boundary_f1(labels, prediction, 11)
        times.append(time.perf_counter() - start)
    assert min(times) < 60 / 233
