"""From a model of any kind to a function that labels images."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

__all__ = [
    "Labeller",
    "Probabilities",
    "label_function",
    "num_classes_of",
    "prediction",
]

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Image uint8 or float32 (H, W, channels) -> probabilities float32 (H, W, classes)."""


class Labeller(Protocol):
    """What labels images one by one, each uint8 (H, W, channels)."""

    @property
    def num_classes(self) -> int: ...

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Class ids (H, W)."""
        ...

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities float32 (H, W, classes)."""
        ...


def num_classes_of(model: Any) -> int:
    """The number of classes of a keras.Model or of a labeller."""
    if isinstance(model, keras.Model):
        return model.output_shape[-1]
    return model.num_classes


def prediction(
    model: Any, probabilities: Probabilities | None, confident: bool
) -> Callable:
    """A function: image (H, W, channels) -> labels (H, W), probabilities or None.

    Args:
        model: a keras.Model, or a labeller.
        probabilities: a function whose results are taken instead of the model's.
        confident: whether the probabilities are wanted.
    """
    if probabilities is not None:

        def sampled(image):
            found = probabilities(np.asarray(image))
            return found.argmax(axis=-1), found

        return sampled
    if not isinstance(model, keras.Model):

        def predicted(image):
            pixels = np.asarray(image).astype(np.uint8)
            if not confident:
                return model.labels(pixels), None
            found = model.probabilities(pixels)
            return found.argmax(axis=-1), found

        return predicted
    if not confident:
        labels = label_function(model)
        return lambda image: (labels(image[None])[0], None)

    @tf.function(reduce_retracing=True)
    def both(images):
        logits = model(images, training=False)
        return tf.argmax(logits, axis=-1), tf.nn.softmax(logits)

    def own(image):
        found = both(tf.cast(image, tf.float32)[None])
        return tuple(part.numpy()[0] for part in found)

    return own


@lru_cache(maxsize=1)  # the scores and the sheet need the same function
def label_function(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function: images (B, H, W, C) -> labels int64 (B, H, W).

    It is traced once for all sizes.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, C) in [0, 255].
    """

    @tf.function(reduce_retracing=True)
    def predict(images):
        return tf.argmax(model(images, training=False), axis=-1)

    return lambda images: predict(tf.cast(images, tf.float32)).numpy()
