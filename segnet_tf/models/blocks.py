"""What several networks are made of: convolutions with BN, fixed layers, a cropping."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from segnet_tf.batch_norm import FusedBatchNormalization

__all__ = [
    "BilinearKernel",
    "BilinearUpsampling2D",
    "CropLike",
    "LocalResponseNormalization",
    "classifier",
    "conv_bn",
    "conv_bn_relu",
    "deconvolution",
    "depthwise_bn",
    "subtract_mean",
]

VGG16_MEAN = (123.68, 116.779, 103.939)
"""ImageNet's mean colour in RGB, which VGG16 was trained without."""

BN_MOMENTUM = 0.9
"""Runs here are short; with Keras' 0.99 the statistics would lag behind them. Its
epsilon of 1e-3 stays: SegNetLite's ImageNet weights were trained with it."""


def subtract_mean(x):
    """The image without VGG16's mean colour; without its mean grey for other inputs."""
    channels = x.shape[-1]
    mean = VGG16_MEAN if channels == 3 else (sum(VGG16_MEAN) / 3,) * channels
    return layers.Rescaling(1.0, [-value for value in mean], name="mean")(x)


def conv_bn(x, filters: int, name: str, kernel_size: int = 3, gamma: str = "ones"):
    """Convolution without bias, then batch normalisation that starts at `gamma`."""
    x = layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return FusedBatchNormalization(
        momentum=BN_MOMENTUM, gamma_initializer=gamma, name=f"{name}_bn"
    )(x)


def depthwise_bn(x, kernel_size: int, name: str, dilation: int = 1):
    """Each channel filtered alone, without bias, then batch normalisation."""
    x = layers.DepthwiseConv2D(
        kernel_size,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)
    return FusedBatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)


def conv_bn_relu(x, filters: int, name: str, kernel_size: int = 3):
    """Convolution without bias, batch normalisation, ReLU."""
    x = conv_bn(x, filters, name, kernel_size)
    return layers.ReLU(name=f"{name}_relu")(x)


def classifier(x, num_classes: int, name: str, kernel_size: int = 1):
    """Convolution with bias to one float32 channel a class, under any policy."""
    return layers.Conv2D(
        num_classes,
        kernel_size,
        padding="same",
        kernel_initializer="he_normal",
        dtype="float32",
        name=name,
    )(x)


def deconvolution(x, like, stride: int, kernel_size: int, name: str):
    """Learned upsampling that starts as bilinear interpolation, cut to `like`'s size.

    Pooling rounds up (45 rows become 23), so upsampling may give a row too many, at
    the end, where "same" pooling had put its padding.
    """
    x = layers.Conv2DTranspose(
        x.shape[-1],
        kernel_size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=BilinearKernel(stride),
        name=name,
    )(x)
    return CropLike(name=f"{name}_crop")(x, like)


@keras.saving.register_keras_serializable("segnet_tf")
class BilinearKernel(keras.initializers.Initializer):
    """Makes a transposed convolution a linear interpolation, channel by channel.

    Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic
    Segmentation", CVPR 2015, section 3.3. The kernel is a tent as wide as it goes;
    with a kernel of twice the stride that is bilinear interpolation. A wider tent (the
    SegNet paper's 8x8 at stride 2) smooths more, and is scaled so that what is constant
    stays so: Caffe's filler would multiply it by four at each of four upsamplings.

    Args:
        stride: of the transposed convolution.
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
        # Each output meets size / stride of the weights; together they must be one.
        return tent * self.stride / tent.sum()

    def get_config(self):
        return {"stride": self.stride}


@keras.saving.register_keras_serializable("segnet_tf")
class CropLike(layers.Layer):
    """Cuts rows and columns off the end.

    Input: x (B, H, W, C); like (B, h, w, any), h <= H and w <= W, of which only the
        shape is read.
    Output: (B, h, w, C).
    """

    def call(self, x, like):
        height, width = _height_and_width(like)
        if x.shape[1:3] == (height, width):
            return x
        return x[:, :height, :width]

    def compute_output_spec(self, x, like):
        shape = (x.shape[0], *like.shape[1:3], x.shape[-1])
        return keras.KerasTensor(shape, self.compute_dtype)


@keras.saving.register_keras_serializable("segnet_tf")
class BilinearUpsampling2D(CropLike):
    """Twice the height and width by bilinear interpolation, then cropped.

    Keras' own UpSampling2D cannot interpolate a size that the graph does not know.

    Input: x (B, h, w, C); like (B, H, W, any) with H <= 2h and W <= 2w.
    Output: (B, H, W, C).
    """

    def call(self, x, like):
        height, width = _height_and_width(x)
        doubled = tf.image.resize(x, (2 * height, 2 * width), "bilinear")
        return super().call(tf.cast(doubled, x.dtype), like)


def _height_and_width(x) -> tuple:
    """Integers where they are known, tensors where not."""
    dynamic = tf.shape(x)
    return tuple(dynamic[i] if x.shape[i] is None else x.shape[i] for i in (1, 2))


@keras.saving.register_keras_serializable("segnet_tf")
class LocalResponseNormalization(layers.Layer):
    """Divides each channel by the energy of its neighbours, as the prototxt's `norm`.

    Caffe divides its alpha of 1e-4 by the window of 5 channels, TensorFlow does not:
    hence 2e-5. Computed in float32 whatever the policy: the squares of 0..255 do not
    fit into float16.

    Input: (B, H, W, C). Output: the same shape.
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
