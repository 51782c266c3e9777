"""Blocks that several networks share: convolutions with batch normalisation."""

from keras import layers

from segnet_tf.layers import (
    BilinearKernel,
    CropLike,
    FastDepthwiseConv2D,
    FusedBatchNormalization,
)
from segnet_tf.models.encoders import VGG16_MEAN

__all__ = [
    "classifier",
    "conv_bn",
    "conv_bn_relu",
    "deconvolution",
    "depthwise_bn",
    "subtract_mean",
]

BN_MOMENTUM = 0.9
"""Runs here are short; with Keras' 0.99 the statistics would lag behind the weights.
Keras' epsilon of 1e-3 stays: SegNetLite's ImageNet weights were trained with it."""


def subtract_mean(x):
    """Subtracts VGG16's mean colour, or its mean grey if the image is not RGB."""
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
    """Depthwise convolution without bias, then batch normalisation."""
    x = FastDepthwiseConv2D(
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
    """Convolution with bias to one float32 channel per class, under any policy."""
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

    Pooling rounds up (45 rows become 23), so that upsampling may give one row too many.
    This row is the last, where "same" pooling puts its padding.
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
