"""Beyond 2^31 values: positions are right, or refused in one line.

All but the slow test compute with shapes and few entries, not with gigabytes.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_array_equal

import segnet_tf
from segnet_tf.errors import UserError
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D, limits, positions
from segnet_tf.layers.devices import has_gpu

MODES = positions.POOLING_MODES
LIMIT = 2**31 - 1

every_mode = pytest.mark.parametrize("mode", MODES)


def test_the_limit_is_that_of_32_bits():
    assert limits.MOST_VALUES == LIMIT == np.iinfo(np.int32).max


@pytest.mark.parametrize(
    "sides",
    [(1, LIMIT, 1, 1), (1, 1, 1, LIMIT), (None, LIMIT, 1, 1), (0, 2**20, 2**20, 64)],
)
def test_a_batch_at_the_limit_is_taken(sides):
    limits.check_count(sides)


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ((1, 2**31, 1, 1), r"\(1, 2147483648, 1, 1\) has 2,147,483,648 values"),
        ((195, 360, 480, 64), r"\(195, 360, 480, 64\) has 2,156,544,000 values"),
        ((None, 2**14, 2**14, 8), r"\(\?, 16384, 16384, 8\) has 2,147,483,648 values"),
        # In 32 bits these would be 0 and 4 values.
        ((1, 2**16, 2**16, 1), "4,294,967,296 values"),
        ((1, 2**30 + 1, 1, 4), "4,294,967,300 values"),
    ],
)
def test_a_batch_beyond_the_limit_is_refused_in_one_line(sides, told):
    with pytest.raises(UserError, match=told) as caught:
        limits.check_count(sides)
    assert "\n" not in str(caught.value)
    assert "fewer images at once" in str(caught.value)


@pytest.mark.parametrize(
    "sides", [(3, 5, 7, 2), (1, 2**16, 2**16, 3), (8, 2**15, 2**15, 64)]
)
def test_products_of_tensors_have_64_bits(sides):
    expected = int(np.prod([np.int64(side) for side in sides]))
    count = tf.function(limits.count)
    # As they come from tf.shape.
    tensors = [tf.constant(side, tf.int32) for side in sides]
    for found in (limits.count(sides), count(tensors), count([*sides[:3], tensors[3]])):
        assert found.dtype == tf.int64
        assert int(found) == expected


def test_a_graph_counts_when_it_runs(monkeypatch):
    """Of a batch, height and width that it does not know."""
    monkeypatch.setattr(limits, "MOST_VALUES", 2 * 5 * 7 * 3)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
    def call(x):
        return limits.within_limit(x, (*tf.unstack(tf.shape(x))[:3], 3))

    x = np.random.default_rng(0).random((2, 5, 7, 3)).astype(np.float32)
    assert_array_equal(call(x), x)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many values"):
        call(np.zeros((3, 5, 7, 3), np.float32))


@every_mode
def test_the_layers_count_when_a_graph_runs(mode, monkeypatch):
    monkeypatch.setattr(limits, "MOST_VALUES", 2 * 4 * 6 * 3)
    pool, unpool = MaxPoolingWithArgmax2D(mode), MaxUnpooling2D(mode)
    call = tf.function(pool, input_signature=[tf.TensorSpec((None, None, None, 3))])
    call(np.zeros((2, 4, 6, 3), np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many values"):
        call(np.zeros((2, 5, 6, 3), np.float32))

    # The pooling is within the limit, the unpooling is not.
    small = np.zeros((2, 4, 6, 3), np.float32)
    pooled, found = pool(small)
    specs = [
        tf.TensorSpec((None, None, None, t.shape[-1]), t.dtype) for t in (pooled, found)
    ]
    call = tf.function(unpool, input_signature=specs)
    assert call(pooled, found).shape == small.shape
    monkeypatch.setattr(limits, "MOST_VALUES", 2 * 4 * 6 * 3 - 1)
    # A new graph: the old one holds the old limit.
    call = tf.function(unpool, input_signature=specs)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many values"):
        call(pooled, found)


@every_mode
def test_shapes_alone_are_refused(mode):
    """When a model is built or exported for a size: no value exists yet."""
    pool = MaxPoolingWithArgmax2D(mode)
    pool.compute_output_spec(keras.KerasTensor((1, 2**15, 2**15, 1)))
    with pytest.raises(UserError, match="2,147,483,648 values"):
        pool.compute_output_spec(keras.KerasTensor((None, 2**15, 2**15, 2)))
    images = keras.Input((2**15, 2**15, 2))
    with pytest.raises(UserError, match="2,147,483,648 values"):
        pool(images)


@every_mode
@pytest.mark.parametrize("size", [(5, 7), (None, None)])
def test_a_graph_has_a_check_only_if_it_needs_one(mode, size):
    """Files for phones are made of graphs whose sizes are known."""

    @tf.function(input_signature=[tf.TensorSpec((1, *size, 3))])
    def call(x):
        pooled, found = MaxPoolingWithArgmax2D(mode)(x)
        return MaxUnpooling2D(mode)(pooled, found, x)

    operations = call.get_concrete_function().graph.get_operations()
    checks = sum(operation.type == "Assert" for operation in operations)
    # A GPU has no kernel for "input", which makes a "window" of it in each layer.
    layers = 3 if mode == "input" and has_gpu() else 2
    assert checks == (0 if None not in size else layers)


@pytest.mark.parametrize(
    "size", [105, 2**31 - 1, 2**31, 5793 * 5793 * 64, 2**32 + 3, 2**40]
)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_positions_in_a_batch_have_64_bits(size, batch):
    """Against Python's integers, for images larger than any that fits a memory."""
    random = np.random.default_rng(0)
    given = random.integers(0, size, (batch, 2, 3, 4))
    given[:, 0, 0, 0], given[:, -1, -1, -1] = 0, size - 1
    whole = tf.constant(size, tf.int64)
    found = positions._in_batch(tf.constant(given), whole, batch)
    assert found.dtype == tf.int64
    expected = [[b * size + int(p) for p in given[b].ravel()] for b in range(batch)]
    assert found.numpy().reshape(batch, -1).tolist() == expected


