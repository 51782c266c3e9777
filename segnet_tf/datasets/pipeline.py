"""Batches from a split with tf.data: parallel, and equal for equal seeds.

A training stream is a function of one counter. With N images, sample n belongs to epoch
n // N; a stateless shuffle of that epoch gives its image, and (seed, n) gives its
augmentation. There is no other state, so that a resumed run gets the same samples as an
unbroken one, with any number of threads.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

from segnet_tf.datasets.dataset import Split
from segnet_tf.errors import UserError

REMEMBERED_BYTES = 2 * 2**30
"""So much of a training split's decoded images stays in memory: all of CamVid, or
5,000 images of its size. Reading and decoding was half of the work of the stream."""

__all__ = [
    "batch_names",
    "evaluation_batches",
    "reading_errors",
    "training_batches",
]


def training_batches(
    split: Split,
    augment: Callable,
    batch_size: int,
    seed: int,
    start: int = 0,
) -> tf.data.Dataset:
    """An endless stream of augmented batches.

    Args:
        split: the images.
        augment: (image uint8 (H, W, channels), labels uint8 (H, W), seed of two
            integers) -> crop and its labels, always of one size, such as
            `segnet_tf.training.augmentation.augment` with its options.
        batch_size: samples in each batch.
        seed: of the order and of the augmentation.
        start: number of samples that an earlier part of the run has consumed.

    Yields:
        images float32 (B, h, w, channels) in [0, 255]; labels uint8 (B, h, w), void =
        255.
    """

    read = _remembering(split.read)

    def sample(n):
        image, labels = _read(split, _shuffled_index(n, len(split), seed), read)
        return augment(image, labels, (seed, tf.cast(n, tf.int32)))

    counter = tf.data.Dataset.counter(start=start)
    samples = counter.map(sample, num_parallel_calls=tf.data.AUTOTUNE)
    return samples.batch(batch_size, drop_remainder=True).prefetch(2)


def _shuffled_index(n: tf.Tensor, count: int, seed: int) -> tf.Tensor:
    """The index, below `count`, of the image of sample n of the stream."""
    epoch_seed = tf.stack([seed, tf.cast(n // count, tf.int32)])
    place = tf.cast(n % count, tf.int32)
    return tf.random.experimental.index_shuffle(place, epoch_seed, count - 1)


def batch_names(split: Split, batch_size: int, seed: int, step: int) -> tuple[str, ...]:
    """The names in batch `step` (0 is a run's first) of `training_batches`, in order.

    This needs no state, because the stream is a function of its counter.
    """
    samples = range(step * batch_size, (step + 1) * batch_size)
    indices = [_shuffled_index(tf.constant(n), len(split), seed) for n in samples]
    return tuple(split.names[int(index)] for index in indices)


def evaluation_batches(split: Split) -> tf.data.Dataset:
    """Every image once, in order, uncropped, at its own size, in batches of one.

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
    """Raises a reader's UserError again, which tf.data wraps in an error of its own."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(rf"{UserError.__name__}: (.+)", str(error))
        if found is None:
            raise
        raise UserError(found[1]) from None


def _remembering(read: Callable) -> Callable:
    """The same reader, which decodes an image once as long as there is room."""
    kept, room = {}, REMEMBERED_BYTES

    def remembered(index):
        nonlocal room
        index = int(index)
        if index in kept:
            return kept[index]
        image, labels = read(index)
        size = image.nbytes + labels.nbytes
        if size <= room:
            kept[index] = image, labels
            room -= size
        return image, labels

    return remembered


def _read(split: Split, index: tf.Tensor, read: Callable | None = None) -> tuple:
    read = read or split.read
    image, labels = tf.numpy_function(read, [index], (tf.uint8, tf.uint8))
    image = tf.ensure_shape(image, (None, None, split.info.channels))
    return image, tf.ensure_shape(labels, (None,) * 2)
