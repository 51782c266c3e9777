"""A run on several devices ends with the weights of a run on one."""

import numpy as np
import pytest
from spread import difference, ran

from segnet_tf.errors import UserError
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.replicas import Replicas


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> list[np.ndarray]:
    return ran(tmp_path_factory.mktemp("alone") / "run")


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_equal_weights(devices, alone, tmp_path):
    """SGD and batch normalisation over all replicas."""
    found = ran(tmp_path / "run", devices=str(devices), logical=devices)
    assert difference(alone, found) < 1e-5
    assert difference(*trained(alone, found)) < 1e-6


def trained(*runs) -> list[list[np.ndarray]]:
    """The runs' weights, without statistics of large values."""
    small = [each for each in zip(*runs, strict=True) if np.abs(each[0]).max() < 10]
    return [list(run) for run in zip(*small, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["own_means", "own_statistics"])
def test_a_fault_would_be_seen(fault, alone, tmp_path):
    found = ran(tmp_path / "run", devices="2", logical=2, **{fault: True})
    assert difference(*trained(alone, found)) > 5e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"loss": "dice"}, {"ema": 0.9}, {"recalibrate_bn": True}], ids=str
)
def test_equal_with_these_options(options, tmp_path):
    one = ran(tmp_path / "one", options=options)
    two = ran(tmp_path / "two", options=options, devices="2", logical=2)
    assert difference(one, two) < 2e-5


@pytest.mark.parametrize(
    "options, says",
    [
        ({"batch_size": 9}, "9 crops for 2 devices: must be a multiple"),
        ({"accumulate": 2}, "accumulate: does not work on several devices"),
        ({"jit_compile": True, "pooling_mode": "mask"}, "jit_compile: does not work"),
    ],
    ids=str,
)
def test_what_does_not_work_on_several_devices(options, says):
    replicas = Replicas()
    replicas.check(TrainConfig.of(**options))
    replicas.count = 2
    with pytest.raises(UserError, match=says):
        replicas.check(TrainConfig.of(**options))


@pytest.mark.parametrize(
    "devices, says",
    [("0", "must be a number or all"), ("x", "must be a number"), ("99", "99, but")],
)
def test_devices_that_are_not_there(devices, says):
    with pytest.raises(UserError, match=says):
        Replicas.on(devices)


def test_one_device_is_not_distributed():
    replicas = Replicas.on("1")
    assert replicas.strategy is None and replicas.count == 1 and replicas.is_chief
    assert replicas.summed([1, 2]) == [1, 2]
    assert replicas.batches(lambda count, here: (count, here)) == (1, range(1))
