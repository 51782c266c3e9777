"""The pooling and unpooling layers, against the NumPy loops of reference.py.

Comparisons are exact wherever the layers only move numbers about, which is nearly
everywhere; a tolerance means that the test does arithmetic of its own.
"""

import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

import segnet_tf
from segnet_tf.layers import positions as forms
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D

MODES = ("argmax", "window", "mask", "input")
JIT_MODES = ("window", "mask")
LAYERS = (MaxPoolingWithArgmax2D, MaxUnpooling2D)

every_mode = pytest.mark.parametrize("mode", MODES)


def pair(mode, dtype=None):
    return (
        MaxPoolingWithArgmax2D(mode=mode, dtype=dtype),
        MaxUnpooling2D(mode=mode, dtype=dtype),
    )


def tied(shape, seed=0):
    """Small integers, so that most windows have several maxima."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def encoded_shape(mode, size, pooled_size):
    """The shape of an image's positions, of three channels."""
    if mode == "input":
        return (*size, 3)
    return (*pooled_size, 12 if mode == "mask" else 3)


def half(shape):
    return (shape[0], -(-shape[1] // 2), -(-shape[2] // 2), *shape[3:])


# --- Values, against the reference ---------------------------------------------------

KINDS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "all equal": lambda rng, shape: np.full(shape, -1.5),
    "after ReLU": lambda rng, shape: np.maximum(rng.normal(size=shape), 0),
    # Padding an odd size with zeros would beat these.
    "negative": lambda rng, shape: -1 - rng.random(shape),
    "integers": lambda rng, shape: rng.integers(-1, 2, shape),
    # Equal in a comparison, different in their bits.
    "signed zeros": lambda rng, shape: rng.choice([0.0, -0.0], shape),
    "large": lambda rng, shape: 1e30 * rng.normal(size=shape),
    "tiny": lambda rng, shape: 1e-30 * (0.5 + rng.random(shape)),
    # Products and differences of these would lose the small ones.
    "mixed": lambda rng, shape: rng.choice([-1e30, -1e-30, 1e-30, 1e30], shape),
}


@cache
def round_trip(mode, channels):
    """One trace for all sizes: tracing each of the 81 would take minutes."""
    pool, unpool = pair(mode)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, channels])] * 2)
    def function(x, values):
        pooled, positions = pool(x)
        return pooled, positions, unpool(values, positions, like=x)

    return function


@every_mode
@pytest.mark.parametrize("kind", KINDS)
def test_all_small_sizes_match_the_reference(mode, kind):
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        for height, width in np.ndindex(9, 9):
            shape = (2, height + 1, width + 1, channels)
            x = KINDS[kind](rng, shape).astype(np.float32)
            values = rng.normal(size=half(shape)).astype(np.float32)
            pooled, positions, y = round_trip(mode, channels)(x, values)

            expected, which = reference.pool(x)
            encoded = reference.encode(which, mode, x)
            message = f"image of shape {shape}"
            assert positions.dtype == encoded.dtype
            assert_array_equal(pooled, expected, message)
            assert_array_equal(positions, encoded, message)
            assert_array_equal(y, reference.unpool(values, which, *shape[1:3]), message)


# Worked out by hand, so that the layers and the reference cannot be wrong together.
EXAMPLE = [[[1, 5, -3], [5, 2, -4], [-7, -6, -9]], [[0, 0, 8], [0, 3, 9], [9, 9, 7]]]
EXAMPLE_POOLED = [[[5, -3], [-6, -9]], [[3, 9], [9, 7]]]
EXAMPLE_WHICH = [[[1, 0], [1, 0]], [[3, 2], [0, 0]]]
EXAMPLE_FLAT = [[[2, 4], [14, 16]], [[8, 10], [12, 16]]]
EXAMPLE_UNPOOLED = [
    [[0, 7, 7], [0, 0, 0], [0, 7, 7]],
    [[0, 0, 0], [0, 7, 7], [7, 0, 7]],
]


