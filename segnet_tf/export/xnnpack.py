"""The same network in operators that XNNPACK runs in one piece.

XNNPACK is the library behind LiteRT on CPUs and in the browser. It has no comparisons,
gathers or scatters. So pooling positions are arithmetic on zeros and ones here. Unlike
in `segnet_tf.layers`, they are not packed into one tensor: a pooling passes three maps
of half the size to its unpooling.

Map k is 1 at windows in which corner k lost, that is, is not the maximum; else it is 0.
The unpooling offers each value to the corners in turn: a corner keeps its own and
passes the rest on, and the last corner keeps what arrives. So the first maximum wins,
and every step is exact: a product with 0 or 1, and a - a or a - 0.

int8 networks get four finished masks instead: if two tensors have two scales, a - b
need not be zero for equal values.
"""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.export.quantization import Limits
from segnet_tf.export.winograd import CornerConv2D, faster_convolutions
from segnet_tf.layers.normalization import LocalResponseNormalization
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.layers.positions import corners, first_winner_masks, lost, repeat_last
from segnet_tf.models.clone import clone, rebuilt

__all__ = ["xnnpack_model"]

STEEP = 256.0
"""Slope of the step function in int8 networks: differences of 1/256 or more become 1.
XNNPACK multiplies if the ratio of the scales is below 256: for steps of less than 1."""


def xnnpack_model(
    model: keras.Model,
    height: int,
    width: int,
    integer: bool = False,
    limits: Limits | None = None,
    winograd: bool = False,
    floor: bool = False,
) -> keras.Model:
    """The same network for images of one size, in XNNPACK's operators.

    Args:
        model: a functional model of Keras' layers and ours, any pooling mode.
        height: of the images.
        width: of the images. If both are multiples of `size_multiple(model)`, no
            operator of the result depends on them.
        integer: whether to use the form that survives 8-bit quantisation.
        limits: the result of `sum_limits`; the summands are clipped to it.
        winograd: whether large 3x3 convolutions get fewer products and larger kernels.
        floor: whether FLOOR and NEG take the place of CEIL.

    Returns:
        A float32 model of batch 1, for export only: it cannot be trained or saved as a
        `.keras` file.
    """
    replaced, idle = ({}, set()) if integer else faster_convolutions(model, winograd)

    def replace(layer):
        if layer.name in replaced:
            return replaced[layer.name]
        if layer.name in idle:
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, MaxPoolingWithArgmax2D):
            return _Pooling(integer, lost_by_floor if floor else lost, name=layer.name)
        return _replacement(layer, integer, (limits or {}).get(layer.name, ()))

    image = keras.Input(batch_shape=(1, height, width, model.input_shape[-1]))
    return clone(model, replace, image, _Wiring(idle))


def _replacement(layer, integer: bool, limits):
    """The layer that replaces `layer`: in XNNPACK's operators and in float32."""
    if isinstance(layer, MaxUnpooling2D):
        return _Unpooling(integer, name=layer.name)
    if isinstance(layer, LocalResponseNormalization) and layer.beta == 0.75:
        return _Normalization(layer, name=layer.name)
    if integer and isinstance(layer, keras.layers.Rescaling):
        return _Rescaling(layer.scale, layer.offset, name=layer.name)
    if any(limits):
        return _ClippedAdd(limits, name=layer.name)
    return rebuilt(layer, dtype="float32")


class _Wiring:
    """Calls the layers of a clone, some of which have more outputs than the original.

    The graph has one tensor of positions for each pooling, and one output for each
    convolution. In the clone, the first map goes that way; the other maps are looked up
    by its id.

    Args:
        idle: names of layers whose work another layer has taken over.
    """

    def __init__(self, idle: set[str]):
        self.idle = idle
        self.positions: dict[int, list] = {}
        self.corners: dict[int, list] = {}

    def __call__(self, layer, *args, **kwargs):
        if layer.name in self.idle:
            return args[0]
        if isinstance(layer, CornerConv2D):
            whole, *apart = layer(*args, **kwargs)
            self.corners[id(whole)] = apart
            return whole
        if isinstance(layer, _Pooling):
            pooled, *maps = layer(*args, self.corners.get(id(args[0])), **kwargs)
            self.positions[id(maps[0])] = maps
            return pooled, maps[0]
        if isinstance(layer, _Unpooling):
            values, first, *rest = args
            return layer(values, self.positions[id(first)], *rest, **kwargs)
        return layer(*args, **kwargs)


