"""What TensorFlow computes on."""

import tensorflow as tf

__all__ = ["has_gpu"]


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU, whose kernels differ from those for a CPU."""
    return bool(tf.config.list_physical_devices("GPU"))
