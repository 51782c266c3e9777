"""Local response normalisation, the first layer of the released SegNet-Basic."""

import keras
import tensorflow as tf
from keras import layers

__all__ = ["LocalResponseNormalization"]


@keras.saving.register_keras_serializable("segnet_tf")
class LocalResponseNormalization(layers.Layer):
    """Divides each channel by the energy of its neighbours.

    Source: the layer `norm` of the released `segnet_basic_train.prototxt`. Caffe
    divides its alpha of 1e-4 by the window of 5 channels. TensorFlow does not, so that
    alpha is 2e-5 here. The layer computes in float32 under every policy, because the
    squares of 0..255 do not fit into float16.

    Args:
        depth_radius: number of neighbours on each side.
        bias: the divisor is (bias + alpha * sum of squares) ** beta.
        alpha: see bias.
        beta: see bias.

    Input: (B, H, W, C). Output: the same shape and dtype.
    """

    def __init__(
        self,
        depth_radius: int = 2,
        bias: float = 1.0,
        alpha: float = 2e-5,
        beta: float = 0.75,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.depth_radius = depth_radius
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def call(self, x):
        normalised = tf.nn.local_response_normalization(
            tf.cast(x, tf.float32), self.depth_radius, self.bias, self.alpha, self.beta
        )
        return tf.cast(normalised, x.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }
