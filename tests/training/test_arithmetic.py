"""Precision and determinism of a run."""

import keras
import pytest
import tensorflow as tf

from segnet_tf.errors import UserError
from segnet_tf.training import arithmetic
from segnet_tf.training.config import TrainConfig


@pytest.fixture
def asked(monkeypatch) -> list:
    """The calls that would make TensorFlow deterministic for the whole process."""
    calls = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: calls.append(True)
    )
    return calls


@pytest.mark.parametrize(
    ("gpu", "options", "refused"),
    [
        (True, {}, True),
        (True, {"pooling_mode": "window"}, False),
        (True, {"model": "fcn32s"}, False),
        (False, {}, False),
    ],
)
def test_a_gpu_lacks_a_deterministic_argmax(asked, monkeypatch, gpu, options, refused):
    monkeypatch.setattr(arithmetic, "has_gpu", lambda: gpu)
    config = TrainConfig.of(deterministic=True, **options)
    if refused:
        with pytest.raises(UserError, match="add --pooling-mode window"):
            arithmetic.make_deterministic(config)
    else:
        arithmetic.make_deterministic(config)
    assert bool(asked) != refused


@pytest.mark.parametrize(("gpu", "half"), [(True, "float16"), (False, "bfloat16")])
def test_half_precision_is_the_devices_own(monkeypatch, gpu, half):
    monkeypatch.setattr(arithmetic, "has_gpu", lambda: gpu)
    before = keras.config.dtype_policy().name
    with arithmetic.precision(TrainConfig.of(mixed_precision=True)):
        assert keras.config.dtype_policy().name == f"mixed_{half}"
    assert keras.config.dtype_policy().name == before
    with arithmetic.precision(TrainConfig.of()):
        assert keras.config.dtype_policy().name == before