@every_mode
def test_worked_example(mode):
    # The first of two channels; the other one is zero throughout, so all ties.
    x = np.stack([EXAMPLE, np.zeros((2, 3, 3))], -1).astype(np.float32)
    pool, unpool = pair(mode)
    pooled, positions = pool(x)
    assert_array_equal(pooled[..., 0], EXAMPLE_POOLED)
    assert_array_equal(pooled[..., 1], np.zeros((2, 2, 2)))
    if mode == "mask":
        assert_array_equal(positions.numpy()[..., ::2], np.eye(4)[EXAMPLE_WHICH])
    elif mode == "input":
        assert_array_equal(positions, x)
    else:
        first = EXAMPLE_FLAT if mode == "argmax" else EXAMPLE_WHICH
        assert_array_equal(positions[..., 0], first)
    y = unpool(np.full((2, 2, 2, 2), 7, np.float32), positions, like=x)
    assert_array_equal(y[..., 0], EXAMPLE_UNPOOLED)
    assert_array_equal(y[..., 1], [[[7, 0, 7], [0, 0, 0], [7, 0, 7]]] * 2)


@every_mode
def test_without_like_the_output_is_twice_the_input(mode):
    pool, unpool = pair(mode)
    x = tied((2, 6, 4, 3))
    pooled, positions = pool(x)
    values = tied(pooled.shape, seed=1)
    y = unpool(values, positions)
    assert_array_equal(y, reference.unpool(values, reference.pool(x)[1], 6, 4))


@every_mode
def test_only_the_size_of_like_is_read(mode):
    pool, unpool = pair(mode)
    x = tied((2, 5, 7, 3))
    pooled, positions = pool(x)
    expected = reference.unpool(pooled.numpy(), reference.pool(x)[1], 5, 7)
    for like in (np.full((2, 5, 7, 1), np.nan, np.float32), np.ones((2, 5, 7, 4), int)):
        assert_array_equal(unpool(pooled, positions, like=like), expected)


def test_argmax_is_the_default():
    pooled, positions = MaxPoolingWithArgmax2D()(tied((1, 4, 4, 2)))
    assert positions.dtype == tf.int64
    assert MaxUnpooling2D()(pooled, positions).shape == (1, 4, 4, 2)
    assert [layer().get_config()["mode"] for layer in LAYERS] == ["argmax"] * 2


@every_mode
def test_operations(mode):
    """What a mode promises about its graph, for compilers and converters."""
    pool, unpool = pair(mode)

    @tf.function(input_signature=[tf.TensorSpec([1, 5, 7, 2])])
    def function(x):
        pooled, positions = pool(x)
        return unpool(pooled, positions, like=x)

    graph = function.get_concrete_function().graph
    used = {operation.type for operation in graph.get_operations()}
    indexing = {"MaxPoolWithArgmax", "ArgMax", "ScatterNd", "GatherNd", "OneHot"}
    assert (used >= {"MaxPoolWithArgmax", "ScatterNd"}) == (mode == "argmax")
    if mode in ("mask", "input"):
        assert not used & indexing
    # XLA cannot compile max_pool_with_argmax; Keras must know before it tries.
    assert pool.supports_jit == (mode in JIT_MODES)


# --- Gradients, and the ways of running ----------------------------------------------


def gradient_step(mode):
    pool, unpool = pair(mode)

    def step(x, values, upstream):
        with tf.GradientTape() as tape:
            tape.watch([x, values])
            pooled, positions = pool(x)
            y = unpool(pooled + values, positions, like=x)
            loss = tf.reduce_sum(y * upstream)
        return pooled, positions, y, *tape.gradient(loss, [x, values])

    return step


UNKNOWN = [tf.TensorSpec([None, None, None, 2])] * 3
WAYS = {
    "eager": lambda step: step,
    "unknown sizes": lambda step: tf.function(step, input_signature=UNKNOWN),
    "static sizes": tf.function,
    "jit": lambda step: tf.function(step, jit_compile=True),
    "jit, unknown sizes": lambda step: tf.function(
        step, input_signature=UNKNOWN, jit_compile=True
    ),
}


@pytest.mark.parametrize(
    ("mode", "way"),
    [(m, w) for m in MODES for w in WAYS if m in JIT_MODES or "jit" not in w],
)
def test_values_and_gradients_on_ties(mode, way):
    """The first winner gets all of the gradient, however the layers are run."""
    step = WAYS[way](gradient_step(mode))
    for height, width in ((4, 6), (5, 7), (1, 4)):
        shape = (2, height, width, 2)
        x, upstream = tied(shape), tied(shape, seed=1)
        values = tied(half(shape), seed=2)
        results = step(*map(tf.constant, (x, values, upstream)))

        pooled, which = reference.pool(x)
        inner = reference.unpool_gradient(which, upstream)
        expected = (
            pooled,
            reference.encode(which, mode, x),
            reference.unpool(pooled + values, which, height, width),
            reference.pool_gradient(which, inner, height, width),
            inner,
        )
        names = ("pooled", "positions", "unpooled", "gradient of x", "of values")
        for name, result, wanted in zip(names, results, expected, strict=True):
            assert_array_equal(result, wanted, f"{name} at {height}x{width}")


