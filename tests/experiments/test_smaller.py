"""Data sets at another size, as folders."""

import numpy as np
import pytest

from experiments import smaller
from segnet_tf import datasets
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError


def test_small_scenes_as_a_folder(tmp_path, monkeypatch):
    folder = tmp_path / "streets"
    command = ["smaller", str(folder), "--size=32x48", "--train=3", "--val=2"]
    monkeypatch.setattr("sys.argv", command)
    smaller.main()
    train, val = (datasets.load("folder", name, folder) for name in ("train", "val"))
    assert (len(train), len(val)) == (3, 2)
    assert train.info.classes == INFO.classes and train.info.colours == INFO.colours
    for index, (image, labels) in enumerate(val):
        expected = draw_scene(1, index, 32, 48)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(labels, expected[1])
    with pytest.raises(UserError, match="already there"):
        smaller.main()


def test_other_data_made_small():
    image = np.zeros((4, 6, 3), np.uint8)
    image[::2] = 100
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    small_image, small_labels = smaller.resized(image, labels, (2, 3))
    assert (small_image == 50).all()  # the mean of a block
    assert small_labels.shape == (2, 3) and np.isin(small_labels, labels).all()


def test_a_size_that_is_none(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["smaller", "streets", "--size=32"])
    with pytest.raises(SystemExit):
        smaller.main()
    assert "--size: invalid HxW size value: '32'" in capsys.readouterr().err
