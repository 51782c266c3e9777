"""The pictures of the docs that need no trained model."""

import numpy as np

from docs import figures


def test_unpooling_brings_outlines_back_where_they_were():
    rng = np.random.default_rng(0)
    x = rng.random((15, 21)).astype("float32")
    pooled, true = figures._round_trip(x, "true", 2)
    assert pooled.shape == (4, 6) and true.shape == x.shape
    # Every value that comes back stands where it came from.
    assert np.count_nonzero(true) == pooled.size
    np.testing.assert_array_equal(true[true > 0], x[true > 0])
    _, random = figures._round_trip(x, "random", 2)
    assert (random != true).any()


def test_the_picture_of_unpooling():
    picture = figures.unpooling_picture()
    assert picture.size == (5 * 262 - 6, 2 * 212)
    # Bilinear interpolation leaves no pixel white where an outline is; sparse maps do.
    grey = np.asarray(picture.convert("L"))[20:212]
    shares = [(grey[:, 262 * i : 262 * i + 256] == 255).mean() for i in range(5)]
    assert min(shares[1:4]) > 0.9 > shares[4]
