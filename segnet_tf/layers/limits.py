"""How many values a batch may have for TensorFlow's pooling.

Its kernels count in 32 bits, each in other places: `max_pool_with_argmax` the values of
an image, max pooling the pixels of a batch, kernels for GPUs all values of a batch.
Beyond 2^31 max pooling's gradient ends the process on a CPU. One limit for all of them
is easy to keep to: a float32 tensor of that size takes 8 GiB.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from segnet_tf.errors import UserError

__all__ = ["MOST_VALUES", "check_count", "count", "within_limit"]

MOST_VALUES = 2**31 - 1


def count(sides: Sequence) -> tf.Tensor:
    """The product of the sides of a shape, integers or tensors: int64 ()."""
    return tf.reduce_prod(tf.stack([tf.cast(side, tf.int64) for side in sides]))


def check_count(sides: Sequence) -> None:
    """Refuses a batch of too many values.

    Args:
        sides: of its shape (B, H, W, C). Those that are not integers are not known, and
            count as one.

    Raises:
        UserError: if there are more than `MOST_VALUES` values.
    """
    known = [side for side in sides if isinstance(side, int)]
    if math.prod(known) > MOST_VALUES:
        shape = ", ".join(str(s) if isinstance(s, int) else "?" for s in sides)
        raise UserError(
            f"pooling: a batch of shape ({shape}) has {math.prod(known):,} values or "
            f"more, {_ADVICE}"
        )


_ADVICE = (
    f"but TensorFlow's kernels count up to {MOST_VALUES:,}: take fewer images at once, "
    "or run parts of a large image (segnet_tf.Predictor does so)"
)


def within_limit(x: tf.Tensor, sides: Sequence) -> tf.Tensor:
    """The tensor itself, if a batch of this shape has no more than `MOST_VALUES`.

    Args:
        x: what the kernel reads that counts the batch.
        sides: of the batch's shape (B, H, W, C): integers, or tensors where the graph
            does not know them.

    Raises:
        UserError: if there are too many by the sides that are known.
        tf.errors.InvalidArgumentError: if there turn out to be too many; the graph's
            kernels that read the result have not run then.
    """
    check_count(sides)
    if all(isinstance(side, int) for side in sides):
        return x
    message = f"pooling: the batch has too many values, {_ADVICE}"
    enough = tf.debugging.Assert(count(sides) <= MOST_VALUES, [message])
    with tf.control_dependencies([enough]):
        return tf.identity(x)
