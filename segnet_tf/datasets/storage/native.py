"""Reads examples inside TensorFlow's graph, so that no thread waits for Python's lock.

`Split.stored` says where the examples lie. A plain file (`plain_files`) is decoded by
TensorFlow, which gives Pillow's bits. If anything in it is not as it was expected, the
split's own `read` reads the example again, and says what is wrong.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import Split, Stored
from segnet_tf.datasets.storage.plain_files import KINDS, Plain, plain_file

__all__ = ["Reader", "hash_of", "reader"]

Reader = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""index, int -> (image uint8 (H, W, channels), labels uint8 (H, W)), in a graph."""

_FORMATS = {"png": 0, "jpeg": 1}

_UNKNOWN = -1


def hash_of(contents: Any) -> tf.Tensor:
    """A checksum of strings, int64 from 0 on, that a graph computes fast.

    It finds damage that a decoder of JPEG would not; TensorFlow promises that it stays.
    """
    return tf.strings.to_hash_bucket_fast(contents, 2**62)


def reader(split: Split) -> Reader:
    """How a graph reads the examples of a split, each the way that is right for it.

    This looks at the beginning of each file once.
    """

    def python(index):
        image, labels = tf.numpy_function(split.read, [index], (tf.uint8, tf.uint8))
        return _shaped(image, labels, split)

    found = _plain_examples(split)
    if not any(found.values()):
        return python
    native = _native(split, found)

    def read(index):
        # A dataset of one example is the only place in a graph that survives an error:
        # what the first part loses, the second part has.
        one = tf.data.Dataset.from_tensors(index)
        first = one.map(native).ignore_errors()
        return first.concatenate(one.map(python)).take(1).get_single_element()

    return read


def _shaped(image, labels, split: Split):
    image = tf.ensure_shape(image, (None, None, split.info.channels))
    return image, tf.ensure_shape(labels, (None, None))


def _plain_examples(split: Split) -> dict[int, tuple[Stored, Plain, Plain]]:
    """Index -> what is known of an example that TensorFlow can read."""
    kinds, found = KINDS[split.info.channels], {}
    for index, stored in enumerate(split.stored):
        if stored is None:
            continue
        image = plain_file(stored.image)
        mask = plain_file(stored.mask) if image and image.kind in kinds else None
        # The indices of a palette are ids, but TensorFlow gives its colours.
        if mask and (mask.format, mask.kind) == ("png", "grey"):
            found[index] = stored, image, mask
    return found


def _native(split: Split, found: dict) -> Reader:
    """Reads plain examples; raises an error of TensorFlow for all others."""
    # Index -> its place in the columns below; -1: not there, which `tf.gather` refuses.
    place_of = np.full(len(split), -1, np.int32)
    place_of[list(found)] = np.arange(len(found))
    stored, images, _ = zip(*found.values(), strict=True)
    # Few tables, for many examples.
    unlike = {each.table.tobytes(): each.table for each in stored}
    tables = np.stack([*unlike.values()])
    numbers = {key: number for number, key in enumerate(unlike)}
    table_of = np.array([numbers[each.table.tobytes()] for each in stored], np.int32)
    formats = np.array([_FORMATS[image.format] for image in images], np.int32)
    contents_of = _contents(list(found.values()))
    channels = split.info.channels

    def read(index):
        place = tf.gather(place_of, tf.cast(index, tf.int32))
        image_bytes, mask_bytes = contents_of(place)
        image = tf.switch_case(
            tf.gather(formats, place),
            [
                lambda: tf.io.decode_png(image_bytes, channels),
                lambda: tf.io.decode_jpeg(
                    image_bytes,
                    channels if channels < 4 else 3,
                    # Pillow's choice. The faster ones differ in the last bits.
                    dct_method="INTEGER_ACCURATE",
                ),
            ],
        )
        ids = tf.io.decode_png(mask_bytes, 1)[..., 0]
        table = tf.gather(tables, tf.gather(table_of, place))
        labels = tf.gather(table, tf.cast(ids, tf.int32))
        with tf.control_dependencies(
            [
                tf.debugging.assert_non_negative(labels),
                tf.debugging.assert_equal(tf.shape(image)[:2], tf.shape(labels)),
            ]
        ):
            return _shaped(tf.identity(image), tf.cast(labels, tf.uint8), split)

    return read


def _contents(found: Sequence[tuple[Stored, Plain, Plain]]) -> Callable:
    """number -> the encoded image and mask, if they still are what was looked at."""
    places = [(stored.image, stored.mask) for stored, _, _ in found]
    paths = tf.constant([[str(place.path) for place in pair] for pair in places])
    heads = tf.constant([[each.head for each in plain] for _, *plain in found])
    lengths = np.array([[each.length for each in plain] for _, *plain in found])
    hashes = [[_UNKNOWN if p.hash is None else p.hash for p in pair] for pair in places]
    hashes = np.array(hashes, np.int64)
    parts = np.array([image.length is not None for image, _ in places])
    spans = _spans(found)

    def whole_files(number):
        return tf.io.read_file(paths[number, 0]), tf.io.read_file(paths[number, 1])

    def parts_of_a_file(number):
        begin, length, behind, image, mask = tf.unstack(tf.gather(spans, number), 5)
        # No other operator of TensorFlow reads a part of a file.
        span = tf.data.FixedLengthRecordDataset(
            paths[number, 0], length, begin, behind
        ).get_single_element()
        sizes = tf.gather(lengths, number)
        return tf.strings.substr(span, image, sizes[0]), tf.strings.substr(
            span, mask, sizes[1]
        )

    def contents(number):
        if not parts.any():
            contents = whole_files(number)
        else:
            contents = tf.cond(
                tf.gather(parts, number),
                lambda: parts_of_a_file(number),
                lambda: whole_files(number),
            )
        beginnings = tf.strings.substr(
            contents, [0, 0], tf.strings.length(heads[number])
        )
        found = tf.cast(tf.strings.length(contents), tf.int64)
        expected = [
            tf.debugging.assert_equal(beginnings, heads[number]),
            tf.debugging.assert_equal(found, tf.gather(lengths, number)),
        ]
        if (hashes != _UNKNOWN).any():
            known = tf.gather(hashes, number)
            same = (known == _UNKNOWN) | (known == hash_of(contents))
            expected.append(tf.debugging.assert_equal(tf.reduce_all(same), True))
        with tf.control_dependencies(expected):
            return tuple(map(tf.identity, contents))

    return contents


def _spans(found: Sequence[tuple[Stored, Plain, Plain]]) -> np.ndarray:
    """The part of a file that holds an image and its mask, for each example.

    Returns:
        int64 (N, 5): its begin, its length, the number of bytes behind it, and the
        places of the image and of the mask in it. Zeros for files of their own.
    """
    spans, sizes = np.zeros((len(found), 5), np.int64), {}
    for row, (stored, image, mask) in zip(spans, found, strict=True):
        if stored.image.length is None:
            continue
        path, begins = stored.image.path, (stored.image.begin, stored.mask.begin)
        if path not in sizes:
            sizes[path] = path.stat().st_size
        begin = min(begins)
        end = max(begins[0] + image.length, begins[1] + mask.length)
        row[:] = begin, end - begin, sizes[path] - end, *(np.array(begins) - begin)
    return spans