@pytest.mark.parametrize("way", ["eager", "unknown sizes"])
def test_input_mode_compares_where_there_is_a_gpu(monkeypatch, way):
    """There a kernel may give a tie to any of its maxima."""
    monkeypatch.setattr(forms, "has_gpu", lambda: True)
    monkeypatch.setattr(forms, "_unpool_to_maxima", None)
    monkeypatch.setattr(forms, "_plain_max_pool", None)
    test_values_and_gradients_on_ties("input", way)


@every_mode
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (4, 5), (1, 1)])
def test_gradients_match_finite_differences(mode, size):
    pool, unpool = pair(mode, "float64")
    rng = np.random.default_rng(0)
    shape = (1, *size, 2)
    count = math.prod(shape)
    # All different by far more than the step, or the maximum would change place.
    x = 0.05 * rng.permutation(np.arange(count) - count // 2).reshape(shape)
    weights = rng.normal(size=shape)

    def losses(images):
        pooled, positions = pool(images)
        y = unpool(tf.sin(pooled) + pooled**2, positions, like=images)
        return tf.reduce_sum(weights * (y + y**2), axis=[1, 2, 3])

    with tf.GradientTape() as tape:
        variable = tf.Variable(x)
        loss = losses(variable)
    gradient = tape.gradient(loss, variable)

    step = 1e-6
    moved = step * np.eye(count).reshape(count, *shape[1:])
    difference = (losses(x + moved) - losses(x - moved)) / (2 * step)
    assert_allclose(np.ravel(gradient), difference, rtol=1e-6, atol=1e-7)


@every_mode
def test_no_gradient_through_positions_or_like(mode):
    pool, unpool = pair(mode)
    x = tf.constant(tied((2, 5, 7, 2)))
    values = tf.constant(tied((2, 3, 4, 2), seed=1))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, values])
        y = unpool(values, pool(x)[1], like=x)
    assert tape.gradient(y, values) is not None
    gradient = tape.gradient(y, x)
    assert gradient is None or not np.any(gradient)


# --- Shapes --------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("size", "pooled_size"),
    [
        ((None, None), (None, None)),
        ((45, 45), (23, 23)),
        ((45, None), (23, None)),
        ((None, 6), (None, 3)),
        ((1, 360), (1, 180)),
    ],
)
def test_symbolic_shapes(mode, size, pooled_size):
    pool, unpool = pair(mode)
    x = keras.KerasTensor((None, *size, 3))
    dtype = {"argmax": "int64", "window": "uint8"}.get(mode, "float32")
    # Without `like` only mode "input" knows the size.
    doubled = size if mode == "input" else tuple(n and 2 * n for n in pooled_size)
    for pool_spec, unpool_spec in (
        (pool, unpool),
        (pool.compute_output_spec, unpool.compute_output_spec),
    ):
        pooled, positions = pool_spec(x)
        assert pooled.shape == (None, *pooled_size, 3)
        assert positions.shape == (None, *encoded_shape(mode, size, pooled_size))
        assert (pooled.dtype, positions.dtype) == ("float32", dtype)
        # The channels come from the values, never from `like`.
        like = keras.KerasTensor((None, *size, 5))
        y = unpool_spec(pooled, positions, like=like)
        assert (y.shape, y.dtype) == ((None, *size, 3), "float32")
        assert unpool_spec(pooled, positions).shape == (None, *doubled, 3)


