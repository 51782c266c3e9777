"""The same network, written in operators that XNNPACK runs in one piece.

XNNPACK, the library behind LiteRT on every CPU and in the browser, has neither
comparisons nor gathers nor scatters. So positions are held as arithmetic on zeros and
ones here, and unlike in `segnet_tf.layers` nothing is put into one tensor only to be
taken apart again: a pooling hands its unpooling three maps of half the size.

`lost_k` is 1 where corner k of a window is not its maximum, else 0. Unpooling offers
each value to the corners in turn: a corner keeps what is its own and passes on the
rest, the last corner keeps whatever arrives. So the first maximum wins, and every
step is exact: a product with 0 or 1, and a - a or a - 0.

Integer networks get four finished masks instead, since there a - b of two tensors
with two scales does not have to be zero where it should be.
"""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.convolutions import CornerConv2D, cheaper_convolutions
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models.blocks import LocalResponseNormalization

__all__ = ["in_float32", "lowered", "one_image", "sum_limits"]

STEEP = 256.0
"""Slope of the integer networks' step: differences of 1/256 or more come out as 1.
XNNPACK multiplies where the scales' ratio is below 256: at steps of less than 1."""

Limits = dict[str, list[tuple[float, float] | None]]
"""By an Add layer's name, what each of its summands should be clipped to, if at all."""


def sum_limits(model: keras.Model, images: Iterable[np.ndarray]) -> Limits:
    """Between which values the summands of a clipped sum matter.

    min(max(a + b, 0), 6) does not change when a is clipped to -max(b)..6 - min(b).
    Without that, one large summand takes all of the 256 steps that 0 to 6 needs.

    Args:
        images: float32 (H, W, channels), to see how large the summands become.
    """
    sums = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Add) and len(layer.input) == 2
    ]
    tops = {}
    for layer in sums:
        users = [node.operation for node in layer._outbound_nodes]
        if len(users) == 1 and isinstance(users[0], keras.layers.ReLU):
            if users[0].max_value is not None:
                tops[layer.name] = float(users[0].max_value)
    if not tops:
        return {}
    summands = {name: model.get_layer(name).input for name in tops}
    probe = tf.function(keras.Model(model.inputs[0], summands))
    low, high = {}, {}
    for image in images:
        for name, values in probe(image[None]).items():
            lows = [float(tf.reduce_min(value)) for value in values]
            highs = [float(tf.reduce_max(value)) for value in values]
            low[name] = np.minimum(low.get(name, lows), lows)
            high[name] = np.maximum(high.get(name, highs), highs)
    return {
        name: [
            _narrower(low[name][i], high[name][i], -high[name][j], top - low[name][j])
            for i, j in ((0, 1), (1, 0))
        ]
        for name, top in tops.items()
    }


def _narrower(low, high, least, most) -> tuple[float, float] | None:
    """low..high cut to least..most; None where that cuts off next to nothing."""
    cut = max(low, least), min(high, most)
    return cut if cut[1] - cut[0] < 0.9 * (high - low) else None


def lowered(
    model: keras.Model,
    height: int,
    width: int,
    integer: bool = False,
    limits: Limits | None = None,
    winograd: bool = False,
) -> keras.Model:
    """The same function of an image of one size, in XNNPACK's operators.

    Args:
        model: a functional model made of Keras' layers and ours, any pooling mode.
        height, width: the size; at multiples of `size_multiple(model)` the result
            holds no operator that depends on it.
        integer: the form that survives 8-bit quantisation.
        limits: what `sum_limits` found; the summands are clipped to it.
        winograd: large 3x3 convolutions with fewer products and larger kernels.

    Returns:
        A float32 model of batch 1, for export only: it does not train, and does not
        save as a `.keras` file.
    """

    def clone(layer):
        if layer.name in replaced:
            return replaced[layer.name]
        if layer.name in idle:
            return keras.layers.Identity(name=layer.name)
        if isinstance(layer, MaxPoolingWithArgmax2D):
            return _Pooling(integer, name=layer.name)
        if isinstance(layer, MaxUnpooling2D):
            return _Unpooling(integer, name=layer.name)
        if isinstance(layer, LocalResponseNormalization) and layer.beta == 0.75:
            return _Normalization(layer, name=layer.name)
        if integer and isinstance(layer, keras.layers.Rescaling):
            return _Rescaling(layer.scale, layer.offset, name=layer.name)
        if any(limits.get(layer.name, ())):
            return _ClippedAdd(limits[layer.name], name=layer.name)
        return in_float32(layer)

    limits = limits or {}
    positions, corners = {}, {}
    replaced, idle = {}, set()
    if not integer:
        replaced, idle = cheaper_convolutions(model, winograd)

    def call(layer, *args, **kwargs):
        if layer.name in idle:
            return args[0]
        if isinstance(layer, CornerConv2D):
            whole, *apart = layer(*args, **kwargs)
            corners[id(whole)] = apart
            return whole
        # The cloned graph knows one tensor of positions a pooling: the first map
        # stands for all of them on the way.
        if isinstance(layer, _Pooling):
            pooled, *maps = layer(*args, corners.get(id(args[0])), **kwargs)
            positions[id(maps[0])] = maps
            return pooled, maps[0]
        if isinstance(layer, _Unpooling):
            values, first, *rest = args
            return layer(values, positions[id(first)], *rest, **kwargs)
        return layer(*args, **kwargs)

    image = keras.Input(batch_shape=(1, height, width, model.input_shape[-1]))
    twin = keras.models.clone_model(
        model,
        # A saved model's input may be a list of one.
        input_tensors=keras.tree.pack_sequence_as(model.input, [image]),
        clone_function=clone,
        call_function=call,
    )
    # By name: a clip in one branch changes the order of the layers.
    for layer in model.layers:
        if layer.weights and layer.name not in {*replaced, *idle}:
            twin.get_layer(layer.name).set_weights(layer.get_weights())
    return one_image(twin)