def test_positions_of_one_image_serve_a_batch():
    """As sampled dropout does, which pools once."""
    random = np.random.default_rng(2)
    image = random.normal(size=(1, 6, 8, 3)).astype(np.float32)
    values = random.normal(size=(5, 3, 4, 3)).astype(np.float32)
    _, places = positions.max_pool(tf.constant(image), "argmax")
    found = positions.unpool(tf.constant(values), places, "argmax", 6, 8)
    for own, alone in zip(found, values, strict=True):
        expected = positions.unpool(tf.constant(alone[None]), places, "argmax", 6, 8)
        np.testing.assert_array_equal(own, expected[0])


AT_THE_LIMIT = """
import sys
import numpy as np
import tensorflow as tf
from segnet_tf.layers.positions import max_pool, unpool

mode, height, width, channels = sys.argv[1], *map(int, sys.argv[2:])
x = np.zeros((1, height, width, channels), np.uint8)
# The four corners of windows at both ends, and of the last one.
marks = {(0, 0, 0): 1, (0, 3, 1): 2, (1, 4, 0): 3, (1, 7, 1): 4, (-2, -6, 0): 5,
         (-2, -3, 1): 6, (-1, -4, 0): 7, (-1, -1, channels - 1): 8}
for place, value in marks.items():
    x[(0, *place)] = value
x = tf.constant(x)
pooled, positions = max_pool(x, mode)
if mode == "argmax":
    for (row, column, channel), value in marks.items():
        row, column = row % height, column % width
        found = int(positions[0, row // 2, column // 2, channel])
        assert found == (row * width + column) * channels + channel, (value, found)
y = unpool(pooled, positions, mode, height, width)
del positions, pooled
for row in range(0, height, 1024):
    same = tf.reduce_all(x[:, row : row + 1024] == y[:, row : row + 1024])
    assert same, row
print(tf.size(x, tf.int64).numpy())
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["argmax", "window", "input"])
def test_positions_are_right_up_to_the_limit(mode):
    """In a process of its own, of up to 10 GiB: in uint8, a value is a byte."""
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if available < 12 * 2**30:
        pytest.skip("needs 12 GiB of free memory")
    sides = (5792, 5792, 64)
    # Another row of windows would be too many.
    assert LIMIT - 2 * 5792 * 64 < np.prod(sides) <= LIMIT
    root = str(Path(segnet_tf.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    child = subprocess.run(
        [sys.executable, "-c", AT_THE_LIMIT, mode, *map(str, sides)],
        env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    assert int(child.stdout) == np.prod(sides)