@every_mode
@pytest.mark.parametrize("size", [(None, None), (5, 7)])
def test_static_shapes_inside_a_function(mode, size):
    """A layer that is built on the result needs at least its channels."""
    pool, unpool = pair(mode)

    @tf.function(input_signature=[tf.TensorSpec([2, *size, 3])])
    def function(x):
        pooled, positions = pool(x)
        return pooled, positions, unpool(pooled, positions, like=x)

    outputs = function.get_concrete_function().structured_outputs
    smaller = tuple(n and (n + 1) // 2 for n in size)
    assert [tuple(output.shape) for output in outputs] == [
        (2, *smaller, 3),
        (2, *encoded_shape(mode, size, smaller)),
        (2, *size, 3),
    ]


@every_mode
@pytest.mark.parametrize("size", [(None, None), (5, 7)])
def test_functional_model(mode, size):
    pool, unpool = pair(mode)
    x, values = keras.Input((*size, 3)), keras.Input((None, None, 3))
    pooled, positions = pool(x)
    model = keras.Model([x, values], [pooled, positions, unpool(values, positions, x)])
    for height, width in [(5, 7), (4, 6)] if size == (None, None) else [size]:
        shape = (3, height, width, 3)
        images, decoded = tied(shape), tied(half(shape), seed=1)
        expected, which = reference.pool(images)
        # predict splits the batch: an index may not depend on an image's place in it.
        for results in (
            model([images, decoded]),
            model.predict([images, decoded], batch_size=2, verbose=0),
        ):
            assert_array_equal(results[0], expected)
            encoded = reference.encode(which, mode, images)
            assert_array_equal(results[1], encoded)
            y = reference.unpool(decoded, which, height, width)
            assert_array_equal(results[2], y)


# --- Dtypes --------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("policy", "dtype", "apart"),
    [
        ("float16", tf.float16, 2**-12),
        ("mixed_float16", tf.float16, 2**-12),
        ("bfloat16", tf.bfloat16, 2**-9),
        ("float32", tf.float32, 2**-25),
        ("float64", tf.float64, 2**-40),
    ],
)
def test_dtype_policies(mode, policy, dtype, apart):
    pool, unpool = pair(mode, policy)
    rng = np.random.default_rng(0)
    shape = (2, 5, 7, 3)
    # A quarter of the dtype's spacing apart around 1, so that rounding makes ties and
    # moves the maximum; for float64, closer than a float32 could tell apart.
    x = rng.choice([-1, 1], shape) + apart * rng.integers(0, 4, shape)
    values, upstream = rng.normal(size=half(shape)), tied(shape).astype(np.float64)
    x, values, upstream = map(tf.constant, (x, values, upstream))
    with tf.GradientTape() as tape:
        tape.watch([x, values])
        pooled, positions = pool(x)
        y = unpool(values, positions, like=x)
        total = y + unpool(pooled, positions, like=x)
        loss = tf.reduce_sum(total * tf.cast(upstream, dtype))

    rounded = tf.cast(x, dtype).numpy()
    expected, which = reference.pool(rounded)
    if policy != "float64":
        assert np.any(which != reference.pool(x.numpy())[1])
    encoded = reference.encode(which, mode, rounded)
    assert (pooled.dtype, y.dtype) == (dtype, dtype)
    assert positions.dtype == encoded.dtype
    assert_array_equal(pooled, expected)
    assert_array_equal(positions, encoded)
    small = tf.cast(values, dtype).numpy()
    assert_array_equal(y, reference.unpool(small, which, 5, 7))
    inner = reference.unpool_gradient(which, upstream.numpy())
    gradients = tape.gradient(loss, [x, values])
    assert_array_equal(gradients[0], reference.pool_gradient(which, inner, 5, 7))
    assert_array_equal(gradients[1], inner)


