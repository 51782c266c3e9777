"""The pictures of the docs that need no trained model."""

import numpy as np
import pytest
from PIL import Image

from docs import figures
from segnet_tf.errors import UserError


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


def test_figures_name_what_has_to_be_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="experiments.decoders .*--models segnet_basic"):
        figures.shifts_picture()


def test_pictures_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "IMAGES", tmp_path)
    monkeypatch.setattr(figures, "dense_picture", lambda: Image.new("RGB", (2, 2)))
    monkeypatch.setattr("sys.argv", ["figures", "--only", "dense.png"])
    figures.main()
    assert [path.name for path in tmp_path.iterdir()] == ["dense.png"]
    monkeypatch.setattr("sys.argv", ["figures", "--only", "dense.jpg"])
    with pytest.raises(UserError, match=r"dense.jpg: no such picture: unpooling.png"):
        figures.main()
