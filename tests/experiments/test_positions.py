"""Four ways to unpool, against plain NumPy loops, and their table."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from networks import small

from experiments import positions
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D


def corners(kind: str, values: np.ndarray) -> np.ndarray:
    """`values` pooled and unpooled in one of the ways."""
    pooled, where = MaxPoolingWithArgmax2D(name="pool")(
        x := keras.Input((None, None, values.shape[-1]))
    )
    y = MaxUnpooling2D()(pooled, where, like=x)
    return positions.unpooling(keras.Model(x, y), kind)(values).numpy()


def test_four_ways_to_unpool(rng):
    x = rng.normal(size=(2, 7, 9, 3)).astype("float32")
    pooled, which = reference.pool(x)
    true = reference.unpool(pooled, which, 7, 9)
    np.testing.assert_array_equal(corners("true", x), true)
    fixed = reference.unpool(pooled, np.zeros_like(which), 7, 9)
    np.testing.assert_array_equal(corners("fixed", x), fixed)
    random = corners("random", x)
    assert (random != true).any() and (random != fixed).any()
    # Wherever it lands inside the image, every value is its own window's.
    even = random[:, :6, :8].reshape(2, 3, 2, 4, 2, 3).sum(axis=(2, 4))
    np.testing.assert_array_equal(even, pooled[:, :3, :4])
    bilinear = tf.image.resize(pooled, (7, 9), "bilinear")
    np.testing.assert_allclose(corners("bilinear", x), bilinear, atol=1e-6)
    with pytest.raises(ValueError, match="kind must be one of"):
        corners("nearest", x)


def test_wrong_positions_survive_saving(tmp_path):
    for kind in ("fixed", "bilinear"):
        model = positions.unpooling(small("segnet_basic"), kind)
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        image = np.full((1, 16, 16, 3), 99.0, "float32")
        np.testing.assert_array_equal(again(image), model(image))


def test_the_positions_table(tmp_path):
    run = {"G": 80.0, "C": 60.0, "mIoU": 40.0, "BF": 30.0}
    results = {"true": [run, {**run, "BF": 34.0}], "fixed": [run]}
    positions.report(results, tmp_path, "")
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[2] == "| true | 80.0 ± 0.0 | 60.0 ± 0.0 | 40.0 ± 0.0 | 32.0 ± 2.8 |"
    assert lines[3] == "| fixed | 80.0 | 60.0 | 40.0 | 30.0 |"
    assert (tmp_path / "plot.png").is_file()
