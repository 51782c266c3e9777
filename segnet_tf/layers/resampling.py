"""Upsampling without positions: bilinear, or learned from a bilinear start."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from segnet_tf.layers.positions import spatial_shape

__all__ = ["BilinearKernel", "BilinearUpsampling2D", "CropLike"]


@keras.saving.register_keras_serializable("segnet_tf")
class BilinearKernel(keras.initializers.Initializer):
    """Makes a transposed convolution a linear interpolation, channel by channel.

    Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic
    Segmentation", CVPR 2015, section 3.3. The weights form a tent as wide as the
    kernel. If the kernel is twice as wide as the stride, this is bilinear
    interpolation. A wider tent (the SegNet paper's 8x8 at stride 2) smooths more. The
    tent is scaled so that a constant input stays constant; Caffe's filler would
    multiply it by four at each of the four upsamplings.

    Args:
        stride: the stride of the transposed convolution.
    """

    def __init__(self, stride: int):
        self.stride = stride

    def __call__(self, shape, dtype=None):
        height, width, outputs, inputs = shape
        kernel = np.zeros(shape)
        tent = np.outer(self._tent(height), self._tent(width))
        for channel in range(min(outputs, inputs)):
            kernel[:, :, channel, channel] = tent
        return tf.constant(kernel, dtype or "float32")

    def _tent(self, size: int) -> np.ndarray:
        distance = np.abs(np.arange(size) - (size - 1) / 2)
        tent = 1 - distance / ((size + 1) // 2)
        # Each output pixel adds size / stride weights, whose sum must be one.
        return tent * self.stride / tent.sum()

    def get_config(self):
        return {"stride": self.stride}


@keras.saving.register_keras_serializable("segnet_tf")
class CropLike(layers.Layer):
    """Cuts rows off the bottom and columns off the right, to the size of `like`.

    Input: x (B, H, W, C); like (B, h, w, any), h <= H and w <= W, whose values are not
        read.
    Output: (B, h, w, C).
    """

    def call(self, x, like):
        height, width = spatial_shape(like)
        if x.shape[1:3] == (height, width):
            return x
        return x[:, :height, :width]

    def compute_output_spec(self, x, like):
        shape = (x.shape[0], *like.shape[1:3], x.shape[-1])
        return keras.KerasTensor(shape, self.compute_dtype)


@keras.saving.register_keras_serializable("segnet_tf")
class BilinearUpsampling2D(CropLike):
    """Doubles height and width by bilinear interpolation, then crops to `like`.

    Keras' own UpSampling2D cannot interpolate if the graph does not know the size.

    Input: x (B, h, w, C); like (B, H, W, any) with H <= 2h and W <= 2w.
    Output: (B, H, W, C).
    """

    def call(self, x, like):
        height, width = spatial_shape(x)
        doubled = tf.image.resize(x, (2 * height, 2 * width), "bilinear")
        return super().call(tf.cast(doubled, x.dtype), like)
