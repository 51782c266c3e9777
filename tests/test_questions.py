"""What docs/how-segnet-works.md measures, on cases whose answer is known."""

import numpy as np
import pytest
import tensorflow as tf
from networks import small
from PIL import Image

from benchmarks import kernels, memory, normalisation, shifts
from docs import figures
from segnet_tf.errors import UserError
from segnet_tf.models import SegNet

WINDOWS = 180 * 240 + 90 * 120 + 45 * 60 + 23 * 30


def test_bytes_of_positions_and_features():
    bits, window, argmax, features = memory.kept("segnet_basic", 360, 480)
    assert (bits, window, argmax) == tuple(n * 64 * WINDOWS for n in (0.25, 1, 8))
    pixels = 360 * 480 + 180 * 240 + 90 * 120 + 45 * 60
    assert features == 4 * 64 * pixels


def test_change_is_zero_of_the_same_and_one_of_strangers(rng):
    one, other = rng.normal(size=(2, 60, 80, 4))
    assert shifts.change(one, one) == 0
    assert shifts.change(one, other) == pytest.approx(1, abs=0.05)
    assert shifts.change(one, 3 + one) > 1  # a level that rises is a change
    dead = np.concatenate([one, np.zeros((60, 80, 1))], axis=-1)
    assert shifts.change(dead, dead) == 0


def test_three_ways_to_halve():
    x = np.zeros((1, 8, 8, 1), "float32")
    x[0, 2, 3] = 4
    second, mean, most = shifts.ways_to_halve(tf.constant(x))
    assert second.shape == mean.shape == most.shape == (2, 2, 1)
    assert (second.max(), mean.max(), most.max()) == (0, 1, 4)


def test_labels_are_compared_where_they_show_the_same():
    image = np.zeros((80, 96, 3), np.uint8)
    image[..., 0] = np.arange(96)

    def outputs(batch):
        # The label of a pixel is its own column in the scene: nothing ever changes.
        return [[], tf.one_hot(tf.cast(batch[..., 0], tf.int32), 96)]

    still = outputs(shifts.moved_by(0, image))
    for shift in shifts.SHIFTS:
        _, _, labels = shifts.compared(
            still, outputs(shifts.moved_by(shift, image)), shift
        )
        assert labels == 0
    wrong = outputs(shifts.moved_by(2, image))
    assert shifts.compared(still, wrong, 1)[2] == 1


def test_filters_that_smear_and_filters_that_compare():
    tent = np.outer([1, 2, 1], [1, 2, 1])
    difference = np.array([[0, 0, 0], [-1, 0, 1], [0, 0, 0]])
    found = np.stack([tent, -2 * tent, difference])
    assert kernels.mixed(found).tolist() == [False, False, True]


def test_a_decoders_stage(rng):
    model = small("segnet_lite")
    image = rng.integers(0, 256, (32, 48, 3), np.uint8)
    assert kernels.levels(model) == [4, 3, 2, 1]
    sparse, filtered, mixed, filters = kernels.stage(model, 2, image)
    assert sparse.shape == filtered.shape and sparse.shape[:2] == (16, 24)
    assert mixed.shape[:2] == (16, 24) and filters.shape == (sparse.shape[-1], 3, 3)
    windows = (sparse != 0).reshape(8, 2, 12, 2, -1).sum(axis=(1, 3))
    assert windows.max() == 1  # of four, one is filled


def test_without_normalisation():
    model = SegNet(num_classes=3, encoder=((8,), (8,)))
    bare = normalisation.without_normalisation(model)
    kinds = {type(layer).__name__ for layer in bare.layers}
    assert not any("BatchNormalization" in kind for kind in kinds)
    name = "conv1_1"
    np.testing.assert_array_equal(
        bare.get_layer(name).kernel, model.get_layer(name).kernel
    )
    assert bare.get_layer(name).use_bias


@pytest.mark.slow
def test_a_training_without_normalisation():
    losses, mean_iou = normalisation.trained(False, 1e-3, steps=1)
    assert np.isfinite(losses).all() and 0 <= mean_iou < 1


def test_pictures_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "IMAGES", tmp_path)
    monkeypatch.setattr(figures, "dense_picture", lambda: Image.new("RGB", (2, 2)))
    monkeypatch.setattr("sys.argv", ["figures", "--only", "dense.png"])
    figures.main()
    assert [path.name for path in tmp_path.iterdir()] == ["dense.png"]
    monkeypatch.setattr("sys.argv", ["figures", "--only", "dense.jpg"])
    with pytest.raises(UserError, match=r"dense.jpg: no such picture: unpooling.png"):
        figures.main()
