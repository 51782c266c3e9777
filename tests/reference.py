"""Max pooling with positions, and unpooling, written as plain NumPy loops.

This is the ground truth of the layers' tests: slow, and short enough to be checked by
reading. `which` always says which of a window's four pixels won, as uint8: 0 top-left,
1 top-right, 2 bottom-left, 3 bottom-right; `encode` turns it into a mode's positions.
"""

import numpy as np


def pool(x):
    """The maximum of each 2x2 window and which pixel it is; the first one wins ties."""
    batch, height, width, channels = x.shape
    shape = (batch, (height + 1) // 2, (width + 1) // 2, channels)
    pooled, which = np.empty(shape, x.dtype), np.empty(shape, np.uint8)
    for b, i, j, c in np.ndindex(shape):
        best = None
        for k in range(4):
            row, column = 2 * i + k // 2, 2 * j + k % 2
            if row >= height or column >= width:
                continue  # outside an image of odd size: never the maximum
            if best is None or x[b, row, column, c] > best:
                best = x[b, row, column, c]
                which[b, i, j, c] = k
        pooled[b, i, j, c] = best
    return pooled, which


def unpool(values, which, height, width):
    """Each value at its window's winner, zero elsewhere."""
    batch, _, _, channels = values.shape
    y = np.zeros((batch, height, width, channels), values.dtype)
    for b, i, j, c in np.ndindex(values.shape):
        k = int(which[b, i, j, c])
        y[b, 2 * i + k // 2, 2 * j + k % 2, c] = values[b, i, j, c]
    return y


def pool_gradient(which, upstream, height, width):
    """The gradient of sum(pooled * upstream): all of it goes to the winner."""
    return unpool(upstream, which, height, width)


def unpool_gradient(which, upstream):
    """The gradient of sum(unpooled * upstream) with respect to the values."""
    gradient = np.empty(which.shape, upstream.dtype)
    for b, i, j, c in np.ndindex(which.shape):
        k = int(which[b, i, j, c])
        gradient[b, i, j, c] = upstream[b, 2 * i + k // 2, 2 * j + k % 2, c]
    return gradient


def encode(which, mode, x):
    """The positions that a mode gives for `which`, the winners in the images x."""
    width, dtype = x.shape[2], x.dtype
    if mode == "input":
        return x
    if mode == "window":
        return which
    batch, height, columns, channels = which.shape
    if mode == "argmax":
        positions = np.empty(which.shape, np.int64)
        for b, i, j, c in np.ndindex(which.shape):
            k = int(which[b, i, j, c])
            row, column = 2 * i + k // 2, 2 * j + k % 2
            positions[b, i, j, c] = (row * width + column) * channels + c
        return positions
    if mode == "mask":
        positions = np.zeros((batch, height, columns, 4 * channels), dtype)
        for b, i, j, c in np.ndindex(which.shape):
            positions[b, i, j, int(which[b, i, j, c]) * channels + c] = 1
        return positions
    raise ValueError(f"unknown mode {mode!r}")
