"""Batches from a split with tf.data: parallel, and equal for equal seeds.

A training stream is a function of one counter. With N images, sample n belongs to epoch
n // N; a stateless shuffle of that epoch gives its image, and (seed, n) gives its
augmentation. In a split of several parts, each part counts for itself. There is no
other state, so that a resumed run gets the same samples as an unbroken one, with any
number of threads.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import IGNORE_LABEL, Split
from segnet_tf.errors import UserError

__all__ = [
    "batch_names",
    "evaluation_batches",
    "reading_errors",
    "remembered_bytes",
    "training_batches",
]

REMEMBERED_BYTES = 2 * 2**30
"""So much of a training split's decoded images stays in memory: all of CamVid, or
3,000 images of its size. Reading and decoding was half of the work of the stream."""


def training_batches(
    split: Split,
    augment: Callable,
    batch_size: int,
    seed: int,
    start: int = 0,
    replicas: int = 1,
    here: range = range(1),
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
        replicas: each batch is cut into so many parts of one size.
        here: the parts that are yielded, one after the other.

    Yields:
        images float32 (B / replicas, h, w, channels) in [0, 255]; labels uint8
        (B / replicas, h, w), void = 255.
    """
    split = replace(split, read=_remembering(split.read))

    size = batch_size // replicas

    def sample(count):
        n = start + _place(count, replicas * size, here.start * size, len(here) * size)
        image, labels = _read(split, _shuffled_index(n, split, seed))
        return augment(image, labels, (seed, tf.cast(n, tf.int32)))

    counter = tf.data.Dataset.counter()
    samples = counter.map(sample, num_parallel_calls=tf.data.AUTOTUNE)
    return samples.batch(size, drop_remainder=True).prefetch(2)


def _place(count: tf.Tensor, whole: int, first: int, length: int) -> tf.Tensor:
    """The place in a stream of whole batches, from that in a stream of their parts.

    Args:
        count: the place among the samples that are yielded.
        whole: samples in a batch.
        first: the first of them that is yielded.
        length: so many are yielded.
    """
    return count // length * whole + first + count % length


def _shuffled_index(n: tf.Tensor, split: Split, seed: int) -> tf.Tensor:
    """The index of the image of sample n of the stream.

    The parts of a split take turns, as their shares say, and each has its own epochs.
    """
    counts, shares = zip(*(split.shares or ((len(split), 1),)), strict=True)
    turns = _turns(shares)
    round_, turn = n // len(turns), tf.cast(n % len(turns), tf.int32)
    part = tf.gather([part for part, _ in turns], turn)
    before = tf.cast(tf.gather([before for _, before in turns], turn), n.dtype)
    # So many samples of this part came earlier.
    n = round_ * tf.cast(tf.gather(shares, part), n.dtype) + before
    count = tf.cast(tf.gather(counts, part), n.dtype)
    epoch_seed = tf.stack([seed, tf.cast(n // count, tf.int32)])
    place, last = tf.cast(n % count, tf.int32), tf.cast(count - 1, tf.int32)
    first = tf.gather(np.cumsum((0, *counts[:-1]), dtype=np.int32), part)
    return first + tf.random.experimental.index_shuffle(place, epoch_seed, last)


def _turns(shares: Sequence[int]) -> list[tuple[int, int]]:
    """One round of the parts: (part, its number of earlier turns), evenly spread."""
    at = sorted(
        ((turn + 0.5) / share, part, turn)
        for part, share in enumerate(shares)
        for turn in range(share)
    )
    return [(part, turn) for _, part, turn in at]


def batch_names(split: Split, batch_size: int, seed: int, step: int) -> tuple[str, ...]:
    """The names in batch `step` (0 is a run's first) of `training_batches`, in order.

    This needs no state, because the stream is a function of its counter.
    """
    samples = range(step * batch_size, (step + 1) * batch_size)
    indices = [_shuffled_index(tf.constant(n), split, seed) for n in samples]
    return tuple(split.names[int(index)] for index in indices)


def evaluation_batches(
    split: Split, replicas: int = 1, here: range = range(1)
) -> tf.data.Dataset:
    """Every image once, in order, uncropped, at its own size, in batches of one.

    Args:
        split: the images.
        replicas: these take turns, in rounds. If the last round has too few images,
            the first image fills it, and all of its pixels are void.
        here: the replicas whose images are yielded.

    Yields:
        image float32 (1, H, W, channels) in [0, 255]; labels uint8 (1, H, W), void =
        255.
    """
    rounds, images = -(-len(split) // replicas), len(split)

    def sample(count):
        place = _place(count, replicas, here.start, len(here))
        index = tf.where(place < images, place, 0)
        image, labels = _read(split, index)
        labels = tf.where(place < images, labels, tf.constant(IGNORE_LABEL, tf.uint8))
        return tf.cast(image, tf.float32), labels

    counter = tf.data.Dataset.range(rounds * len(here))
    samples = counter.map(sample, num_parallel_calls=tf.data.AUTOTUNE)
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


def remembered_bytes(split: Split) -> int:
    """The memory that a training stream takes for decoded images of a split.

    Args:
        split: the training split; `info.image_size` counts if it is known.
    """
    if split.info.image_size is None:
        return 0
    height, width = split.info.image_size
    one = height * width * (split.info.channels + 1)
    return min(len(split) * one, REMEMBERED_BYTES)


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


def _read(split: Split, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image, labels = tf.numpy_function(split.read, [index], (tf.uint8, tf.uint8))
    image = tf.ensure_shape(image, (None, None, split.info.channels))
    return image, tf.ensure_shape(labels, (None,) * 2)
