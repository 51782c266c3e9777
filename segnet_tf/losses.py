"""Cross-entropy over the pixels that have a label."""

import keras
import tensorflow as tf

__all__ = ["PixelCrossEntropy"]


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
        labels = tf.cast(y_true, tf.int32)
        valid = labels != self.ignore_label
        labels = tf.where(valid, labels, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels, tf.cast(y_pred, tf.float32)
        )
        if self.class_weights is not None:
            losses *= tf.gather(tf.constant(self.class_weights, tf.float32), labels)
        count = tf.math.count_nonzero(valid, dtype=tf.float32)
        total = tf.reduce_sum(tf.where(valid, losses, 0.0))
        return total / tf.maximum(count, 1.0)

    def get_config(self):
        # Loss.get_config would add a reduction that this class does not leave open.
        return {
            "class_weights": self.class_weights,
            "ignore_label": self.ignore_label,
            "name": self.name,
        }
