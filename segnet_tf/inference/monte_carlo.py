"""How sure is a network, pixel by pixel? Dropout kept on at prediction, and sampled.

Source: Kendall, Badrinarayanan, Cipolla, "Bayesian SegNet", BMVC 2017,
arXiv:1511.02680, section 3: the mean of the samples' softmax is the prediction, their
variance, averaged over the classes, its uncertainty. The split of the entropy into
what the data leave open (aleatoric) and what the network has not learned (epistemic,
the mutual information of label and weights) is that of Gal, "Uncertainty in Deep
Learning", 2016, section 3.3.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.inference.receptive_field import receptive_field
from segnet_tf.inference.resizing import resized_scores
from segnet_tf.inference.tiling import Tile, in_tiles, plan
from segnet_tf.models.clone import clone

__all__ = ["MAPS", "MonteCarlo", "Uncertainty"]

MAPS = ("entropy", "aleatoric", "epistemic", "variance")
"""The maps of an `Uncertainty`, in the order of the .npy file's last axis."""


@dataclass(frozen=True)
class Uncertainty:
    """What the samples say of one image, float32.

    Attributes:
        probabilities: mean over the samples, (H, W, classes).
        entropy: of that mean, in nats, (H, W): aleatoric + epistemic.
        aleatoric: mean of the samples' entropies, (H, W).
        epistemic: how much the samples disagree, (H, W).
        variance: over the samples, mean over the classes, (H, W): the paper's.
    """

    probabilities: np.ndarray
    entropy: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray
    variance: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Class ids of the mean prediction, uint8 (H, W)."""
        return self.probabilities.argmax(axis=-1).astype(np.uint8)


class MonteCarlo:
    """Draws a model's dropout again and again for one image.

    Batch normalisation keeps its running statistics: only dropout varies. A sample
    depends on the seed and its own number alone, so chunks of any size give the same
    samples. What lies before the first dropout is computed once, not once a sample.

    Args:
        model: a functional model with Dropout layers, such as `BayesianSegNet`.
        samples: how many to draw; the paper gains little beyond 40.
        seed: equal seeds give equal results.
        memory: bytes that the samples of a chunk may take together, by an estimate.
            Where not even one of them fits, the image is sampled in tiles, each with
            masks of its own, which overlap by the receptive field.

    Raises:
        UserError: if nothing can be sampled.
    """

    def __init__(
        self,
        model: keras.Model,
        samples: int = 20,
        seed: int = 0,
        memory: int = 2**30,
    ):
        if samples < 1:
            raise UserError(f"samples: {samples}, must be at least 1")
        self.samples = samples
        self.seed = seed
        self.memory = memory
        self._model, self._dropouts = _with_sampled_dropout(model)
        if not self._dropouts:
            raise UserError(
                f"{model.name} has no dropout to sample: train bayesian_segnet_basic, "
                "bayesian_segnet or an fcn"
            )
        self._receptive_field = receptive_field(model)
        image = tf.TensorSpec((1, None, None, model.input_shape[-1]), tf.float32)
        keys = tf.TensorSpec((None, 2), tf.int32)
        self._sums = tf.function(self._sums_of, input_signature=[image, keys])

    def __call__(self, image: np.ndarray) -> Uncertainty:
        """The samples' mean and spread for an image (H, W, channels) in [0, 255]."""
        image = np.asarray(image, np.float32)
        return _summary(*in_tiles(image, self._tiles(image), self._moments))

    def _tiles(self, image: np.ndarray) -> list[Tile]:
        """What to sample an image in, so that a sample of each fits the memory."""
        if self._receptive_field is None:
            return plan(*image.shape[:2], field=None)
        pixel = sample_bytes(self._model, (1, 256, 256, image.shape[-1])) / 256**2
        budget = self._receptive_field.channels * self.memory / pixel
        field = self._receptive_field
        return plan(*image.shape[:2], field=field, budget=int(budget))

    def _moments(self, image: np.ndarray) -> list[np.ndarray]:
        """Means over the samples: p, p squared, entropy of p; float64 (H, W, ...)."""
        batch = image[None]
        numbers = np.arange(self.samples, dtype=np.int32)
        keys = np.stack([np.full_like(numbers, self.seed), numbers], axis=1)
        at_once = max(1, self.memory // sample_bytes(self._model, batch.shape))
        totals: list[Any] = [0.0, 0.0, 0.0]
        for first in range(0, self.samples, at_once):
            sums = self._sums(batch, keys[first : first + at_once])
            totals = [
                total + part.numpy().astype(np.float64)
                for total, part in zip(totals, sums, strict=True)
            ]
        return [total / self.samples for total in totals]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """The samples' mean alone: float32 (H, W, classes)."""
        return self(image).probabilities

    def _sums_of(self, image, keys):
        """Sums over the keys' samples: p, p squared, entropy of p."""
        for layer in self._dropouts:
            # Set while tracing, read by the layer's call in the same graph.
            layer.keys = keys
        logits = tf.cast(self._model(image, training=False), tf.float32)
        probabilities = tf.nn.softmax(logits)
        # log_softmax, since log(softmax) is -inf where a float32 rounds to zero.
        entropy = -tf.reduce_sum(probabilities * tf.nn.log_softmax(logits), axis=-1)
        parts = (probabilities, probabilities**2, entropy)
        return [tf.reduce_sum(part, axis=0) for part in parts]


def _summary(mean: np.ndarray, square: np.ndarray, aleatoric: np.ndarray):
    safe = np.where(mean > 0, mean, 1.0)
    entropy = -(mean * np.log(safe)).sum(axis=-1)
    # Never negative but for rounding.
    epistemic = np.maximum(entropy - aleatoric, 0)
    variance = np.maximum(square - mean**2, 0).mean(axis=-1)
    parts = (mean, entropy, aleatoric, epistemic, variance)
    return Uncertainty(*(part.astype(np.float32) for part in parts))


class _SampledDropout(keras.layers.Layer):
    """Dropout that is always on, with a mask for each of `keys`.

    Input: (1 or B, H, W, C). Output: (B, H, W, C) for B keys, int32 (B, 2).
    """

    def __init__(self, rate: float, number: int, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.number = number
        self.keys = None

    def call(self, x, training=None):
        shape = tf.shape(x)[1:]

        def kept(key):
            # Every layer draws of its own.
            seed = tf.random.experimental.stateless_fold_in(key, self.number)
            return tf.random.stateless_uniform(shape, seed) >= self.rate

        masks = tf.map_fn(kept, self.keys, fn_output_signature=tf.bool)
        masks = tf.ensure_shape(masks, (None, *x.shape[1:]))
        return tf.where(masks, x / (1 - self.rate), tf.zeros((), x.dtype))

    def compute_output_spec(self, x, training=None):
        return keras.KerasTensor(x.shape, self.compute_dtype)


def _with_sampled_dropout(model: keras.Model) -> tuple[keras.Model, list]:
    """The same network and weights with its dropouts sampled, and those layers."""
    sampled = []
    for layer in model.layers:
        inside = layer._flatten_layers(include_self=False)
        if any(isinstance(part, keras.layers.Dropout) for part in inside):
            raise UserError(
                f"{model.name}: the dropout inside {layer.name} cannot be sampled: put "
                "it into the model as a layer of its own"
            )

    def replace(layer):
        if type(layer) is keras.layers.Dropout and layer.rate:
            twin = _SampledDropout(layer.rate, len(sampled), name=layer.name)
            sampled.append(twin)
            return twin
        return None

    return clone(model, replace), sampled


def sample_bytes(model: keras.Model, shape: tuple[int, ...]) -> int:
    """About how many bytes one more sample of that image shape takes.

    TensorFlow frees what nobody will read again, so what counts is the layer that
    reads and writes most; twice that leaves room for its workspace and for what waits.
    """
    layers = [layer for layer in model.layers if layer.output is not model.inputs[0]]
    both = {layer.name: (layer.input, layer.output) for layer in layers}
    probe = keras.Model(model.inputs[0], both)
    image = keras.KerasTensor(shape, "float32")
    most = 0
    for tensors in probe.compute_output_spec(image).values():
        flat = keras.tree.flatten(tensors)
        sizes = (np.prod(t.shape) * tf.as_dtype(t.dtype).size for t in flat)
        most = max(most, int(sum(sizes)))
    return 2 * most


def write_uncertainty(
    uncertainty: Uncertainty, size: tuple[int, int], stem: str | os.PathLike
) -> None:
    """Writes <stem>_uncertainty.npy and <stem>_uncertainty.png, at a height and width.

    The array is float32 (H, W, 4), in the order of `MAPS`; the picture shows the maps.
    """
    from segnet_tf.evaluation.plots import draw_uncertainty

    maps = {name: resized_scores(getattr(uncertainty, name), size) for name in MAPS}
    stem = Path(stem)
    with replacing(stem.with_name(f"{stem.name}_uncertainty.npy")) as temporary:
        np.save(temporary, np.stack(list(maps.values()), axis=-1))
    draw_uncertainty(maps, stem.with_name(f"{stem.name}_uncertainty.png"))
