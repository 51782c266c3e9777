"""Batch normalisation: a fused kernel for training, and recalibrated statistics."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.layers.devices import over_replicas, replicas

__all__ = ["FusedBatchNormalization", "recalibrate_batch_norm"]


@keras.saving.register_keras_serializable("segnet_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' batch normalisation for images, with TensorFlow's fused training kernel.

    Keras 3 normalises step by step and keeps the intermediate tensors for the gradient.
    On a CPU that took a third of SegNetLite's training step
    (`benchmarks/training_step.py`). Values, gradients, statistics and saved files are
    the same as Keras'. Keras' own code runs if the kernel does not apply: for float64,
    for masks, in prediction, or if the layer is not trained. If a batch is spread over
    several replicas, the statistics are those of the whole batch.

    Input and output: (B, H, W, C), in the layer's dtype.
    """

    def call(self, inputs, training=None, mask=None):
        learns = training and self.trainable
        if not learns or len(inputs.shape) != 4 or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        if replicas() > 1:
            return self._of_all_replicas(inputs)
        if inputs.dtype == tf.float64:
            return super().call(inputs, training=training)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel divides by N - 1, Keras by N.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance * (count - 1) / count)
        return outputs

    def _of_all_replicas(self, inputs):
        """Normalises by the whole batch, of which each replica has a part.

        Keras' own way, E(x^2) - E(x)^2, loses digits if the mean is large.
        """
        dtype = tf.float64 if inputs.dtype == tf.float64 else tf.float32
        x, axes = tf.cast(inputs, dtype), (0, 1, 2)
        count = over_replicas(tf.cast(tf.size(x) // tf.shape(x)[-1], dtype))
        mean = over_replicas(tf.reduce_sum(x, axes)) / count
        variance = over_replicas(tf.reduce_sum((x - mean) ** 2, axes)) / count
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance)
        gamma, beta = (tf.cast(v, dtype) for v in (self.gamma, self.beta))
        outputs = tf.nn.batch_normalization(
            x, mean, variance, beta, gamma, self.epsilon
        )
        return tf.cast(outputs, inputs.dtype)

    def _follow(self, average, value) -> None:
        value = tf.cast(value, average.dtype)
        average.assign(average * self.momentum + value * (1 - self.momentum))


def recalibrate_batch_norm(model: keras.Model, batches: Iterable) -> int:
    """Sets every batch normalisation's mean and variance to their average over batches.

    During training, the moving statistics lag behind the weights and come from crops.
    This function follows the released `compute_bn_statistics.py`: the network runs in
    training mode, each layer normalises by its batch, and these statistics are
    averaged. (Caffe's batch normalisation has no moving statistics, so that it needs
    this step.) `train.py --recalibrate-bn` gives batches of one image, because sizes
    may differ; the released batches have four. The variance of a single image leaves
    out the differences between the images' means.

    Args:
        model: changed in place; its weights stay.
        batches: float32 (B, H, W, C) images.

    Returns:
        The number of batches.

    Raises:
        ValueError: if there is no batch.
    """
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        # The moving statistics are then those of the last batch.
        norm.momentum = 0.0

    @tf.function(reduce_retracing=True)
    def run(images):
        model(images, training=True)

    sums, count = [0.0] * (2 * len(norms)), 0
    try:
        for images in batches:
            run(images)
            sums = [
                total + np.asarray(variable, np.float64)
                for total, variable in zip(sums, _statistics(norms), strict=True)
            ]
            count += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    if not count:
        raise ValueError("no batch to take statistics from")
    for total, variable in zip(sums, _statistics(norms), strict=True):
        variable.assign(total / count)
    return count


def _statistics(norms) -> list:
    return [v for norm in norms for v in (norm.moving_mean, norm.moving_variance)]
