"""Reads examples inside TensorFlow's graph, so that no thread waits for Python's lock.

`Split.stored` says where the examples lie. A plain file (`plain_files`) is decoded by
TensorFlow, which gives Pillow's bits. If anything in it is not as it was expected, the
split's own `read` reads the example again, and says what is wrong.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import Place, Split, Stored
from segnet_tf.datasets.plain_files import Plain, plain_file

__all__ = ["Reader", "reader"]

Reader = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
"""index, int -> (image uint8 (H, W, channels), labels uint8 (H, W)), in a graph."""

_FORMATS = {"png": 0, "jpeg": 1}

_KINDS = {1: {"grey"}, 3: {"grey", "rgb", "palette"}, 4: {"rgba"}}
"""Channels of an image -> kinds of plain files that are decoded to these channels."""


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
    kinds, found = _KINDS[split.info.channels], {}
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
    stored, images, masks = zip(*found.values(), strict=True)
    tables = np.stack([each.table for each in stored])
    tables, table_of = np.unique(tables, axis=0, return_inverse=True)
    table_of = table_of.reshape(-1)
    formats = np.array([_FORMATS[image.format] for image in images], np.int32)
    image_bytes = _contents([each.image for each in stored], images)
    mask_bytes = _contents([each.mask for each in stored], masks)
    channels = split.info.channels

    def read(index):
        place = tf.gather(place_of, tf.cast(index, tf.int32))
        image = tf.switch_case(
            tf.gather(formats, place),
            [
                lambda: tf.io.decode_png(image_bytes(place), channels),
                lambda: tf.io.decode_jpeg(
                    image_bytes(place),
                    channels if channels < 4 else 3,
                    # Pillow's choice. The faster ones differ in the last bits.
                    dct_method="INTEGER_ACCURATE",
                ),
            ],
        )
        ids = tf.io.decode_png(mask_bytes(place), 1)[..., 0]
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


def _contents(places: Sequence[Place], plain: Sequence[Plain]) -> Callable:
    """number -> the encoded image, if the file still is what was looked at."""
    paths = tf.constant([str(place.path) for place in places])
    heads = tf.constant([each.head for each in plain])
    lengths = np.array([each.length for each in plain], np.int32)

    def content(number):
        found, head = tf.io.read_file(paths[number]), heads[number]
        beginning = tf.strings.substr(found, 0, tf.strings.length(head))
        with tf.control_dependencies(
            [
                tf.debugging.assert_equal(beginning, head),
                tf.debugging.assert_equal(
                    tf.strings.length(found), tf.gather(lengths, number)
                ),
            ]
        ):
            return tf.identity(found)

    return content
