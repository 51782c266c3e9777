"""Depthwise convolution with a faster gradient of its filters on a CPU."""

import keras
import tensorflow as tf

from segnet_tf.layers.devices import has_gpu

__all__ = ["FastDepthwiseConv2D"]

SLOW_KERNEL = 5
"""From this size on, oneDNN's gradient of the filters is the slower one."""


@keras.saving.register_keras_serializable("segnet_tf")
class FastDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' depthwise convolution, with another kernel for the filters' gradient.

    On a CPU, oneDNN takes over TensorFlow's convolutions. Its gradient of 5x5 depthwise
    filters takes two to three times as long as TensorFlow's own kernel, which was an
    eighth of SegNetLite's training step (`benchmarks/training_step.py`). oneDNN leaves
    a gradient alone if its padding is explicit. Values, the other gradients and saved
    weights are the same as Keras'. Keras' own code runs if this does not apply: for
    smaller filters, strides, dilations, other types than float32, or with a GPU.

    Input: (B, H, W, C). Output: (B, h, w, C * depth_multiplier).
    """

    def call(self, inputs):
        if has_gpu() or not self._applies() or inputs.dtype != tf.float32:
            return super().call(inputs)
        return _convolved(inputs, tf.convert_to_tensor(self.kernel))

    def _applies(self) -> bool:
        return (
            min(self.kernel_size) >= SLOW_KERNEL
            and max(*self.strides, *self.dilation_rate) == 1
            and (self.padding, self.data_format) == ("same", "channels_last")
            and not self.use_bias
            and self.activation is keras.activations.linear
        )


@tf.custom_gradient
def _convolved(x: tf.Tensor, kernel: tf.Tensor):
    """The convolution of x (B, H, W, C) with odd or even filters, padding "same"."""
    once = [1, 1, 1, 1]

    def gradient(upstream):
        ends = [[0, 0], *([(n - 1) // 2, n // 2] for n in kernel.shape[:2]), [0, 0]]
        of_x = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(x),
            filter=kernel,
            out_backprop=upstream,
            strides=once,
            padding="SAME",
        )
        of_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=x,
            filter_sizes=tf.shape(kernel),
            out_backprop=upstream,
            strides=once,
            padding="EXPLICIT",
            explicit_paddings=[width for pair in ends for width in pair],
        )
        return of_x, of_kernel

    return tf.nn.depthwise_conv2d(x, kernel, once, "SAME"), gradient