class _Pooling(keras.layers.Layer):
    """2x2 max pooling: `(pooled, *positions)`, the positions 3 or 4 x (1, h, w, C)."""

    def __init__(self, integer: bool, lost: Callable, **kwargs):
        super().__init__(**kwargs)
        self.integer = integer
        self.lost = lost

    def call(self, x, apart=None):
        if apart:
            pooled = tf.maximum(tf.maximum(*apart[:2]), tf.maximum(*apart[2:]))
        else:
            even = repeat_last(repeat_last(x, axis=1), axis=2)
            pooled = tf.nn.max_pool2d(even, 2, 2, "VALID")
            apart = corners(even)
        if not self.integer:
            return (pooled, *(self.lost(pooled, corner) for corner in apart[:3]))
        # `ceil` has no 8-bit form; a steep slope replaces it. As in `lost`, the lower
        # bound does not change the result, but lets both bounds fuse.
        steps = [
            tf.clip_by_value(STEEP * (pooled - corner), -1, 1) for corner in apart[:3]
        ]
        return (pooled, *first_winner_masks(steps))


def lost_by_floor(maximum: tf.Tensor, corner: tf.Tensor) -> tf.Tensor:
    """The same as `segnet_tf.layers.positions.lost`, with one operator more."""
    return -tf.math.floor(tf.clip_by_value(corner - maximum, -1, 1))


class _Unpooling(keras.layers.Layer):
    """Puts values at the places where `_Pooling` found its maxima."""

    def __init__(self, integer: bool, **kwargs):
        super().__init__(**kwargs)
        self.integer = integer

    def call(self, values, positions, like=None):
        if self.integer:
            corners = [values * mask for mask in positions]
        else:
            corners = _handed_out(values, positions)
        doubled = tf.nn.depth_to_space(tf.concat(corners, axis=-1), 2)
        if like is None or doubled.shape[1:3] == like.shape[1:3]:
            return doubled
        return tf.slice(doubled, [0] * 4, [1, *like.shape[1:3], values.shape[-1]])


class _ClippedAdd(keras.layers.Layer):
    """Adds two tensors, each clipped to its limits if it has any.

    min(max(x, low), high) is written as a ReLU6 of a scaled x; scaling and shifting
    back become part of the neighbours. 8 bits then cover exactly low..high.
    """

    def __init__(self, limits, **kwargs):
        super().__init__(**kwargs)
        self.limits = limits

    def call(self, summands):
        parts, shift = [], 0.0
        for x, limit in zip(summands, self.limits, strict=True):
            if limit is None:
                parts.append(x)
                continue
            low, high = limit
            slope = 6 / (high - low)
            parts.insert(0, tf.nn.relu6((x - low) * slope) / slope)
            shift += low
        return parts[0] + (parts[1] + shift)


class _Rescaling(keras.layers.Layer):
    """x * scale + offset as one convolution, which keeps all 256 values apart in int8.

    A product and a sum would lose a third of them.
    """

    def __init__(self, scale, offset, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.shift = scale, offset

    def call(self, x):
        channels = x.shape[-1]
        kernel = np.diag(np.broadcast_to(self.scale, channels)).astype(np.float32)
        shift = np.broadcast_to(self.shift, channels).astype(np.float32)
        return tf.nn.conv2d(x, kernel[None, None], 1, "VALID") + shift


class _Normalization(keras.layers.Layer):
    """Local response normalisation with beta = 0.75, as convolution and roots."""

    def __init__(self, original: LocalResponseNormalization, **kwargs):
        super().__init__(**kwargs)
        self.original = original

    def call(self, x):
        channels = x.shape[-1]
        near = tf.abs(tf.range(channels)[:, None] - tf.range(channels)[None])
        window = tf.cast(near <= self.original.depth_radius, tf.float32)
        scale = window[None, None] * self.original.alpha
        bias = self.original.bias
        energy = bias + tf.nn.conv2d(x * x, scale, 1, "VALID")
        # It never is below. But a GPU pads three channels with a fourth of zeros, whose
        # root would be infinite and make NaN of the next convolution (web/README.md).
        energy = tf.maximum(energy, bias)
        root = tf.math.rsqrt(energy)
        return x * root * tf.sqrt(root)


def _handed_out(values, lost: list) -> list:
    """The part of `values` that each of the four corners keeps."""
    kept, rest = [], values
    for loses in lost:
        passed_on = rest * loses
        kept.append(rest - passed_on)
        rest = passed_on
    return [*kept, rest]
