"""A Keras loss class for the functions in `segnet_tf.training.losses.LOSSES`."""

import keras
import tensorflow as tf

from segnet_tf.metrics.confusion import allowed_classes
from segnet_tf.training.losses import LOSSES, Pixels, partial_cross_entropy

__all__ = ["PixelLoss"]


@keras.saving.register_keras_serializable("segnet_tf")
class PixelLoss(keras.losses.Loss):
    """A loss on logits, over the pixels that are not ignored.

    Args:
        kind: a key of `segnet_tf.training.losses.LOSSES`.
        class_weights: one float for each class; None: 1 for all. A label of several
            classes has the smallest of their weights.
        ignore_label: the id of pixels that do not count.
        groups: for each label id after the classes, the classes that it stands for; see
            `segnet_tf.training.losses.partial_cross_entropy`.
        logit_adjustment: this share of the logarithms of the class weights is added to
            the logits in the loss, and so is missing in the network's own. Weights act
            as if rare classes were more frequent; with 1 the network learns the true
            frequencies (Menon et al., "Long-tail learning via logit adjustment",
            arXiv:2007.07314).

    Input:
        y_true: integer labels (B, H, W), class ids and ids of groups.
        y_pred: logits (B, H, W, classes), any float type; computed in float32.
    Output: float32 scalar.

    Raises:
        ValueError: if the kind is unknown.
    """

    def __init__(
        self,
        kind: str = "cross-entropy",
        class_weights=None,
        ignore_label: int = 255,
        groups=(),
        logit_adjustment: float = 0.0,
        name: str = "pixel_loss",
    ):
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        if kind not in LOSSES:
            raise ValueError(f"kind must be one of {[*LOSSES]}, not {kind!r}")
        self.kind = kind
        self.class_weights = (
            None
            if class_weights is None
            else tuple(float(weight) for weight in class_weights)
        )
        self.ignore_label = ignore_label
        self.groups = tuple(tuple(int(index) for index in group) for group in groups)
        self.logit_adjustment = float(logit_adjustment)

    def call(self, y_true, y_pred):
        labels = tf.cast(y_true, tf.int32)
        valid = labels != self.ignore_label
        labels = tf.where(valid, labels, 0)
        logits = tf.cast(y_pred, tf.float32)
        if self.logit_adjustment and self.class_weights is not None:
            # A class that never appears has weight 0, and keeps its logit.
            positive = [weight or 1.0 for weight in self.class_weights]
            logits += self.logit_adjustment * tf.math.log(tf.constant(positive))
        if self.groups:
            allowed = allowed_classes(logits.shape[-1], self.groups)
            losses = partial_cross_entropy(labels, logits, allowed)
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if self.class_weights is None:
            weights = tf.ones_like(losses)
        else:
            own = self.class_weights
            least = (min(own[index] for index in group) for group in self.groups)
            weights = tf.gather(tf.constant((*own, *least), tf.float32), labels)
        pixels = Pixels(labels, valid, logits, weights, losses)
        return LOSSES[self.kind].make(pixels)

    def get_config(self):
        # Loss.get_config would add the reduction, which is no argument of this class.
        return {
            "kind": self.kind,
            "class_weights": self.class_weights,
            "ignore_label": self.ignore_label,
            "groups": self.groups,
            "logit_adjustment": self.logit_adjustment,
            "name": self.name,
        }