@pytest.mark.parametrize("mode", JIT_MODES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_under_jit_has_one_winner_per_window(mode, dtype):
    """XLA may keep the product in float32 in one place and round it in another."""
    pool, unpool = pair(mode, dtype)

    @tf.function(jit_compile=True)
    def function(x):
        with tf.GradientTape() as tape:
            scaled = x * tf.constant(1.1, dtype)
            tape.watch(scaled)
            pooled, positions = pool(scaled)
        y = unpool(pooled, positions, like=scaled)
        ones = unpool(tf.ones_like(pooled), positions, like=scaled)
        gradient = tape.gradient(pooled, scaled)
        return scaled, pooled, y, ones, gradient

    x = tf.random.stateless_normal([2, 33, 41, 3], [0, 0])
    # Away from zero, where a window's values are often a rounding error apart.
    x = tf.cast(1 + x / 50, dtype)
    results = [result.numpy().astype(np.float64) for result in function(x)]
    scaled, pooled, y, ones, gradient = results

    def windows(image):
        padded = np.pad(image, [(0, 0), (0, 1), (0, 1), (0, 0)])
        return padded.reshape(2, 17, 2, 21, 2, 3)

    assert set(np.unique(ones)) == {0, 1}
    assert_array_equal(windows(ones).sum((2, 4)), np.ones_like(pooled))
    assert_array_equal(windows(y).sum((2, 4)), pooled)
    # Rounding is monotonic, so this holds in whichever precision they were compared.
    assert_array_equal(pooled, windows(scaled).max((2, 4)))
    assert_array_equal(y, scaled * ones)
    assert_array_equal(gradient, ones)


# --- Properties ----------------------------------------------------------------------


def magnitudes(sign=1):
    """Bounds that float32 holds exactly, and far enough from its limits.

    TensorFlow flushes subnormals to zero, and so makes ties: neither the numbers nor
    their differences are subnormal here.
    """
    low, high = sorted((sign * 2.0**-100, sign * 2.0**100))
    return st.floats(low, high, width=32)


signed = st.just(0.0) | magnitudes() | magnitudes(-1)

properties = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def images(draw, elements=signed):
    shape = draw(st.tuples(*(st.integers(1, n) for n in (2, 6, 6, 3))))
    return draw(arrays(np.float32, shape, elements=elements))


@every_mode
@properties
@given(x=images(), data=st.data())
def test_unpooled_values_are_where_the_maxima_are(mode, x, data):
    pool, unpool = pair(mode)
    pooled, positions = pool(x)
    values = data.draw(arrays(np.float32, pooled.shape, elements=signed))
    y = unpool(values, positions, like=x).numpy()

    def spread(small):
        return small.repeat(2, 1).repeat(2, 2)[:, : x.shape[1], : x.shape[2]]

    used = y != 0
    assert_array_equal(x[used], spread(pooled.numpy())[used])
    assert_array_equal(y[used], spread(values)[used])
    rows, columns = (np.arange(0, n, 2) for n in x.shape[1:3])
    per_window = np.add.reduceat(np.add.reduceat(used, rows, 1, int), columns, 2)
    assert_array_equal(per_window, values != 0)
    # fsum is exact: a plain sum would depend on where the zeros are.
    assert math.fsum(y.ravel()) == math.fsum(values.ravel())


@every_mode
@properties
@given(x=images(magnitudes()))
def test_pooling_what_was_unpooled_changes_nothing(mode, x):
    pool, unpool = pair(mode)
    pooled, positions = pool(x)
    again, same_positions = pool(unpool(pooled, positions, like=x))
    assert_array_equal(again, pooled)
    ones = np.ones(pooled.shape, np.float32)
    same = unpool(ones, same_positions, like=x)
    assert_array_equal(same, unpool(ones, positions, like=x))


@properties
@given(x=images())
def test_the_modes_agree(x):
    results = []
    for mode in MODES:
        pool, unpool = pair(mode)
        pooled, positions = pool(x)
        # Arange, as equal values would hide a swap of windows.
        values = np.arange(1, 1 + math.prod(pooled.shape), dtype=np.float32)
        y = unpool(values.reshape(pooled.shape), positions, like=x)
        results.append((pooled, y))
    for pooled, y in results[1:]:
        assert_array_equal(pooled, results[0][0])
        assert_array_equal(y, results[0][1])


# --- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_an_unknown_mode_is_refused(layer):
    with pytest.raises(ValueError) as error:
        layer(mode="nearest")
    for word in ("nearest", *MODES):
        assert word in str(error.value)


@every_mode
@pytest.mark.parametrize("make", [keras.KerasTensor, np.zeros])
@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3), (1, 2, 4, 4, 3)])
def test_pooling_refuses_what_is_not_a_batch_of_images(mode, make, shape):
    with pytest.raises(ValueError):
        MaxPoolingWithArgmax2D(mode=mode)(make(shape))


@every_mode
@pytest.mark.parametrize("wrong", ["values", "positions", "like"])
@pytest.mark.parametrize("symbolic", [False, True])
def test_unpooling_refuses_what_is_not_a_batch_of_images(mode, wrong, symbolic):
    pool, unpool = pair(mode)
    x = tied((2, 4, 6, 3))
    values, positions = pool(x)
    inputs = {"values": values, "positions": positions, "like": x}
    inputs[wrong] = inputs[wrong][0]
    if symbolic:
        inputs = {
            name: keras.KerasTensor(value.shape, dtype=tf.as_dtype(value.dtype).name)
            for name, value in inputs.items()
        }
    with pytest.raises(ValueError):
        unpool(inputs["values"], inputs["positions"], like=inputs["like"])


# --- Keras: saving and training ------------------------------------------------------


@every_mode
@pytest.mark.parametrize("layer", LAYERS)
def test_configuration_round_trip(mode, layer):
    original = layer(mode=mode, name="chosen", dtype="float16")
    config = original.get_config()
    assert config["mode"] == mode
    copy = layer.from_config(config)
    assert type(copy) is layer
    assert copy.get_config() == config
    assert (copy.name, copy.compute_dtype) == ("chosen", "float16")
    name = keras.saving.get_registered_name(layer)
    assert name == f"segnet_tf>{layer.__name__}"


