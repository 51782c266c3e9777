"""Random training crops: one small function for each change, in one table.

For a change of your own, add a field to `Augmentation`, which becomes a flag of
`train.py`, and a function at the end of `CHANGES`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from segnet_tf.console.cli import parsed_size
from segnet_tf.console.options import (
    BELOW_ONE,
    SHARE,
    Bound,
    check_options,
    option,
    parsed_range,
)
from segnet_tf.console.quiet import tensorflow as tf
from segnet_tf.datasets.dataset import IGNORE_LABEL

__all__ = ["CHANGES", "Augmentation", "augment"]

MOST_NOISE = 30.0
"""Largest standard deviation of the noise; pixels go from 0 to 255."""

MOST_BLUR = 2.5
"""Largest standard deviation of the blur, in pixels."""

JPEG_QUALITY = 10, 70
"""JPEG quality of the worst and of the best corrupted crop."""

LOW_TO_HIGH = Bound(
    "must be 0 < LOW <= HIGH", lambda zoom: 0 < zoom[0] <= zoom[1] < math.inf
)


@dataclass(frozen=True)
class Augmentation:
    """How much of each change a training crop gets.

    Image and labels always move together. A fourth channel moves with the others but
    keeps its values: color_jitter, corruption and lighting imitate cameras, and the
    fourth channel may hold any measurement.

    Attributes:
        crop: height and width.
        zoom: the range that the zoom is drawn from, uniformly in its logarithm.
        flip: whether half of the crops are mirrored.
        color_jitter: brightness, contrast and saturation are each multiplied by a
            factor in 1 - color_jitter..1 + color_jitter.
        corruption: the share of the crops that get noise, blur or JPEG artefacts.
        lighting: gamma is drawn from 1 / (1 + lighting)..1 + lighting, and the share of
            each colour (the white balance) from a range half as wide.

    Raises:
        UserError: if a value is out of its range.
    """

    crop: tuple[int, int] = option(
        (192, 256), "size of a training crop, as HxW", parse=parsed_size
    )
    zoom: tuple[float, float] = option(
        (0.5, 1.3),
        "range of the zoom, as LOW-HIGH; below 1 shows more of the scene",
        bound=LOW_TO_HIGH,
        parse=parsed_range,
    )
    flip: bool = option(True, "mirror half of the crops")
    color_jitter: float = option(
        0.3,
        "largest change of brightness, contrast, saturation; 0.3 is 30 %",
        bound=BELOW_ONE,
    )
    corruption: float = option(
        0.0, "share of the crops that get noise, blur or JPEG artefacts", bound=SHARE
    )
    lighting: float = option(
        0.0,
        "largest change of gamma and, by half, of the white balance",
        bound=BELOW_ONE,
    )

    def __post_init__(self):
        check_options(self)


def augment(image, labels, augmentation: Augmentation, seed) -> tuple:
    """One random crop of an image and its labels.

    Args:
        image: uint8 (H, W, channels), 1, 3 or 4 channels.
        labels: uint8 (H, W).
        augmentation: how much of each change.
        seed: two integers; the same seed gives the same crop.

    Returns:
        image float32 (h, w, channels) in [0, 255]; labels uint8 (h, w), void where the
        crop reaches beyond the image.
    """
    seed = tf.cast(tf.stack(seed), tf.int32)
    for place, change in enumerate(CHANGES):
        # Each change has its own seed: a new one at the end does not alter the others.
        own = tf.random.experimental.stateless_fold_in(seed, place)
        image, labels = change(image, labels, augmentation, own)
    return image, labels


def zoomed_crop(image, labels, augmentation: Augmentation, seed):
    """Cuts a window out of the image and resizes it to the crop: that is the zoom."""
    low, high = augmentation.zoom
    exponent, *place = tf.unstack(tf.random.stateless_uniform([3], seed))
    zoom = low * tf.pow(high / low, exponent)  # uniform in its logarithm
    crop = tf.constant(augmentation.crop, tf.float32)
    window = tf.maximum(tf.cast(tf.round(crop / zoom), tf.int32), 1)
    size = tf.shape(labels)
    # If the window is larger than the image, the image lies somewhere inside it.
    spare = size - window
    start = tf.cast(
        tf.floor(tf.stack(place) * tf.cast(tf.abs(spare) + 1, tf.float32)), tf.int32
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
    # After a random padding TensorFlow knows no dimension, not even the channels.
    return tf.ensure_shape(cut, (*shape, image.shape[-1])), tf.ensure_shape(
        cut_labels[..., 0], shape
    )


def flip(image, labels, augmentation: Augmentation, seed):
    """Mirrors half of the crops horizontally."""
    if not augmentation.flip:
        return image, labels
    mirrored = tf.random.stateless_uniform([], seed) < 0.5
    # A condition computes one side only.
    return tf.cond(
        mirrored,
        lambda: (image[:, ::-1], labels[:, ::-1]),
        lambda: (image, labels),
    )


def color_jitter(image, labels, augmentation: Augmentation, seed):
    """Multiplies brightness, contrast and saturation by random factors around 1."""
    most = augmentation.color_jitter
    if not most:
        return image, labels
    drawn = tf.random.stateless_uniform([3], seed, 1 - most, 1 + most)
    brightness, contrast, saturation = tf.unstack(drawn)

    def jittered(picture):
        picture = picture * brightness
        mean = tf.reduce_mean(picture)
        picture = mean + (picture - mean) * contrast
        grey = tf.reduce_mean(picture, axis=-1, keepdims=True)
        picture = grey + (picture - grey) * saturation
        return tf.clip_by_value(picture, 0.0, 255.0)

    return _on_picture(image, jittered), labels


def corruption(image, labels, augmentation: Augmentation, seed):
    """Makes some crops bad pictures: noise, blur or JPEG artefacts, drawn at random."""
    share = augmentation.corruption
    if not share:
        return image, labels
    choice, strength = tf.unstack(tf.random.stateless_uniform([2], seed))

    def corrupted(picture):
        kinds = [
            lambda: noisy(picture, MOST_NOISE * strength, seed),
            lambda: blurred(picture, MOST_BLUR * strength),
            lambda: compressed(picture, strength),
        ]
        branch = tf.cast(choice / share * len(kinds), tf.int32)
        return tf.switch_case(branch, kinds, default=lambda: picture)

    return _on_picture(image, corrupted), labels


def lighting(image, labels, augmentation: Augmentation, seed):
    """Changes gamma and white balance, as other cameras and other hours do."""
    most = augmentation.lighting
    if not most:
        return image, labels
    exponent, *shares = tf.unstack(tf.random.stateless_uniform([4], seed, -1, 1))
    gamma = tf.pow(1 + most, exponent)

    def relit(picture):
        gains = tf.pow(1 + most / 2, tf.stack(shares[: picture.shape[-1]]))
        balanced = picture / 255 * gains / tf.reduce_mean(gains)
        return tf.pow(tf.clip_by_value(balanced, 0.0, 1.0), gamma) * 255

    return _on_picture(image, relit), labels


CHANGES: tuple[Callable, ...] = (zoomed_crop, flip, color_jitter, corruption, lighting)
"""The changes in their order. Each maps (image, labels, augmentation, seed) to (image,
labels). The first takes the whole image, uint8; the others take a crop, float32."""


def _on_picture(image, change: Callable):
    """Applies a change to grey or RGB; a fourth channel keeps its values."""
    return tf.concat([change(image[..., :3]), image[..., 3:]], axis=-1)


def noisy(image, deviation, seed):
    """The image with normal noise of a standard deviation, clipped to [0, 255]."""
    noise = deviation * tf.random.stateless_normal(image.shape, seed)
    return tf.clip_by_value(image + noise, 0.0, 255.0)


def blurred(image, radius):
    """The image after a Gaussian blur of standard deviation `radius`, in pixels.

    The image is mirrored at its edges.
    """
    reach = int(3 * MOST_BLUR)
    steps = tf.range(-reach, reach + 1, dtype=tf.float32)
    weights = tf.nn.softmax(-((steps / tf.maximum(radius, 0.1)) ** 2) / 2)
    rows = tf.tile(weights[:, None, None, None], [1, 1, image.shape[-1], 1])
    ends = [[0, 0], [reach, reach], [reach, reach], [0, 0]]
    padded = tf.pad(image[None], ends, "SYMMETRIC")
    columns = tf.transpose(rows, [1, 0, 2, 3])
    once = tf.nn.depthwise_conv2d(padded, rows, [1] * 4, "VALID")
    return tf.nn.depthwise_conv2d(once, columns, [1] * 4, "VALID")[0]


def compressed(image, strength):
    """The image after JPEG compression; strength 0 is mild, 1 is strongest."""
    low, high = JPEG_QUALITY
    quality = tf.cast(high - strength * (high - low), tf.int32)
    return tf.image.adjust_jpeg_quality(image / 255, quality) * 255
