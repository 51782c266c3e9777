"""Keeps the decoded pictures of a training split in TensorFlow's own memory."""

import tensorflow as tf

from segnet_tf.datasets.dataset import Split, typical_size
from segnet_tf.datasets.native import Reader

__all__ = ["MEMORY_BYTES", "decoded_bytes", "remembered"]

MEMORY_BYTES = 2 * 2**30
"""So much of a split's decoded pictures stays in memory: all of CamVid, or 3,000
pictures of its size."""


def remembered(read: Reader, room: int | None = None) -> Reader:
    """The same reader, which decodes an example once as long as there is room.

    Args:
        read: how an example is read.
        room: bytes; None: `MEMORY_BYTES`.
    """
    room = MEMORY_BYTES if room is None else room
    # A table is the only store of TensorFlow that many threads fill and read by number.
    # A numpy_function around a dict would wait for Python's lock.
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.string, ["", ""])
    used = tf.Variable(0, dtype=tf.int64)

    def decode_and_keep(index):
        image, labels = read(index)
        size = tf.cast(tf.size(image) + tf.size(labels), tf.int64)

        def keep():
            pair = tf.stack([tf.io.serialize_tensor(each) for each in (image, labels)])
            inserted = table.insert(tf.cast(index, tf.int64), pair)
            with tf.control_dependencies([inserted]):
                return used.assign_add(size)

        # Threads that are here together may exceed the room by a picture each.
        kept = tf.cond(used + size <= room, keep, lambda: used.read_value())
        with tf.control_dependencies([kept]):
            return tf.identity(image), tf.identity(labels)

    def remembered(index):
        image, labels = tf.unstack(table.lookup(tf.cast(index, tf.int64)), 2)
        return tf.cond(
            tf.equal(tf.strings.length(image), 0),
            lambda: decode_and_keep(index),
            lambda: (
                tf.io.parse_tensor(image, tf.uint8),
                tf.io.parse_tensor(labels, tf.uint8),
            ),
        )

    return remembered


def decoded_bytes(split: Split) -> int:
    """About how many bytes all decoded pictures and labels of a split take."""
    height, width = split.info.image_size or typical_size(split)
    return len(split) * height * width * (split.info.channels + 1)
