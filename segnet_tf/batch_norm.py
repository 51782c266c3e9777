"""Batch-normalisation statistics taken anew, over images as they will be met."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

__all__ = ["reestimate_batch_norm"]


def reestimate_batch_norm(model: keras.Model, batches: Iterable) -> int:
    """Sets every batch normalisation's mean and variance to their average over batches.

    While training, the moving statistics lag behind the weights and come from crops.
    This is the released `compute_bn_statistics.py`: the network runs in training mode,
    each layer normalising by its batch, and those statistics are averaged. (Caffe's
    batch normalisation has no moving ones, so there the step was a must.)

    Args:
        model: changed in place; its weights stay.
        batches: float32 (B, H, W, C) images.

    Returns:
        How many batches were averaged.

    Raises:
        ValueError: where there is no batch.
    """
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        # The moving statistics then are the last batch's own.
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
