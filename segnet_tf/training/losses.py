"""Losses: cross-entropy over the pixels that have a label, and two that build on it.

A loss is a function of `Pixels` in the table `LOSSES`; `train.py --loss` takes its
choices and their help from there. For a loss of your own, add a function and a line.
"""

import math
from dataclasses import dataclass
from typing import Any

from segnet_tf.console.options import Choice
from segnet_tf.console.quiet import tensorflow as tf

__all__ = ["LOSSES", "Pixels", "mean_where", "partial_cross_entropy"]


@dataclass(frozen=True)
class Pixels:
    """The arguments of a loss: the pixels of a batch, and how much each counts.

    Attributes:
        labels: int32 (B, H, W), class ids; 0 where a pixel is ignored. Ids after the
            classes stand for one of several classes.
        valid: bool (B, H, W), False where a pixel is ignored.
        logits: float32 (B, H, W, classes).
        weights: float32 (B, H, W), the class weight of each pixel's label.
        cross_entropy: float32 (B, H, W), -log of the probability of the label, which is
            the sum over its classes, without weights.
    """

    labels: Any
    valid: Any
    logits: Any
    weights: Any
    cross_entropy: Any


def cross_entropy(pixels: Pixels):
    """Weighted softmax cross-entropy, mean over the pixels that are not ignored.

    As in the released solver (Caffe's SoftmaxWithLoss with class weighting), the sum of
    the weighted terms is divided by the *number* of valid pixels, not by the sum of
    their weights. A batch without a valid pixel has loss 0.
    """
    return mean_where(pixels.valid, pixels.cross_entropy * pixels.weights)


HARD_BELOW = 0.7
"""A pixel is hard if its class gets less probability, as published for small nets."""

KEPT = 16
"""At least one of so many valid pixels counts, even if it is not hard."""


def hard_pixel_cross_entropy(pixels: Pixels):
    """Weighted cross-entropy, mean over the hard pixels (OHEM).

    OHEM is online hard example mining. If fewer than a sixteenth of the valid pixels
    are hard, the hardest sixteenth counts, ties included. Class weights do not change
    which pixels are hard. If a batch is spread over several replicas, each finds the
    hardest sixteenth of its own part.
    """
    losses, valid = pixels.cross_entropy, pixels.valid
    candidates = tf.reshape(tf.where(valid, losses, -1.0), [-1])
    count = tf.math.count_nonzero(valid, dtype=tf.int32)
    kept = tf.maximum(count // KEPT, 1)
    hardest = tf.sort(candidates, direction="DESCENDING")
    bound = tf.minimum(-math.log(HARD_BELOW), hardest[kept - 1])
    hard = valid & (losses >= tf.stop_gradient(bound))
    return mean_where(hard, losses * pixels.weights)


def cross_entropy_and_dice(pixels: Pixels):
    """Cross-entropy plus soft Dice loss, in which large and small classes count alike.

    Dice (Milletari et al., arXiv:1606.04797, here with plain sums) is
    1 - 2 |P T| / (|P| + |T|) for each class that has a valid pixel in the batch, then
    the mean over those classes. P are the predicted probabilities and T the truth, over
    the valid pixels of the batch that have one class. Class weights apply to the
    cross-entropy only.
    """
    from segnet_tf.layers.devices import over_replicas

    classes = pixels.logits.shape[-1]
    exact = pixels.valid & (pixels.labels < classes)
    counted = tf.reshape(tf.cast(exact, tf.float32), [-1, 1])
    probabilities = tf.reshape(tf.nn.softmax(pixels.logits), [-1, classes]) * counted
    truth = tf.one_hot(tf.reshape(pixels.labels, [-1]), classes) * counted
    true_sum = tf.reduce_sum(truth, axis=0)
    overlap = tf.reduce_sum(probabilities * truth, axis=0)
    found_sum = tf.reduce_sum(probabilities, axis=0)
    sums = tf.stack([true_sum, overlap, found_sum])
    true_sum, overlap, found_sum = tf.unstack(over_replicas(sums))
    sizes = found_sum + true_sum
    dice = 1 - tf.math.divide_no_nan(2 * overlap, sizes)
    return cross_entropy(pixels) + mean_where(true_sum > 0, dice)


LOSSES = {
    "cross-entropy": Choice("mean over the labelled pixels", cross_entropy),
    "ohem": Choice("mean over the hard pixels", hard_pixel_cross_entropy),
    "dice": Choice("cross-entropy plus soft Dice", cross_entropy_and_dice),
}
"""Each loss maps `Pixels` to a float32 scalar."""


def partial_cross_entropy(labels, logits, allowed):
    """Cross-entropy of labels that may stand for one of several classes.

    A label says that the pixel is of one of its classes. Its probability is the sum of
    theirs, and the loss is -log of it (the maximum likelihood of partial labels; Jin
    and Ghahramani, "Learning with multiple labels", 2002). A label of one class gives
    the usual cross-entropy, one of all classes 0.

    Args:
        labels: int32 of any shape, rows of `allowed`.
        logits: float32 (..., classes).
        allowed: bool (labels, classes), at least one in each row.

    Returns:
        float32, of the shape of `labels`. The gradient of the logits is the softmax of
        all minus the softmax of the allowed ones, at any size of the logits.
    """
    closed = tf.where(allowed, 0.0, -math.inf)

    @tf.custom_gradient
    def loss(logits):
        possible = logits + tf.gather(closed, labels)
        everything = tf.reduce_logsumexp(logits, axis=-1)

        def gradient(upstream):
            difference = tf.nn.softmax(logits) - tf.nn.softmax(possible)
            return upstream[..., None] * difference

        return everything - tf.reduce_logsumexp(possible, axis=-1), gradient

    return loss(logits)


def mean_where(chosen, values):
    """The mean of the chosen values, float32 scalar; 0 if none is chosen.

    If a batch is spread over several replicas, the sum over them of what each returns
    is the mean over all chosen values of the batch. (The mean of the replicas' own
    means would count a pixel more if its replica has few.) Keras adds the gradients,
    and does not scale a loss that is a scalar.

    Args:
        chosen: bool, of any shape.
        values: float32, of the same shape.
    """
    from segnet_tf.layers.devices import over_replicas

    count = over_replicas(tf.math.count_nonzero(chosen, dtype=tf.float32))
    total = tf.reduce_sum(tf.where(chosen, values, 0.0))
    return total / tf.maximum(count, 1.0)
