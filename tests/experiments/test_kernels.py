"""Filters of one sign and of both, and a stage of the decoder."""

import numpy as np
from networks import small

from experiments import kernels


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
