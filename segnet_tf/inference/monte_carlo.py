"""The uncertainty of a network at each pixel: dropout stays on and is sampled.

Source: Kendall, Badrinarayanan, Cipolla, "Bayesian SegNet", BMVC 2017,
arXiv:1511.02680, section 3. The mean of the samples' softmax is the prediction; their
variance, averaged over the classes, is its uncertainty. The entropy is split as in Gal,
"Uncertainty in Deep Learning", 2016, section 3.3: into what the data leave open
(aleatoric) and what the network has not learned (epistemic, the mutual information of
label and weights).
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
    """The prediction for one image and its uncertainty, all float32.

    Attributes:
        probabilities: mean over the samples, (H, W, classes).
        entropy: entropy of that mean, in nats, (H, W); aleatoric + epistemic.
        aleatoric: mean of the samples' entropies, in nats, (H, W).
        epistemic: how much the samples disagree, in nats, (H, W).
        variance: variance over the samples, mean over the classes, (H, W); the paper's
            uncertainty.
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
    """Predicts by the mean of many samples, each with its own dropout masks.

    Only dropout varies: batch normalisation uses its running statistics. A sample
    depends only on the seed and on its number, so that chunks of any size give the same
    samples. The layers before the first dropout run once for all samples of a chunk.

    Args:
        model: a functional model with Dropout layers, such as `BayesianSegNet`.
        samples: number of samples; the paper gains little beyond 40.
        seed: equal seeds give equal results.
        memory: bytes that the samples of a chunk may take together, by an estimate. If
            not even one sample fits, the image is sampled in tiles, which overlap by
            the receptive field; each tile draws its own masks.

    Raises:
        UserError: if `samples` is less than 1, or if no dropout can be sampled.
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
        """The mean and the spread of the samples.

        Args:
            image: uint8 or float (H, W, channels) in [0, 255].
        """
        image = np.asarray(image, np.float32)
        return _summary(*in_tiles(image, self._tiles(image), self._moments))

    def _tiles(self, image: np.ndarray) -> list[Tile]:
        """Tiles of the image, so small that a sample of each fits into the memory."""
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
        """The mean of the samples, float32 (H, W, classes).

        Args:
            image: uint8 or float (H, W, channels) in [0, 255].
        """
        return self(image).probabilities

    def _sums_of(self, image, keys):
        """Sums over the keys' samples: p, p squared, entropy of p."""
        for layer in self._dropouts:
            # The layer's call reads the keys while the same graph is traced.
            layer.keys = keys
        logits = tf.cast(self._model(image, training=False), tf.float32)
        probabilities = tf.nn.softmax(logits)
        # log_softmax, since log(softmax) is -inf if a float32 rounds to zero.
        entropy = -tf.reduce_sum(probabilities * tf.nn.log_softmax(logits), axis=-1)
        parts = (probabilities, probabilities**2, entropy)
        return [tf.reduce_sum(part, axis=0) for part in parts]


def _summary(mean: np.ndarray, square: np.ndarray, aleatoric: np.ndarray):
    safe = np.where(mean > 0, mean, 1.0)
    entropy = -(mean * np.log(safe)).sum(axis=-1)
    # Only rounding makes it negative.
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
            # Each layer draws other masks.
            seed = tf.random.experimental.stateless_fold_in(key, self.number)
            return tf.random.stateless_uniform(shape, seed) >= self.rate

        masks = tf.map_fn(kept, self.keys, fn_output_signature=tf.bool)
        masks = tf.ensure_shape(masks, (None, *x.shape[1:]))
        return tf.where(masks, x / (1 - self.rate), tf.zeros((), x.dtype))

    def compute_output_spec(self, x, training=None):
        return keras.KerasTensor(x.shape, self.compute_dtype)


def _with_sampled_dropout(model: keras.Model) -> tuple[keras.Model, list]:
    """The same network and weights with sampled dropout, and its dropout layers."""
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
    """An estimate of the bytes that one more sample takes.

    TensorFlow frees a tensor after its last use, so the layer that reads and writes
    most decides. Twice its bytes leave room for its workspace and for waiting tensors.

    Args:
        model: a functional model.
        shape: (B, H, W, channels) of the image.
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
    """Writes `<stem>_uncertainty.npy` and `<stem>_uncertainty.png`.

    The array is float32 (H, W, 4), in the order of `MAPS`; the picture shows the maps.

    Args:
        uncertainty: the maps.
        size: height and width of the results; the maps are resized to it.
        stem: beginning of both paths.
    """
    from segnet_tf.evaluation.plots import draw_uncertainty

    maps = {name: resized_scores(getattr(uncertainty, name), size) for name in MAPS}
    stem = Path(stem)
    with replacing(stem.with_name(f"{stem.name}_uncertainty.npy")) as temporary:
        np.save(temporary, np.stack(list(maps.values()), axis=-1))
    draw_uncertainty(maps, stem.with_name(f"{stem.name}_uncertainty.png"))
