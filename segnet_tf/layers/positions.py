"""Pooling positions as tensors: four representations, with equal values and gradients.

| mode     | positions                  | made of                     | for           |
|----------|----------------------------|-----------------------------|---------------|
| `argmax` | int64 (B, h, w, C), flat   | the argmax op, scatter      | the default   |
| `window` | uint8 (B, h, w, C), 0 to 3 | comparisons, depth_to_space | memory, XLA   |
| `mask`   | x's dtype (B, h, w, 4C)    | arithmetic, depth_to_space  | XNNPACK, XLA  |
| `input`  | x itself (B, H, W, C)      | max pooling's own gradient  | fast training |

In every mode the window is 2x2 with stride 2 and "same" padding, so h = ceil(H / 2),
and the first maximum in row-major order wins a tie. Ties are frequent: after a ReLU
many windows are all zero.
"""

import tensorflow as tf

from segnet_tf.layers.devices import has_gpu
from segnet_tf.layers.limits import count, within_limit

__all__ = [
    "JIT_MODES",
    "POOLING_MODES",
    "POSITION_TYPES",
    "check_mode",
    "corners",
    "first_winner_masks",
    "lost",
    "max_pool",
    "repeat_last",
    "spatial_shape",
    "unpool",
]

POSITION_TYPES = {
    "argmax": ("int",),
    "window": ("uint8",),
    "mask": ("float", "bfloat"),
    "input": ("float", "bfloat"),
}
"""The beginnings of the positions' dtype names, by mode."""

POOLING_MODES = tuple(POSITION_TYPES)

JIT_MODES = ("window", "mask")
"""The modes that XLA can compile."""

_NAME = "MaxPoolWithArgmax.for_TFLite_use_export.py_or_with_pooling_mode_mask"
"""The name of the argmax op: TFLite has no such op, and the converter's error says the
name."""


def check_mode(mode: str) -> str:
    """The mode itself, or ValueError if there is none of that name."""
    if mode not in POOLING_MODES:
        raise ValueError(f"mode must be one of {POOLING_MODES}, not {mode!r}")
    return mode


def _batch(x: tf.Tensor):
    """The number of images of x: an integer if it is known, else a tensor."""
    return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]


def spatial_shape(x: tf.Tensor) -> tuple:
    """Height and width of x (B, H, W, C): integers if known, else tensors."""
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if x.shape[i] is None else x.shape[i] for i in (1, 2))


