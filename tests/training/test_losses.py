"""The loss against a plain loop, and median-frequency weights against the released."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segnet_tf.datasets import camvid
from segnet_tf.datasets.class_weights import (
    log_frequency_weights,
    median_frequency_weights,
)
from segnet_tf.datasets.dataset import class_pixel_counts
from segnet_tf.training.losses import LOSSES, partial_cross_entropy
from segnet_tf.training.pixel_loss import PixelLoss

CAMVID_WEIGHTS = (
    0.279, 0.202, 4.787, 0.149, 1.000, 0.422, 3.847, 1.974, 0.789, 6.375, 8.859,
)  # fmt: skip


def reference_loss(labels, logits, weights=None, ignore_label=255) -> float:
    total, count = 0.0, 0
    for label, row in zip(
        labels.reshape(-1), logits.reshape(-1, logits.shape[-1]), strict=True
    ):
        if label == ignore_label:
            continue
        row = row.astype(np.float64)
        log_probability = row[label] - np.log(np.exp(row - row.max()).sum()) - row.max()
        total -= log_probability * (1 if weights is None else weights[label])
        count += 1
    return total / count if count else 0.0


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 0.0, 7.0)])
@pytest.mark.parametrize("ignored_share", [0.0, 0.3, 1.0])
def test_loss_is_the_mean_over_valid_pixels(rng, weights, ignored_share):
    labels = rng.integers(0, 4, (2, 5, 7)).astype(np.uint8)
    labels[rng.random(labels.shape) < ignored_share] = 255
    logits = rng.normal(0, 5, (2, 5, 7, 4)).astype(np.float32)
    loss = PixelLoss("cross-entropy", weights)(labels, logits)
    assert loss.dtype == "float32"
    expected = reference_loss(labels, logits, weights)
    np.testing.assert_allclose(float(loss), expected, rtol=1e-5)


ALLOWED = np.array(
    [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [1, 0, 1, 0],
        [0, 1, 1, 1],
        [1, 1, 1, 1],
    ],
    bool,
)


def reference_partial(labels, logits, allowed):
    """-log of the summed probability, and its gradient, in float64, pixel by pixel."""
    losses, gradients = np.zeros(labels.shape), np.zeros(logits.shape)
    for place in np.ndindex(labels.shape):
        row, kept = logits[place].astype(np.float64), allowed[labels[place]]
        everything = np.logaddexp.reduce(row)
        possible = np.logaddexp.reduce(row[kept])
        losses[place] = everything - possible
        own = np.where(kept, row - possible, -np.inf)
        gradients[place] = np.exp(row - everything) - np.exp(own)
    return losses, gradients


@pytest.mark.parametrize("spread", [1, 30, 1000])
def test_partial_labels_sum_the_probabilities(rng, spread):
    labels = rng.integers(0, len(ALLOWED), (2, 9, 7)).astype(np.int32)
    logits = rng.normal(0, spread, (2, 9, 7, 4)).astype(np.float32)
    upstream = rng.normal(size=labels.shape).astype(np.float32)
    variable = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        losses = partial_cross_entropy(labels, variable, ALLOWED)
        total = tf.reduce_sum(losses * upstream)
    expected, gradient = reference_partial(labels, logits, ALLOWED)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6 * spread)
    np.testing.assert_allclose(
        tape.gradient(total, variable), gradient * upstream[..., None], atol=1e-4
    )


def test_partial_labels_of_one_class_are_the_usual_cross_entropy(rng):
    labels = rng.integers(0, 4, (2, 5, 7)).astype(np.uint8)
    logits = rng.normal(0, 5, (2, 5, 7, 4)).astype(np.float32)
    weights = (0.5, 2.0, 0.0, 7.0)
    plain, partial = (
        PixelLoss("cross-entropy", weights, groups=groups)(labels, logits)
        for groups in ((), ((0, 2),))
    )
    np.testing.assert_allclose(plain, partial, rtol=1e-5)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_label_of_all_classes_teaches_nothing(rng, kind):
    labels = np.full((1, 4, 4), 4, np.uint8)
    logits = tf.constant(rng.normal(0, 5, (1, 4, 4, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = PixelLoss(kind, groups=[range(4)])(labels, logits)
    np.testing.assert_allclose(loss, 0, atol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, logits), 0, atol=1e-6)


def test_a_group_has_the_smallest_weight_of_its_classes(rng):
    logits = rng.normal(size=(1, 1, 1, 3)).astype(np.float32)
    label = np.array([[[3]]], np.uint8)
    loss = PixelLoss("cross-entropy", (5.0, 7.0, 3.0), groups=[(0, 1)])(label, logits)
    expected, _ = reference_partial(
        label[0], logits[0], np.array([*np.eye(3), [1, 1, 0]], bool)
    )
    np.testing.assert_allclose(loss, 5 * expected.item(), rtol=1e-5)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_logit_adjustment_is_a_bias_in_the_loss(rng, share):
    labels = rng.integers(0, 4, (2, 5, 7)).astype(np.uint8)
    logits = rng.normal(0, 3, (2, 5, 7, 4)).astype(np.float32)
    weights = (0.5, 2.0, 0.0, 7.0)
    loss = PixelLoss("cross-entropy", weights, logit_adjustment=share)(labels, logits)
    moved = logits + share * np.log([0.5, 2.0, 1.0, 7.0])
    np.testing.assert_allclose(loss, reference_loss(labels, moved, weights), rtol=1e-5)
    plain = PixelLoss("cross-entropy", logit_adjustment=share)(labels, logits)
    np.testing.assert_allclose(plain, reference_loss(labels, logits), rtol=1e-5)


def test_with_full_adjustment_the_logits_are_the_frequencies():
    """One pixel in ten is of the rare class: its best logit is log(1 / 9)."""
    labels = np.array([[[1] + [0] * 9]], np.uint8)
    best = {}
    for share in (0.0, 1.0):
        loss = PixelLoss("cross-entropy", (1.0, 9.0), logit_adjustment=share)
        bias = np.linspace(-4, 4, 801, dtype=np.float32)
        losses = [
            float(loss(labels, np.broadcast_to([0.0, value], (1, 1, 10, 2))))
            for value in bias
        ]
        best[share] = bias[np.argmin(losses)]
    np.testing.assert_allclose(best[0.0], 0, atol=0.011)
    np.testing.assert_allclose(best[1.0], np.log(1 / 9), atol=0.011)


def test_dice_counts_the_pixels_of_one_class_only(rng):
    logits = rng.normal(size=(1, 4, 4, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (1, 4, 4)).astype(np.uint8)
    labels[0, 2:] = 3
    loss = PixelLoss("dice", groups=[(0, 1)])(labels, logits)
    cross_entropy = PixelLoss("cross-entropy", groups=[(0, 1)])(labels, logits)
    upper = labels[:, :2], logits[:, :2]
    dice = PixelLoss("dice")(*upper) - PixelLoss("cross-entropy")(*upper)
    np.testing.assert_allclose(loss - cross_entropy, dice, rtol=1e-4)


def test_another_ignore_label(rng):
    labels = rng.integers(0, 4, (1, 4, 4)).astype(np.uint8)
    logits = rng.normal(size=(1, 4, 4, 4)).astype(np.float32)
    loss = float(PixelLoss(ignore_label=3)(labels, logits))
    expected = reference_loss(labels, logits, ignore_label=3)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_gradient_reaches_valid_pixels_only(rng):
    import tensorflow as tf

    labels = np.array([[[0, 255], [1, 255]]], np.uint8)
    logits = tf.Variable(rng.normal(size=(1, 2, 2, 3)), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = PixelLoss("cross-entropy", (1.0, 2.0, 3.0))(labels, logits)
    gradient = tape.gradient(loss, logits).numpy()
    probabilities = tf.nn.softmax(logits).numpy()
    expected = np.zeros((1, 2, 2, 3))
    expected[0, 0, 0] = (probabilities[0, 0, 0] - [1, 0, 0]) / 2
    expected[0, 1, 0] = (probabilities[0, 1, 0] - [0, 1, 0]) * 2 / 2
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_float16_logits_are_scored_in_float32():
    labels = np.zeros((1, 300, 300), np.uint8)
    logits = np.zeros((1, 300, 300, 11), np.float16)
    # Summed in float16 this would be infinite.
    loss = float(PixelLoss()(labels, logits))
    np.testing.assert_allclose(loss, np.log(11), rtol=1e-5)


def test_loss_survives_serialisation(rng):
    loss = PixelLoss(
        "cross-entropy",
        (1.0, 3.0),
        ignore_label=9,
        groups=[(0, 1)],
        logit_adjustment=0.5,
        name="ce",
    )
    twin = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert twin.get_config() == loss.get_config()
    labels = np.array([[[0, 1, 9]]], np.uint8)
    logits = rng.normal(size=(1, 1, 3, 2)).astype(np.float32)
    assert float(twin(labels, logits)) == float(loss(labels, logits))


def test_median_frequency_weights_by_hand():
    # Two images of 10 pixels: class 1 is in the second alone, class 2 in neither.
    counts = np.array([[8, 0, 0, 2], [3, 6, 0, 1]])
    weights = median_frequency_weights(counts, 10)
    frequency = np.array([11 / 20, 6 / 10, np.nan, 3 / 20])
    expected = np.nanmedian(frequency) / frequency
    expected[2] = 0
    np.testing.assert_allclose(weights, expected)


def test_median_frequency_weights_of_camvid(camvid_dir):
    counts, pixels = class_pixel_counts(camvid.load("train", camvid_dir))
    weights = median_frequency_weights(counts, pixels)
    np.testing.assert_allclose(weights, CAMVID_WEIGHTS, atol=5e-4)


def reference_hard_loss(labels, logits, weights=None) -> float:
    terms = []
    for label, row in zip(
        labels.reshape(-1), logits.reshape(-1, logits.shape[-1]), strict=True
    ):
        if label != 255:
            plain = reference_loss(np.array([label]), row[None])
            terms.append((plain, plain * (1 if weights is None else weights[label])))
    if not terms:
        return 0.0
    plain = sorted((term[0] for term in terms), reverse=True)
    bound = min(-np.log(0.7), plain[max(len(terms) // 16, 1) - 1])
    return float(np.mean([weighted for p, weighted in terms if p >= bound]))


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 0.0, 7.0)])
@pytest.mark.parametrize("confidence", [0.1, 4.0], ids=["all hard", "few hard"])
@pytest.mark.parametrize("ignored_share", [0.0, 0.3, 1.0])
def test_hard_pixels_alone(rng, weights, confidence, ignored_share):
    labels = rng.integers(0, 4, (2, 8, 9)).astype(np.uint8)
    logits = np.eye(4)[labels] * confidence + rng.normal(size=(2, 8, 9, 4))
    logits = logits.astype(np.float32)
    labels[rng.random(labels.shape) < ignored_share] = 255
    loss = float(PixelLoss("ohem", weights)(labels, logits))
    expected = reference_hard_loss(labels, logits, weights)
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-9)
    if ignored_share < 1 and confidence > 1:
        # It would be far smaller were the easy pixels in the mean.
        assert loss > 3 * float(PixelLoss("cross-entropy", weights)(labels, logits))


def reference_dice(labels, logits) -> float:
    exponentials = np.exp(logits.astype(np.float64))
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    valid, terms = labels != 255, []
    for index in range(logits.shape[-1]):
        truth = (labels == index) & valid
        if truth.any():
            predicted = probabilities[..., index]
            overlap = predicted[truth].sum()
            terms.append(1 - 2 * overlap / (predicted[valid].sum() + truth.sum()))
    return float(np.mean(terms)) if terms else 0.0


@pytest.mark.parametrize("ignored_share", [0.0, 0.3, 1.0])
def test_dice_adds_to_the_cross_entropy(rng, ignored_share):
    labels = rng.integers(0, 3, (2, 5, 7)).astype(np.uint8)  # class 3 is absent
    labels[rng.random(labels.shape) < ignored_share] = 255
    logits = rng.normal(0, 2, (2, 5, 7, 4)).astype(np.float32)
    weights = (0.5, 2.0, 1.0, 7.0)
    loss = float(PixelLoss("dice", weights)(labels, logits))
    expected = reference_loss(labels, logits, weights) + reference_dice(labels, logits)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_dice_is_none_for_a_perfect_prediction(rng):
    labels = rng.integers(0, 4, (1, 6, 6)).astype(np.uint8)
    logits = (np.eye(4)[labels] * 100).astype(np.float32)
    assert float(PixelLoss("dice")(labels, logits)) < 1e-6


@pytest.mark.parametrize("kind", ["ohem", "dice"])
def test_every_loss_survives_serialisation(rng, kind):
    loss = PixelLoss(kind, (1.0, 2.0), ignore_label=7)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is PixelLoss and again.kind == kind
    assert (again.class_weights, again.ignore_label) == ((1.0, 2.0), 7)


def test_log_weights_are_enets():
    pixels = np.array([[60, 0, 10], [20, 0, 10]])
    shares = np.array([0.8, 0.0, 0.2])
    np.testing.assert_allclose(log_frequency_weights(pixels), 1 / np.log(1.1 + shares))


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss_keeps_the_contract(kind, rng):
    """A float32 scalar; nothing to learn from ignored pixels; class weights count."""
    labels = rng.integers(0, 4, (2, 6, 8)).astype(np.uint8)
    labels[:, :2] = 255
    logits = tf.Variable(rng.normal(size=(2, 6, 8, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = PixelLoss(kind)(labels, logits)
    assert loss.shape == () and loss.dtype == "float32" and float(loss) > 0
    gradient = tape.gradient(loss, logits).numpy()
    assert np.abs(gradient[:, :2]).max() == 0 < np.abs(gradient[:, 2:]).max()
    void = np.full_like(labels, 255)
    assert float(PixelLoss(kind)(void, logits)) == 0
    weighted = float(PixelLoss(kind, (3.0, 3.0, 3.0, 3.0))(labels, logits))
    assert weighted > 1.5 * float(loss)
