"""Cross-entropy over the pixels that have a label, and two losses built on it."""

import math

import keras
import tensorflow as tf

__all__ = ["CrossEntropyDice", "HardPixelCrossEntropy", "PixelCrossEntropy"]


@keras.saving.register_keras_serializable("segnet_tf")
class PixelCrossEntropy(keras.losses.Loss):
    """Softmax cross-entropy on logits, mean over the pixels that are not ignored.

    As in the released solver (Caffe's SoftmaxWithLoss with class weighting): the sum
    of weighted terms is divided by the *number* of valid pixels, not by the sum of
    their weights. A batch with no valid pixel has loss 0.

    Args:
        class_weights: one factor a class, or None for 1 everywhere.
        ignore_label: the id that does not count.

    Input:
        y_true: integer labels (B, H, W).
        y_pred: logits (B, H, W, classes), any float type; computed in float32.
    Output: float32 scalar.
    """

    def __init__(
        self, class_weights=None, ignore_label: int = 255, name="pixel_cross_entropy"
    ):
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        self.class_weights = (
            None
            if class_weights is None
            else tuple(float(weight) for weight in class_weights)
        )
        self.ignore_label = ignore_label

    def call(self, y_true, y_pred):
        losses, labels, valid = self._pixel_losses(y_true, y_pred)
        return _mean_where(valid, self._weighted(losses, labels))

    def _pixel_losses(self, y_true, y_pred):
        """Each pixel's plain loss, its label (0 where ignored), and if it counts."""
        labels = tf.cast(y_true, tf.int32)
        valid = labels != self.ignore_label
        labels = tf.where(valid, labels, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels, tf.cast(y_pred, tf.float32)
        )
        return losses, labels, valid

    def _weighted(self, losses, labels):
        if self.class_weights is None:
            return losses
        return losses * tf.gather(tf.constant(self.class_weights, tf.float32), labels)

    def get_config(self):
        # Loss.get_config would add a reduction that this class does not leave open.
        return {
            "class_weights": self.class_weights,
            "ignore_label": self.ignore_label,
            "name": self.name,
        }


@keras.saving.register_keras_serializable("segnet_tf")
class HardPixelCrossEntropy(PixelCrossEntropy):
    """Cross-entropy on the hard pixels alone (OHEM, online hard example mining).

    Hard is a pixel whose class gets a probability below 0.7, as in the published
    recipes of small nets; where fewer than a sixteenth of the valid pixels are hard,
    that many of the hardest count, ties included. What is hard is decided before class
    weights apply.

    Arguments, input and output: as PixelCrossEntropy.
    """

    THRESHOLD = 0.7
    KEPT = 1 / 16

    def call(self, y_true, y_pred):
        losses, labels, valid = self._pixel_losses(y_true, y_pred)
        candidates = tf.reshape(tf.where(valid, losses, -1.0), [-1])
        count = tf.math.count_nonzero(valid, dtype=tf.int32)
        kept = tf.maximum(count // round(1 / self.KEPT), 1)
        hardest = tf.sort(candidates, direction="DESCENDING")
        bound = tf.minimum(-math.log(self.THRESHOLD), hardest[kept - 1])
        hard = valid & (losses >= tf.stop_gradient(bound))
        return _mean_where(hard, self._weighted(losses, labels))


@keras.saving.register_keras_serializable("segnet_tf")
class CrossEntropyDice(PixelCrossEntropy):
    """Cross-entropy plus soft Dice loss, which weighs classes alike whatever size.

    Dice (Milletari et al., arXiv:1606.04797, here with plain sums): for each class
    that has a valid pixel in the batch, 1 - 2 |P T| / (|P| + |T|), P the predicted
    probabilities and T the truth over the batch's valid pixels; then the mean over
    those classes. Class weights apply to the cross-entropy alone.

    Arguments, input and output: as PixelCrossEntropy.
    """

    def call(self, y_true, y_pred):
        losses, labels, valid = self._pixel_losses(y_true, y_pred)
        cross_entropy = _mean_where(valid, self._weighted(losses, labels))
        classes = y_pred.shape[-1]
        counted = tf.reshape(tf.cast(valid, tf.float32), [-1, 1])
        probabilities = tf.nn.softmax(tf.cast(y_pred, tf.float32))
        probabilities = tf.reshape(probabilities, [-1, classes]) * counted
        truth = tf.one_hot(tf.reshape(labels, [-1]), classes) * counted
        true_sum = tf.reduce_sum(truth, axis=0)
        overlap = tf.reduce_sum(probabilities * truth, axis=0)
        sizes = tf.reduce_sum(probabilities, axis=0) + true_sum
        dice = 1 - tf.math.divide_no_nan(2 * overlap, sizes)
        return cross_entropy + _mean_where(true_sum > 0, dice)


def _mean_where(chosen, values):
    """Mean of the chosen values; 0 where none is."""
    count = tf.math.count_nonzero(chosen, dtype=tf.float32)
    return tf.reduce_sum(tf.where(chosen, values, 0.0)) / tf.maximum(count, 1.0)