def one_image(model: keras.Model) -> keras.Model:
    """The same model with a tensor as its input, and not, as after loading, a list."""
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def in_float32(layer):
    """A fresh layer like this one that computes in float32."""
    config = layer.get_config()
    # A bare operation, such as the sum of two tensors, has no precision of its own.
    if isinstance(layer, keras.layers.Layer):
        config["dtype"] = "float32"
    return type(layer).from_config(config)


class _Pooling(keras.layers.Layer):
    """2x2 max pooling that returns `(pooled, *positions)`: 3 or 4 x (1, h, w, C)."""

    def __init__(self, integer: bool, **kwargs):
        super().__init__(**kwargs)
        self.integer = integer

    def call(self, x, corners=None):
        if corners:
            pooled = tf.maximum(tf.maximum(*corners[:2]), tf.maximum(*corners[2:]))
        else:
            even = _repeat_last(_repeat_last(x, axis=1), axis=2)
            pooled = tf.nn.max_pool2d(even, 2, 2, "VALID")
            corners = tf.split(tf.nn.space_to_depth(even, 2), 4, axis=-1)
        lost = [self._step(pooled - corner) for corner in corners[:3]]
        return (pooled, *(_masks(lost) if self.integer else lost))

    def _step(self, difference):
        """0 where the difference is 0, 1 where it is positive; it is never negative.

        The lower bound is idle: with it the converter makes both bounds part of the
        operator before, instead of an operator of their own.
        """
        if self.integer:
            return tf.clip_by_value(STEEP * difference, -1, 1)
        return tf.math.ceil(tf.clip_by_value(difference, -1, 1))


class _Unpooling(keras.layers.Layer):
    """Puts values back where `_Pooling` found its maxima."""

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
    """Adds two tensors, each clipped to its limits where there are any.

    min(max(x, low), high) is written as a ReLU6 of a scaled x, and the scaling and the
    shift back as part of the neighbours: 8 bits then cover low..high and no more.
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
    """x * scale + offset as one convolution: 256 values in, 256 values out.

    As a product and a sum, 8 bits lose a third of them on the way.
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
        energy = self.original.bias + tf.nn.conv2d(x * x, scale, 1, "VALID")
        root = tf.math.rsqrt(energy)
        return x * root * tf.sqrt(root)


def _handed_out(values, lost: list) -> list:
    """What each of the four corners keeps of `values`."""
    kept, rest = [], values
    for loses in lost:
        passed_on = rest * loses
        kept.append(rest - passed_on)
        rest = passed_on
    return [*kept, rest]


def _masks(lost: list) -> list:
    """1 where a corner is the first to be the maximum, else 0."""
    none_of_two = lost[0] * lost[1]
    none_of_three = none_of_two * lost[2]
    return [
        1 - lost[0],
        lost[0] - none_of_two,
        none_of_two - none_of_three,
        none_of_three,
    ]


def _repeat_last(x, axis: int):
    """Makes an odd height or width even by its last line again, which never wins."""
    size = x.shape[axis]
    if size % 2 == 0:
        return x
    begin = [0, 0, 0, 0]
    begin[axis] = size - 1
    return tf.concat([x, tf.slice(x, begin, [-1] * 4)], axis=axis)