def small_segnet(mode, size=(None, None)):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((*size, 2))
    pool, unpool = pair(mode)
    x = skip = keras.layers.Conv2D(3, 3, padding="same", activation="relu")(x)
    x, positions = pool(x)
    x = keras.layers.Conv2D(3, 3, padding="same")(x)
    x = unpool(x, positions, like=skip)
    return keras.Model(inputs, keras.layers.Conv2D(2, 3, padding="same")(x))


RELOAD = """
import sys
import numpy as np
import segnet_tf.layers
import keras
for path in sys.argv[2:]:
    model = keras.models.load_model(path)
    np.save(path + ".npy", model(np.load(sys.argv[1])))
    # The output alone would not tell: it is the same in all modes.
    print(*(layer.mode for layer in model.layers if hasattr(layer, "mode")))
"""


def test_saved_models_load_in_a_new_process(tmp_path):
    """In a new one, because in this one the classes are registered already."""
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    expected = {}
    for mode in MODES:
        for size in ((None, None), (5, 7)):
            model = small_segnet(mode, size)
            path = str(tmp_path / f"{mode}-{size[0]}.keras")
            model.save(path)
            expected[path] = model(x)
    root = str(Path(segnet_tf.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    child = subprocess.run(
        [sys.executable, "-c", RELOAD, str(tmp_path / "x.npy"), *expected],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.split() == [mode for mode in MODES for _ in range(4)]
    for path, y in expected.items():
        assert_allclose(np.load(path + ".npy"), y, rtol=1e-6, atol=1e-6, err_msg=path)


def trained(mode, **how):
    """The weights after two steps of gradient descent."""
    model = small_segnet(mode)
    model.compile(keras.optimizers.SGD(0.1), "mse", **how)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(4, 5, 7, 2)).astype(np.float32) for _ in range(2))
    before = model.get_weights()
    model.fit(x, y, batch_size=2, shuffle=False, verbose=0)
    after = model.get_weights()
    assert all(np.any(a != b) for a, b in zip(after, before, strict=True))
    return after


@pytest.fixture(scope="module")
def trained_eagerly():
    return trained("argmax", run_eagerly=True)


@pytest.mark.parametrize(
    ("mode", "jit_compile"),
    [(mode, "auto") for mode in MODES] + [(mode, True) for mode in JIT_MODES],
)
def test_training_gives_the_same_weights(mode, jit_compile, trained_eagerly):
    weights = trained(mode, jit_compile=jit_compile)
    for result, wanted in zip(weights, trained_eagerly, strict=True):
        assert_allclose(result, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("given", MODES)
@pytest.mark.parametrize("taken", MODES)
def test_positions_of_another_mode_are_refused(given, taken, rng):
    x = rng.normal(size=(1, 4, 4, 3)).astype(np.float32)
    pooled, positions = MaxPoolingWithArgmax2D(given)(x)
    if given == taken:
        assert MaxUnpooling2D(taken)(pooled, positions).shape == (1, 4, 4, 3)
    else:
        with pytest.raises(ValueError, match="positions"):
            MaxUnpooling2D(taken)(pooled, positions)


@pytest.mark.parametrize("compiled", [False, True])
def test_positions_that_count_through_the_batch_are_refused(compiled):
    """Their scatter would lose values: with an error on a CPU, in silence on a GPU."""
    x = np.random.default_rng(0).random((3, 5, 7, 2)).astype(np.float32)
    unpool = MaxUnpooling2D()
    call = tf.function(unpool) if compiled else unpool
    values, positions = tf.nn.max_pool_with_argmax(
        x, 2, 2, "SAME", include_batch_in_index=True
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="count through the whole"):
        call(values, positions, x)
    values, positions = tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")
    assert float(tf.reduce_sum(call(values, positions, x))) == pytest.approx(
        float(tf.reduce_sum(values)), rel=1e-6
    )
    assert call(values[:0], positions[:0], x[:0]).shape == (0, 5, 7, 2)


def test_the_converters_own_error_says_what_to_do():
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, MaxPoolingWithArgmax2D()(images)[0])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    with pytest.raises(Exception, match="with_pooling_mode_mask") as caught:
        converter.convert()
    assert "export.py" in str(caught.value).splitlines()[0]
