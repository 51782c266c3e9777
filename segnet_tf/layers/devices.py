"""What TensorFlow computes on: its devices, and the replicas of a distributed step."""

from typing import Any

import tensorflow as tf

__all__ = ["has_gpu", "over_replicas", "replicas"]


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, whose kernels differ from those for a CPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def replicas() -> int:
    """How many replicas run the step that is being traced; 1 outside of such a step."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def over_replicas(values: Any) -> Any:
    """The sum of the replicas' values in a distributed step; else just the values.

    Args:
        values: a tensor of one shape on all replicas. Gradients flow through the sum.
    """
    if replicas() == 1:
        return values
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)
