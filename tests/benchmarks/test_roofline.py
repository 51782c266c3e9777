"""Operations and bytes, counted by hand and by TensorFlow."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from benchmarks import roofline
from segnet_tf.errors import UserError
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models.networks import build


def test_counts_by_hand():
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(image)
    y = layers.ReLU(name="relu")(x)
    z, positions = MaxPoolingWithArgmax2D(name="pool")(y)
    z = layers.DepthwiseConv2D(5, padding="same", use_bias=False, name="deep")(z)
    z = MaxUnpooling2D(name="unpool")(z, positions, like=y)
    z = layers.Add(name="add")([z, y])
    found = roofline.counted(keras.Model(image, z), (5, 7))
    big, small = 5 * 7 * 8, 3 * 4 * 8
    expected = {
        "conv": (2 * big * 27 + big, 5 * 7 * 3 + big + 27 * 8 + 8),
        "pool": (big, big + 2 * small),
        "deep": (2 * small * 25, 2 * small + 25 * 8),
        "unpool": (big, 2 * small + big),
        "add": (big, 3 * big),
    }
    assert {r["layer"]: (r["flops"], r["values"]) for r in found} == expected


@pytest.mark.parametrize(
    "name, arguments",
    # TensorFlow pads a dilated convolution, and counts the padding.
    [("segnet", {}), ("segnet_lite", {"context_dilations": (1,)})],
)
def test_convolutions_are_those_that_tensorflow_counts(name, arguments):
    from tensorflow.python.profiler import model_analyzer, option_builder

    model = build(name, **arguments)
    found = {row["layer"]: row["flops"] for row in roofline.counted(model, (33, 47))}
    image = tf.TensorSpec((1, 33, 47, 3))
    graph = tf.function(lambda x: model(x)).get_concrete_function(image).graph
    builder = option_builder.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    node, expected = model_analyzer.profile(graph, cmd="op", options=options), 0
    while True:
        if node.name in ("Conv2D", "DepthwiseConv2dNative"):
            expected += node.float_ops
        if not node.children:
            break
        [node] = node.children
    convolutions = [layer for layer in model.layers if hasattr(layer, "kernel")]
    biases = sum(33 * 47 * layer.filters for layer in convolutions if layer.use_bias)
    assert sum(found[layer.name] for layer in convolutions) - biases == expected


def test_the_least_time_takes_the_larger_of_both():
    rows = [{"flops": 100, "values": 1}, {"flops": 1, "values": 50}]
    assert roofline.least_seconds(rows, 10, 20, 4) == pytest.approx(10 + 10)


def test_shares_need_times_of_the_same_network(tmp_path):
    peaks = {"float32_gflops": 100, "int8_gops": 400, "bandwidth_gb": 10}
    with pytest.raises(UserError, match="benchmarks.peers"):
        roofline.shares("segnet_lite", tmp_path, peaks)
    rows = [
        {"network": "segnet_lite", "engine": "a", "precision": "float32", "ms": 90.0},
        {"network": "segnet_lite", "engine": "b", "precision": "int8", "ms": 9.0},
        {"network": "another", "engine": "c", "precision": "float32", "ms": 1.0},
        {"network": "segnet_lite", "engine": "d", "precision": "float32", "error": ""},
    ]
    (tmp_path / "small.json").write_text(json.dumps({"contenders": rows}))
    found = roofline.shares("segnet_lite", tmp_path, peaks)
    int8, float32 = found["engines"]
    assert (int8["engine"], float32["engine"]) == ("b", "a")
    at_least = 1e3 * max(found["flops"] / 1e11, found["bytes"] / 1e10)
    assert at_least <= float32["bound_ms"] <= at_least * 2
    assert int8["bound_ms"] == pytest.approx(float32["bound_ms"] / 4, abs=0.01)


def test_rates_are_those_of_a_machine():
    assert 1e8 < roofline.bandwidth(1, mebibytes=8) < 1e13
    slow = roofline.best_rate(1e6, lambda: np.linalg.norm(np.ones(10**6)), repeats=2)
    assert 1e6 < slow < 1e12
    assert 1e6 < roofline.int8_ops(1, side=64) < 1e14