def repeat_last(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Makes an odd height (axis 1) or width (axis 2) even by repeating its last line.

    The copy ties with its original and comes after it, so that it never wins. Zeros
    would win over negative features, and padding ops cut the graph in XNNPACK.
    """
    size = x.shape[axis]
    if size is not None and size % 2 == 0:
        return x
    if size is None:
        size = tf.shape(x)[axis]
    begin, extent = [0] * 4, [-1] * 4
    # One line, or none if the graph does not know the size and it turns out even.
    begin[axis], extent[axis] = size - 1, size % 2
    return tf.concat([x, tf.slice(x, begin, extent)], axis=axis)


def corners(x: tf.Tensor) -> list[tf.Tensor]:
    """The four corners of every 2x2 window, in row-major order: 4 x (B, h, w, C)."""
    even = repeat_last(repeat_last(x, axis=1), axis=2)
    return tf.split(tf.nn.space_to_depth(even, 2), 4, axis=-1)


def lost(maximum: tf.Tensor, corner: tf.Tensor) -> tf.Tensor:
    """0 where a corner is its window's maximum, 1 elsewhere, by arithmetic only.

    The difference is zero or positive. The clip keeps it finite, and `ceil` raises
    every positive value to one. Comparisons and casts would be simpler, but XNNPACK
    supports neither. The lower bound does not change the result. With it the converter
    fuses both bounds into the operator before, instead of adding an operator.
    """
    return tf.math.ceil(tf.clip_by_value(maximum - corner, -1, 1))


def first_winner_masks(lost_corners: list[tf.Tensor]) -> list[tf.Tensor]:
    """1 where a corner is the first to be the maximum, else 0: four maps.

    Args:
        lost_corners: `lost` of the first three corners; the fourth wins if they lose.
    """
    none_of_two = lost_corners[0] * lost_corners[1]
    none_of_three = none_of_two * lost_corners[2]
    return [
        1 - lost_corners[0],
        lost_corners[0] - none_of_two,
        none_of_two - none_of_three,
        none_of_three,
    ]


def _window_index(phases: list[tf.Tensor]) -> tf.Tensor:
    """The corner that holds the first maximum: uint8 (B, h, w, C), 0 to 3."""
    # tf.argmax guarantees no order among ties. Here a later corner has to be strictly
    # greater to win.
    top, bottom = phases[:2], phases[2:]
    top_right = tf.cast(top[1] > top[0], tf.uint8)
    bottom_right = tf.cast(bottom[1] > bottom[0], tf.uint8)
    is_bottom = tf.maximum(*bottom) > tf.maximum(*top)
    return tf.where(is_bottom, bottom_right + tf.constant(2, tf.uint8), top_right)


def max_pool(x: tf.Tensor, mode: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Pooled values (B, h, w, C) and positions of x (B, H, W, C).

    Raises:
        UserError, tf.errors.InvalidArgumentError: if x has more than
            `segnet_tf.layers.limits.MOST_VALUES` values.
    """
    x = within_limit(x, (_batch(x), *spatial_shape(x), x.shape[-1]))
    if mode == "argmax":
        # Grappler would move a ReLU from before this op to behind it and connect
        # the ReLU's floats to the consumers of the positions; TensorFlow would then
        # drop all optimisation of the graph. An op that does nothing prevents it.
        x = tf.ensure_shape(x, x.shape)
        # The gradient kernel on the CPU supports only int64 positions.
        return tf.nn.max_pool_with_argmax(
            x,
            2,
            2,
            "SAME",
            output_dtype=tf.int64,
            include_batch_in_index=False,
            name=_NAME,
        )
    if mode == "input":
        pooled = max_pool(x, "window")[0] if has_gpu() else _plain_max_pool(x)
        return pooled, tf.stop_gradient(x)

    # The gradient of pooling is unpooling. It is defined here because XLA's own gives
    # the gradient of a tie to another than the first maximum.
    @tf.custom_gradient
    def pool(x):
        # XLA may keep a bfloat16 in float32 for one op and round it for another, but
        # positions need the same value in all ops.
        exact = tf.cast(x, tf.float32) if x.dtype == tf.bfloat16 else x
        pooled = tf.nn.max_pool2d(exact, 2, 2, "SAME")
        phases = corners(exact)
        if mode == "window":
            positions = _window_index(phases)
        else:
            masks = first_winner_masks([lost(pooled, phase) for phase in phases[:3]])
            positions = tf.cast(tf.concat(masks, axis=-1), x.dtype)

        def gradient(pooled_gradient, _):
            return unpool(pooled_gradient, positions, mode, *spatial_shape(x))

        return (tf.cast(pooled, x.dtype), positions), gradient

    return pool(x)


def _plain_max_pool(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(x, 2, 2, "SAME")


@tf.custom_gradient
def _unpool_to_maxima(values: tf.Tensor, x: tf.Tensor):
    """Values at the first maxima of x (B, H, W, C)'s windows: max pooling's gradient.

    TensorFlow's kernels for the CPU give the gradient to the first maximum. One of them
    takes a fifth of the time of comparisons and depth_to_space.
    """
    pooled = _plain_max_pool(x)

    def put(values):
        return tf.raw_ops.MaxPoolGrad(
            orig_input=x,
            orig_output=pooled,
            grad=values,
            ksize=[1, 2, 2, 1],
            strides=[1, 2, 2, 1],
            padding="SAME",
        )

    def gradient(unpooled_gradient):
        # A mean over a window whose other entries are zero, times the number of
        # entries, is the entry at the maximum, exactly. MaxPoolGradGrad would gather
        # it, too, but takes four times as long.
        taken = unpooled_gradient * put(tf.ones_like(values))
        means = tf.nn.avg_pool2d(taken, 2, 2, "SAME")
        return means * _entries(x, means.dtype), None

    return put(values), gradient


def _entries(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The number of entries in every 2x2 window of x: (h, w, 1), 4 but at odd ends."""
    rows, columns = (
        tf.minimum(2, size - tf.range(0, size, 2)) for size in spatial_shape(x)
    )
    return tf.cast(rows[:, None, None] * columns[None, :, None], dtype)


def unpool(values, positions, mode: str, height, width) -> tf.Tensor:
    """Values at their positions, zero elsewhere: (B, height, width, C).

    Raises:
        UserError, tf.errors.InvalidArgumentError: if the result would have more than
            `segnet_tf.layers.limits.MOST_VALUES` values.
    """
    shape = (_batch(values), height, width, values.shape[-1])
    values = within_limit(values, shape)
    if mode == "argmax":
        return _scatter(values, positions, height, width)
    if mode == "input":
        if not has_gpu():
            return _unpool_to_maxima(values, positions)
        mode, positions = "window", _window_index(corners(positions))
    if mode == "window":
        zero = tf.zeros_like(values)
        parts = [tf.where(positions == k, values, zero) for k in range(4)]
    else:
        parts = [mask * values for mask in tf.split(positions, 4, axis=-1)]
    doubled = tf.nn.depth_to_space(tf.concat(parts, axis=-1), 2)
    if doubled.shape[1:3] == (height, width):
        return doubled
    return doubled[:, :height, :width]


def _scatter(values, positions, height, width) -> tf.Tensor:
    batch, channels = _batch(values), values.shape[-1]
    size = count((height, width, channels))
    # One entry tells, since in the last image of a batch all positions would be too
    # large. On a GPU they would be left out without a word.
    in_each_image = tf.debugging.assert_less(
        positions[-1:, :1, :1, :1],
        size,
        "positions count through the whole batch: make them with "
        "MaxPoolingWithArgmax2D, or with include_batch_in_index=False",
    )
    flat = tf.reshape(_in_batch(positions, size, batch), [-1, 1])
    with tf.control_dependencies([] if in_each_image is None else [in_each_image]):
        dense = tf.scatter_nd(
            flat, tf.reshape(values, [-1]), count((batch, size))[None]
        )
    return tf.reshape(dense, [batch, height, width, channels])


def _in_batch(positions: tf.Tensor, size: tf.Tensor, batch) -> tf.Tensor:
    """Positions in images of so many values as positions in their batch, all int64.

    Positions of one image serve a whole batch, too: sampled dropout pools once. One
    flat index over the whole batch is faster than (item, position) pairs.
    """
    first = tf.range(tf.cast(batch, tf.int64)) * size
    return positions + first[:, None, None, None]
