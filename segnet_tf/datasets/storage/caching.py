"""Keeps decoded images of a training split, in memory or on disk."""

import tensorflow as tf

from segnet_tf.datasets.dataset import Split
from segnet_tf.datasets.storage.disk_cache import decoded_bytes, on_disk
from segnet_tf.datasets.storage.native import Reader, reader

__all__ = [
    "MEMORY_BYTES",
    "cache_remarks",
    "cached_reader",
    "remembered",
    "remembered_bytes",
]

MEMORY_BYTES = 2 * 2**30
"""So much of a split's decoded images stays in memory: all of CamVid, or 3,000
images of its size."""


def cached_reader(split: Split, cache: str) -> Reader:
    """How a graph reads a split whose decoded images are kept.

    Args:
        split: the split.
        cache: "memory", "disk" or "none".

    Raises:
        UserError: as `segnet_tf.datasets.storage.disk_cache.on_disk`.
    """
    if cache == "disk":
        split = on_disk(split)
    read = reader(split)
    return remembered(read) if cache == "memory" else read


def cache_remarks(split: Split, cache: str) -> tuple[str, ...]:
    """A line on how much of a split the memory will hold; none for other caches."""
    if cache != "memory":
        return ()
    needed = decoded_bytes(split)
    if needed <= MEMORY_BYTES:
        return (f"memory will hold all decoded images, {needed / 1e6:,.0f} MB",)
    return (
        f"memory will hold {MEMORY_BYTES / needed:.0%} of the decoded images, which "
        f"take {needed / 1e9:.1f} GB; --cache disk may hold all",
    )


def remembered_bytes(split: Split, cache: str) -> int:
    """So much memory the decoded images of a split will take."""
    return min(decoded_bytes(split), MEMORY_BYTES) if cache == "memory" else 0


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
