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

import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import IGNORE_LABEL, Split
from segnet_tf.datasets.storage.caching import cached_reader
from segnet_tf.datasets.storage.native import reader
from segnet_tf.errors import UserError

__all__ = [
    "batch_names",
    "evaluation_batches",
    "evaluation_rounds",
    "reading_errors",
    "training_batches",
]


def training_batches(
    split: Split,
    augment: Callable,
    batch_size: int,
    seed: int,
    start: int = 0,
    cache: str = "memory",
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
        cache: where decoded images are kept: see
            `segnet_tf.datasets.storage.caching.cached_reader`.
        replicas: each batch is cut into so many parts of one size.
        here: the parts that are yielded, one after the other.

    Yields:
        images float32 (B / replicas, h, w, channels) in [0, 255]; labels uint8
        (B / replicas, h, w), void = 255.
    """
    read = cached_reader(split, cache)

    size = batch_size // replicas

    def sample(count):
        n = start + _place(count, replicas * size, here.start * size, len(here) * size)
        image, labels = read(_shuffled_index(n, split, seed))
        image = tf.ensure_shape(image, (None, None, split.info.channels))
        labels = tf.ensure_shape(labels, (None, None))
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
    rounds, images = evaluation_rounds(split, replicas), len(split)

    read = reader(split)

    def sample(count):
        place = _place(count, replicas, here.start, len(here))
        index = tf.where(place < images, place, 0)
        image, labels = read(index)
        labels = tf.where(place < images, labels, tf.constant(IGNORE_LABEL, tf.uint8))
        return tf.cast(image, tf.float32), labels

    counter = tf.data.Dataset.range(rounds * len(here))
    samples = counter.map(sample, num_parallel_calls=tf.data.AUTOTUNE)
    return samples.batch(1).prefetch(4)


def evaluation_rounds(split: Split, replicas: int) -> int:
    """How many images of `evaluation_batches` each replica gets."""
    return -(-len(split) // replicas)


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
