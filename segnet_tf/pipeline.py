"""From a split to batches: tf.data, parallel, and the same again for the same seed.

A training stream is a function of one counter. Sample n belongs to epoch n // N; a
stateless shuffle of that epoch gives its image, and (seed, n) gives its augmentation.
Nothing else is remembered, so a resumed run sees what the unbroken one would have,
whatever the number of threads.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import tensorflow as tf

from segnet_tf.datasets.split import IGNORE_LABEL, Split
from segnet_tf.errors import UserError

__all__ = [
    "Augmentation",
    "augment",
    "batch_names",
    "evaluation_batches",
    "reading_errors",
    "training_batches",
]


MOST_NOISE = 30.0
"""Standard deviation, of 255."""

MOST_BLUR = 2.5
"""Standard deviation, in pixels."""

JPEG_QUALITY = 10, 70
"""From the worst to the best that counts as degraded."""


@dataclass(frozen=True)
class Augmentation:
    """How a training crop is drawn. Image and labels always move together.

    Attributes:
        crop: height and width of what the network sees.
        scale: range of the zoom, drawn log-uniformly; below 1 shows more of the scene.
        flip: mirror half of the crops.
        light: largest change of brightness, contrast and saturation (0.3 = 30 %).
        degrade: share of the crops that get noise, blur or JPEG artefacts, one of them.

    A fourth channel moves along with the others, but keeps its values: light and
    degrade are of pictures, and nobody knows here what else was measured.
    """

    crop: tuple[int, int]
    scale: tuple[float, float] = (0.5, 1.3)
    flip: bool = True
    light: float = 0.3
    degrade: float = 0.0


def training_batches(
    split: Split,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    start: int = 0,
) -> tf.data.Dataset:
    """An endless stream of augmented batches.

    Args:
        start: how many samples an earlier part of the run has consumed.

    Yields:
        images float32 (B, h, w, channels) in [0, 255]; labels uint8 (B, h, w), void =
        255.
    """

    def sample(n):
        image, labels = _read(split, _shuffled_index(n, len(split), seed))
        return augment(image, labels, augmentation, (seed, tf.cast(n, tf.int32)))

    counter = tf.data.Dataset.counter(start=start)
    samples = counter.map(sample, num_parallel_calls=tf.data.AUTOTUNE)
    return samples.batch(batch_size, drop_remainder=True).prefetch(2)


def _shuffled_index(n: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """Which of `count` images sample n of the stream is drawn from."""
    epoch_seed = tf.stack([seed, tf.cast(n // count, tf.int32)])
    place = tf.cast(n % count, tf.int32)
    return tf.random.experimental.index_shuffle(place, epoch_seed, count - 1)


def batch_names(split: Split, batch_size: int, seed: int, step: int) -> tuple[str, ...]:
    """The names in batch `step` (0 is a run's first) of `training_batches`, in order.

    Nothing has to be remembered for it: the stream is a function of its counter.
    """
    samples = range(step * batch_size, (step + 1) * batch_size)
    indices = [_shuffled_index(tf.constant(n), len(split), seed) for n in samples]
    return tuple(split.names[int(index)] for index in indices)


def evaluation_batches(split: Split) -> tf.data.Dataset:
    """Every image once, in order, whole, at its own size, in batches of one.

    Yields:
        image float32 (1, H, W, channels) in [0, 255]; labels uint8 (1, H, W), void =
        255.
    """

    def sample(index):
        image, labels = _read(split, index)
        return tf.cast(image, tf.float32), labels

    indices = tf.data.Dataset.range(len(split))
    samples = indices.map(sample, num_parallel_calls=tf.data.AUTOTUNE)
    return samples.batch(1).prefetch(4)


@contextmanager
def reading_errors() -> Iterator[None]:
    """Turns a reader's UserError, which tf.data wraps in its own, back into itself."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(rf"{UserError.__name__}: (.+)", str(error))
        if found is None:
            raise
        raise UserError(found[1]) from None


def _read(split: Split, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image, labels = tf.numpy_function(split.read, [index], (tf.uint8, tf.uint8))
    image = tf.ensure_shape(image, (None, None, split.info.channels))
    return image, tf.ensure_shape(labels, (None,) * 2)


def augment(image, labels, augmentation: Augmentation, seed) -> tuple:
    """One random crop of an image and its labels.

    Args:
        image: uint8 (H, W, channels), 1, 3 or 4; labels: uint8 (H, W).
        seed: two integers that decide everything.

    Returns:
        image float32 (h, w, channels) in [0, 255]; labels uint8 (h, w), void where the
        crop reaches beyond the image.
    """
    seed = tf.cast(tf.stack(seed), tf.int32)
    rolls = tf.random.stateless_uniform([7], seed)
    image, labels = _zoomed_crop(image, labels, augmentation, rolls)
    if augmentation.flip:
        mirrored = rolls[3] < 0.5
        image = tf.where(mirrored, image[:, ::-1], image)
        labels = tf.where(mirrored, labels[:, ::-1], labels)
    picture, measured = image[..., :3], image[..., 3:]
    if augmentation.light:
        picture = _relight(picture, augmentation.light * (2 * rolls[4:] - 1))
    if augmentation.degrade:
        picture = _degraded(picture, augmentation.degrade, seed)
    return tf.concat([picture, measured], axis=-1), labels


def _zoomed_crop(image, labels, augmentation, rolls):
    """Cuts the window that, resized to the crop, shows the scene at the drawn scale."""
    low, high = augmentation.scale
    scale = low * tf.pow(high / low, rolls[0])
    crop = tf.constant(augmentation.crop, tf.float32)
    window = tf.maximum(tf.cast(tf.round(crop / scale), tf.int32), 1)
    size = tf.shape(labels)
    # Where the window is larger than the image, the image lies somewhere inside it.
    spare = size - window
    start = tf.cast(
        tf.floor(rolls[1:3] * tf.cast(tf.abs(spare) + 1, tf.float32)), tf.int32
    )
    begin = tf.where(spare >= 0, start, 0)
    before = tf.where(spare >= 0, 0, start)
    take = tf.minimum(size, window)
    pad = tf.stack([before, window - take - before], axis=1)
    cut = image[begin[0] : begin[0] + take[0], begin[1] : begin[1] + take[1]]
    cut_labels = labels[begin[0] : begin[0] + take[0], begin[1] : begin[1] + take[1]]
    mean = tf.cast(tf.reduce_mean(tf.cast(cut, tf.float32)), tf.uint8)
    cut = tf.pad(cut, tf.concat([pad, [[0, 0]]], axis=0), constant_values=mean)
    cut_labels = tf.pad(cut_labels, pad, constant_values=IGNORE_LABEL)
    shape = augmentation.crop
    cut = tf.image.resize(cut, shape, antialias=True)
    cut_labels = tf.image.resize(cut_labels[..., None], shape, method="nearest")
    # A padding that is drawn leaves no dimension known, the channels' neither.
    return tf.ensure_shape(cut, (*shape, image.shape[-1])), tf.ensure_shape(
        cut_labels[..., 0], shape
    )


def _relight(image, change):
    """Brightness, contrast and saturation, each by a factor 1 + change."""
    image = image * (1 + change[0])
    mean = tf.reduce_mean(image)
    image = mean + (image - mean) * (1 + change[1])
    grey = tf.reduce_mean(image, axis=-1, keepdims=True)
    image = grey + (image - grey) * (1 + change[2])
    return tf.clip_by_value(image, 0.0, 255.0)


def _degraded(image, share: float, seed):
    """A picture as bad cameras, lenses and web sites give them, in a share of cases."""
    seed = tf.random.experimental.stateless_fold_in(seed, 1)
    choice, strength = tf.unstack(tf.random.stateless_uniform([2], seed))
    worse = [
        lambda: _noisy(image, MOST_NOISE * strength, seed),
        lambda: _blurred(image, MOST_BLUR * strength),
        lambda: _compressed(image, strength),
    ]
    branch = tf.cast(choice / share * len(worse), tf.int32)
    return tf.switch_case(branch, worse, default=lambda: image)


def _noisy(image, deviation, seed):
    noise = deviation * tf.random.stateless_normal(image.shape, seed)
    return tf.clip_by_value(image + noise, 0.0, 255.0)


def _blurred(image, radius):
    """Gaussian blur, the edge repeated; `radius` is its standard deviation."""
    reach = int(3 * MOST_BLUR)
    steps = tf.range(-reach, reach + 1, dtype=tf.float32)
    weights = tf.nn.softmax(-((steps / tf.maximum(radius, 0.1)) ** 2) / 2)
    rows = tf.tile(weights[:, None, None, None], [1, 1, image.shape[-1], 1])
    ends = [[0, 0], [reach, reach], [reach, reach], [0, 0]]
    padded = tf.pad(image[None], ends, "SYMMETRIC")
    columns = tf.transpose(rows, [1, 0, 2, 3])
    once = tf.nn.depthwise_conv2d(padded, rows, [1] * 4, "VALID")
    return tf.nn.depthwise_conv2d(once, columns, [1] * 4, "VALID")[0]


def _compressed(image, strength):
    low, high = JPEG_QUALITY
    quality = tf.cast(high - strength * (high - low), tf.int32)
    return tf.image.adjust_jpeg_quality(image / 255, quality) * 255
