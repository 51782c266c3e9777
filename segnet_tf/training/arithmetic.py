"""The precision of a run's numbers, and whether each run gives the same bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from segnet_tf.errors import UserError
from segnet_tf.layers.devices import has_gpu
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.config import TrainConfig

__all__ = ["make_deterministic", "precision"]


@contextmanager
def precision(config: TrainConfig) -> Iterator[None]:
    """Inside, new layers compute in half precision if the configuration says so."""
    before = keras.config.dtype_policy()
    if config.run.mixed_precision:
        # CPUs have bfloat16, which needs no loss scaling; GPUs are fast in float16.
        half = "float16" if has_gpu() else "bfloat16"
        keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def make_deterministic(config: TrainConfig) -> None:
    """Has TensorFlow take operators that give the same bits each time.

    Raises:
        UserError: if TensorFlow lacks one that the network needs.
    """
    network = config.network
    argmax = NETWORKS[network.model].unpools and network.pooling_mode == "argmax"
    if argmax and has_gpu():
        raise UserError(
            "deterministic: on a GPU TensorFlow has no such gradient for pooling mode "
            "argmax: add --pooling-mode window"
        )
    tf.config.experimental.enable_op_determinism()
