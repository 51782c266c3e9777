"""Faster forms of convolutions, made of operators that every runtime has.

`WinogradConv2D` takes 16 products for four outputs; the plain form takes 36. It is
Winograd's minimal filtering F(2x2, 3x3), as Lavin and Gray describe it in "Fast
Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv:1509.09308, section 4.1.
Sixteen depthwise convolutions of stride 2 transform the tiles, sixteen 1x1 convolutions
multiply, and sums and differences give the output. The kernels take 16/9 of the space.

`RowWinogradConv2D` does it for 7x7 kernels, along the rows alone: F(4, 4) for each
half of a kernel, 14 products for four outputs of a line in the place of 28.

`CornerConv2D` is for few channels before a 2x2 pooling. It computes the four corners of
the pooling windows separately, each by a convolution of stride 2, so that no map of
full size is written and taken apart again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D

__all__ = ["CornerConv2D", "RowWinogradConv2D", "WinogradConv2D", "faster_convolutions"]

FEWEST_CHANNELS = {3: 128, 7: 64}
"""Size of the kernel -> with fewer input or output channels, Winograd's transforms cost
what they save."""

MOST_CHANNELS = 4
"""With more input channels, the padded copies for the corners cost what they save."""

TILE = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
"""Transforms the four lines of a tile; tiles begin two lines apart."""

KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
"""Transforms the three lines of a kernel."""

POINTS = (0, 1, -1, 2, -2, 0.5)
"""Where the polynomials of F(4, 4) are evaluated, beside infinity."""


class WinogradConv2D(keras.layers.Layer):
    """A 3x3 convolution, stride 1, "same", with Winograd's minimal filtering.

    On maps of odd height or width it is the plain convolution.

    Args:
        kernel: float (3, 3, channels, filters).
        bias: float (filters,).
        activation: function of the result.

    Input: float32 (B, H, W, channels), height and width known.
    Output: float32 (B, H, W, filters).
    """

    def __init__(self, kernel, bias, activation: Callable = tf.identity, **kwargs):
        super().__init__(**kwargs)
        self.kernel = np.asarray(kernel, np.float32)
        self.bias = np.asarray(bias, np.float32)
        self.activation = activation
        kernels = np.einsum("ai,bj,ijcf->abcf", KERNEL, KERNEL, kernel)
        self.kernels = kernels.astype(np.float32)

    def call(self, x):
        if x.shape[1] % 2 or x.shape[2] % 2:
            return _convolved(self, x, 1, "SAME")
        products = [[self._product(x, i, j) for i in range(4)] for j in range(4)]
        rows = zip(*[_summed(column) for column in products], strict=True)
        corners = [self.activation(corner) for row in rows for corner in _summed(row)]
        return tf.nn.depth_to_space(tf.concat(corners, axis=-1), 2)

    def _product(self, x, i: int, j: int):
        """Entry i, j of the transformed tiles, times entry i, j of the kernel."""
        (rows, above), (columns, before) = _taps(i), _taps(j)
        kernel = np.outer(rows, columns)[..., None, None].astype(np.float32)
        kernel = np.repeat(kernel, x.shape[-1], axis=2)
        around = [[0, 0], [above, 1 - above], [before, 1 - before], [0, 0]]
        tiles = tf.nn.depthwise_conv2d(tf.pad(x, around), kernel, [1, 2, 2, 1], "VALID")
        product = tf.nn.conv2d(tiles, self.kernels[i, j][None, None], 1, "VALID")
        # The bias is added once to each output: entry 1, 1 is in all four corners.
        return product + self.bias if i == j == 1 else product


def _taps(line: int) -> tuple[np.ndarray, int]:
    """Three taps that make a line of the transform, and the padding before the map.

    Three are enough: no line of the transform reads all four lines of a tile.
    """
    return (TILE[line, 1:], 0) if line == 3 else (TILE[line, :3], 1)


def _summed(terms) -> tuple:
    """Two output lines from four products."""
    first, second, third, fourth = terms
    return first + (second + third), (second - third) - fourth


class RowWinogradConv2D(keras.layers.Layer):
    """A 7x7 convolution, stride 1, "same", with minimal filtering along the rows.

    Four neighbours in a row become seven values, each the value of a polynomial at one
    of `POINTS` or at infinity (Toom and Cook's form of Winograd's filters, as in Lavin
    and Gray). A kernel and a column of zeros are two halves of four columns; those of
    the second meet the next tile. Every fourth line of the map is computed apart, so
    that blocks of 4x4 outputs end the layer and no operator knows the map's size.

    On maps whose height or width is no multiple of 4 it is the plain convolution.

    Args:
        kernel: float (7, 7, channels, filters).
        bias: float (filters,).
        activation: function of the result.

    Input: float32 (B, H, W, channels), height and width known.
    Output: float32 (B, H, W, filters).
    """

    def __init__(self, kernel, bias, activation: Callable = tf.identity, **kwargs):
        super().__init__(**kwargs)
        self.kernel = np.asarray(kernel, np.float32)
        self.bias = np.asarray(bias, np.float32)
        self.activation = activation
        tiles, halves = _at_points()
        pieces = np.pad(kernel, [[0, 0], [0, 1], [0, 0], [0, 0]])
        pieces = pieces.reshape(7, 2, 4, *kernel.shape[2:])
        kernels = np.einsum("ai,ypicf->aypcf", halves, pieces)
        self.kernels = kernels.astype(np.float32)
        self.tiles = tiles.astype(np.float32)

    def call(self, x):
        if x.shape[1] % 4 or x.shape[2] % 4:
            return _convolved(self, x, 1, "SAME")
        # Tile j holds the columns from 4 j - 3 to 4 j + 3.
        x = tf.pad(x, [[0, 0], [3, 3], [3, 5], [0, 0]])
        tiles = [self._transformed(x, taps) for taps in self.tiles]
        lines = [tf.concat(self._line(tiles, start), axis=-1) for start in range(4)]
        return tf.nn.depth_to_space(tf.concat(lines, axis=-1), 4)

    def _transformed(self, x, taps):
        # `depthwise_conv2d` refuses to have two strides.
        kernel = np.tile(taps[None, :, None, None], (1, 1, 1, x.shape[-1]))
        return tf.nn.conv2d(x, kernel, (1, 4), "VALID")

    def _line(self, tiles: list, start: int) -> list:
        """The four outputs of each tile, of every fourth line from `start` on."""
        zero, one, minus, two, minus_two, half, infinite = (
            tf.nn.conv2d(tile[:, start:], kernel, (4, 1), "VALID")
            for tile, kernel in zip(tiles, self.kernels, strict=True)
        )
        # All powers of 1 are 1, so that the bias is in each output once.
        one = one + self.bias
        # The other points come in pairs, whose powers differ in signs alone.
        ones, odd_ones = one + minus, one - minus
        twos, odd_twos = two + minus_two, two - minus_two
        sums = (
            (zero + ones) + (twos + half),
            odd_ones + 2 * odd_twos + half / 2,
            ones + 4 * twos + half / 4,
            (odd_ones + 8 * odd_twos + half / 8) + infinite,
        )
        return [self.activation(each) for each in sums]


def _at_points() -> tuple[np.ndarray, np.ndarray]:
    """What takes tiles of seven values (7, 7), and four taps (7, 4), to the points."""

    def powers(count: int) -> np.ndarray:
        finite = np.power.outer(np.array(POINTS, float), np.arange(count))
        return np.vstack([finite, np.eye(count)[-1]])

    tiles = np.linalg.inv(powers(7)).T
    # Lines of like size lose fewest digits.
    size = np.abs(tiles).max(axis=1, keepdims=True)
    return tiles / size, powers(4) * size


class CornerConv2D(keras.layers.Layer):
    """A 3x3 convolution of stride 1, "same", and the corners of its 2x2 windows.

    In a graph, outputs that no layer reads are not computed.

    Args:
        kernel: float (3, 3, channels, filters).
        bias: float (filters,).
        activation: function of the result.

    Input: float32 (B, H, W, channels), height and width known.
    Output: a list: the map (B, H, W, filters), then, if height and width are even, its
    four corners row by row, each (B, H / 2, W / 2, filters).
    """

    def __init__(self, kernel, bias, activation: Callable = tf.identity, **kwargs):
        super().__init__(**kwargs)
        self.kernel = np.asarray(kernel, np.float32)
        self.bias = np.asarray(bias, np.float32)
        self.activation = activation

    def call(self, x):
        outputs = [_convolved(self, x, 1, "SAME")]
        if x.shape[1] % 2 == x.shape[2] % 2 == 0:
            for row, column in np.ndindex(2, 2):
                around = [[0, 0], [1 - row, row], [1 - column, column], [0, 0]]
                outputs.append(_convolved(self, tf.pad(x, around), 2, "VALID"))
        return outputs


def _convolved(layer, x, stride: int, padding: str):
    """The plain convolution that the layer is equal to."""
    sums = tf.nn.conv2d(x, layer.kernel, stride, padding) + layer.bias
    return layer.activation(sums)


@dataclass(frozen=True)
class _Chain:
    """A convolution together with the normalisation and activation that follow it."""

    kernel: np.ndarray
    bias: np.ndarray
    activation: Callable
    followers: tuple[keras.layers.Layer, ...]


def faster_convolutions(
    model: keras.Model, winograd: bool
) -> tuple[dict[str, keras.layers.Layer], set[str]]:
    """Faster layers for those convolutions of a network that can have them.

    Args:
        model: a functional model, with its weights.
        winograd: whether kernels may grow.

    Returns:
        A dict: name of a convolution -> the layer that replaces it together with the
        batch normalisation and the ReLU after it. And the names of the layers that are
        replaced in this way and have nothing left to do.
    """
    replaced, idle = {}, set()
    for layer in filter(_is_plain, model.layers):
        chain = _chain(layer)
        if kind := _form(layer, chain.followers, winograd):
            replaced[layer.name] = kind(
                chain.kernel, chain.bias, chain.activation, name=layer.name
            )
            idle |= {follower.name for follower in chain.followers}
    return replaced, idle


def _form(layer, followers: tuple, winograd: bool) -> type[keras.layers.Layer] | None:
    """The faster form of a plain convolution, if there is one."""
    size, (channels, filters) = layer.kernel_size[0], layer.kernel.shape[2:]
    if winograd and min(channels, filters) >= FEWEST_CHANNELS[size]:
        return {3: WinogradConv2D, 7: RowWinogradConv2D}[size]
    small = size == 3 and channels <= MOST_CHANNELS
    return CornerConv2D if small and _only_pooled((layer, *followers)[-1]) else None


def _is_plain(layer) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and layer.kernel_size in {(3, 3), (7, 7)}
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.padding == "same"
        and layer.groups == 1
        and layer.activation is keras.activations.linear
    )


def _only_pooled(layer) -> bool:
    """Whether a pooling reads the layer, and else only unpoolings, for its size."""
    readers = {type(node.operation) for node in layer._outbound_nodes}
    return MaxPoolingWithArgmax2D in readers and readers <= {
        MaxPoolingWithArgmax2D,
        MaxUnpooling2D,
    }


def _chain(layer) -> _Chain:
    norm = _follower(layer, keras.layers.BatchNormalization)
    relu = _follower(norm or layer, keras.layers.ReLU)
    bounds = relu and (relu.negative_slope, relu.threshold, relu.max_value)
    activation = {(0, 0, None): tf.nn.relu, (0, 0, 6): tf.nn.relu6}.get(bounds)
    followers = [norm, relu if activation else None]
    kernel, bias = _folded(layer, norm)
    return _Chain(
        kernel, bias, activation or tf.identity, tuple(filter(None, followers))
    )


def _follower(layer, kind: type):
    """The only layer that reads `layer` if it is of this kind, else None."""
    readers = [node.operation for node in layer._outbound_nodes]
    return readers[0] if len(readers) == 1 and isinstance(readers[0], kind) else None


def _folded(layer, norm) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution, the normalisation after it folded in."""
    kernel = np.asarray(layer.kernel, np.float64)
    bias = np.asarray(layer.bias) if layer.use_bias else np.zeros(layer.filters)
    if norm is None:
        return kernel, bias
    scale = 1 / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    if norm.scale:
        scale = np.asarray(norm.gamma) * scale
    shift = np.asarray(norm.beta) if norm.center else 0
    return kernel * scale, shift + (bias - np.asarray(norm.moving_mean)) * scale
