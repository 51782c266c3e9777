"""How features and labels change with a shift, on cases whose answer is known."""

import numpy as np
import pytest
import tensorflow as tf

from experiments import shifts


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
