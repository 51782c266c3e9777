"""Max pooling that also returns positions, and unpooling to these positions.

SegNet's decoder has no learned upsampling. It puts every value back at the position
of its maximum and leaves the rest zero (Badrinarayanan, Kendall, Cipolla, "SegNet",
PAMI 2017, arXiv:1511.00561, section 3). The two layers here do that and no more.
Positions have one of the representations of `segnet_tf.layers.positions`.
"""

import keras

from segnet_tf.layers.limits import check_count
from segnet_tf.layers.positions import (
    JIT_MODES,
    POSITION_TYPES,
    check_mode,
    max_pool,
    spatial_shape,
    unpool,
)

__all__ = ["MaxPoolingWithArgmax2D", "MaxUnpooling2D"]


def _check_rank(name: str, shape: tuple) -> None:
    if len(shape) != 4:
        raise ValueError(f"{name} must have shape (B, H, W, C), not {tuple(shape)}")


def _half(size: int | None) -> int | None:
    return None if size is None else (size + 1) // 2


@keras.saving.register_keras_serializable("segnet_tf")
class MaxPoolingWithArgmax2D(keras.layers.Layer):
    """2x2 max pooling, stride 2, "same" padding, that also returns positions.

    Source: the SegNet paper, section 3, and Caffe's pooling with a mask. Sizes are
    rounded up (Caffe's ceil mode), so that 45 rows become 23.

    Args:
        mode: the representation of positions, "argmax", "window", "mask" or "input";
            see `segnet_tf.layers.positions`.

    Input: float tensor (B, H, W, C), any H and W.
    Output: `(pooled, positions)`, with h = ceil(H / 2) and w = ceil(W / 2):
        pooled: (B, h, w, C) in the layer's compute dtype.
        positions: argmax: int64 (B, h, w, C), `(y * W + x) * C + c` in the unpadded
            input, without the batch; window: uint8 (B, h, w, C), 0 top left, 1 top
            right, 2 bottom left, 3 bottom right; mask: compute dtype (B, h, w, 4C),
            one-hot over these four corners, in blocks of C channels; input: the input
            itself, whose maxima the unpooling finds again.

    The gradient goes to the first maximum; positions have no gradient. XLA has no
    kernel for the op of mode "argmax", and its max pooling gives the gradient of a tie
    to another than the first, so that `supports_jit` is False in the modes "argmax" and
    "input".

    Raises:
        ValueError: if the mode is unknown or the input is not (B, H, W, C).
        UserError, tf.errors.InvalidArgumentError: if the batch has more values than
            TensorFlow's kernels count, 2^31 - 1 (`segnet_tf.layers.limits`).

    >>> import numpy as np
    >>> x = np.array([[1, 5], [5, 2]], "float32").reshape(1, 2, 2, 1)
    >>> pooled, positions = MaxPoolingWithArgmax2D()(x)
    >>> int(pooled[0, 0, 0, 0]), int(positions[0, 0, 0, 0])
    (5, 1)
    """

    def __init__(self, mode: str = "argmax", **kwargs):
        super().__init__(**kwargs)
        self.mode = check_mode(mode)
        self.supports_jit = mode in JIT_MODES

    def call(self, x):
        _check_rank("x", x.shape)
        return max_pool(x, self.mode)

    def compute_output_spec(self, x):
        _check_rank("x", x.shape)
        check_count(x.shape)
        batch, height, width, channels = x.shape
        pooled = (batch, _half(height), _half(width), channels)
        dtype = {"argmax": "int64", "window": "uint8"}.get(self.mode)
        depth = 4 * channels if self.mode == "mask" else channels
        positions = x.shape if self.mode == "input" else (*pooled[:3], depth)
        return (
            keras.KerasTensor(pooled, self.compute_dtype),
            keras.KerasTensor(positions, dtype or self.compute_dtype),
        )

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


@keras.saving.register_keras_serializable("segnet_tf")
class MaxUnpooling2D(keras.layers.Layer):
    """Puts values at the positions of MaxPoolingWithArgmax2D's maxima, zero elsewhere.

    Source: the SegNet paper, section 3. The layer has no weights.

    Args:
        mode: the mode of the pooling layer that gives the positions.

    Input:
        values: float (B, h, w, C), usually the decoder's features.
        positions: the positions of MaxPoolingWithArgmax2D, in the same mode.
        like: optional tensor (B, H, W, any), the pooling's input. The output takes its
            height and width; its values are not read. Without it the output is exactly
            twice as high and wide as `values`. This is right only if the pooling's
            input had an even height and width: flat positions depend on the width. Mode
            "input" needs no `like`.
    Output: (B, H, W, C) in the layer's compute dtype, at most one nonzero value in each
        window.

    Raises:
        ValueError: if the mode is unknown, or if values, positions and like do not
            match.
        UserError, tf.errors.InvalidArgumentError: if the output would have more values
            than TensorFlow's kernels count, 2^31 - 1 (`segnet_tf.layers.limits`).

    >>> import numpy as np
    >>> x = np.array([[1, 5], [5, 2]], "float32").reshape(1, 2, 2, 1)
    >>> _, positions = MaxPoolingWithArgmax2D()(x)
    >>> MaxUnpooling2D()(np.full((1, 1, 1, 1), 7.0), positions, like=x)[0, :, :, 0]
    <tf.Tensor: shape=(2, 2), dtype=float32, numpy=
    array([[0., 7.],
           [0., 0.]], dtype=float32)>
    """

    def __init__(self, mode: str = "argmax", **kwargs):
        super().__init__(**kwargs)
        self.mode = check_mode(mode)

    def call(self, values, positions, like=None):
        self._check(values, positions, like)
        if like is None and self.mode == "input":
            like = positions
        if like is None:
            height, width = (2 * size for size in spatial_shape(values))
        else:
            height, width = spatial_shape(like)
        return unpool(values, positions, self.mode, height, width)

    def compute_output_spec(self, values, positions, like=None):
        self._check(values, positions, like)
        batch, height, width, channels = values.shape
        if like is None and self.mode == "input":
            like = positions
        if like is None:
            doubled = (None if size is None else 2 * size for size in (height, width))
            return keras.KerasTensor((batch, *doubled, channels), self.compute_dtype)
        return keras.KerasTensor(
            (batch, *like.shape[1:3], channels), self.compute_dtype
        )

    def _check(self, values, positions, like) -> None:
        _check_rank("values", values.shape)
        if like is not None:
            _check_rank("like", like.shape)
            for have, full in zip(values.shape[1:3], like.shape[1:3], strict=True):
                if None not in (have, full) and have != _half(full):
                    raise ValueError(
                        f"values {tuple(values.shape)} cannot be unpooled to like "
                        f"{tuple(like.shape)}: height and width must be "
                        "half of like's, rounded up"
                    )
        dtype = keras.backend.standardize_dtype(positions.dtype)
        if not dtype.startswith(POSITION_TYPES[self.mode]):
            raise ValueError(f"positions of {dtype} do not fit mode {self.mode!r}")
        channels = values.shape[-1] * (4 if self.mode == "mask" else 1)
        expected, have = (*values.shape[:3], channels), tuple(positions.shape)
        if self.mode == "input" and len(have) == 4:
            have = (have[0], *map(_half, have[1:3]), have[3])
        if len(have) != 4 or any(
            None not in pair and pair[0] != pair[1]
            for pair in zip(have, expected, strict=True)
        ):
            raise ValueError(
                f"positions {tuple(positions.shape)} do not fit values "
                f"{tuple(values.shape)} in mode {self.mode!r}: expected {expected}"
            )

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
