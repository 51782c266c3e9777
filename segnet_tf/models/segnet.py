"""SegNet and SegNet-Basic, from the released train prototxts.

Source: Badrinarayanan, Kendall, Cipolla, PAMI 2017, arXiv:1511.00561, sections 3 and
4.1, and the released `segnet_train.prototxt` and `segnet_basic_train.prototxt`.
Layer names follow those files, so that a layer can be found from the paper's side.
"""

import keras
import tensorflow as tf
from keras import layers

from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

__all__ = ["VGG16_STAGES", "LocalResponseNormalization", "SegNet", "SegNetBasic"]

VGG16_STAGES = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
"""Filters of VGG16's thirteen 3x3 convolutions, a tuple a pooling stage."""

VGG16_MEAN = (123.68, 116.779, 103.939)
"""ImageNet's mean colour in RGB, which VGG16 was trained without."""

BN_MOMENTUM = 0.9
"""Runs here are short; with Keras' 0.99 the statistics would lag behind them."""


def SegNet(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    stages: tuple[tuple[int, ...], ...] = VGG16_STAGES,
    name: str = "segnet",
) -> keras.Model:
    """SegNet: VGG16's convolutions, mirrored, joined by pooling positions.

    Every 3x3 convolution but the last is followed by batch normalisation and ReLU,
    in the decoder too; convolutions before a batch normalisation carry no bias, as
    the paper has it (the prototxt keeps them). The decoder of a stage runs its
    encoder's convolutions backwards, the last one narrowing to the next stage.

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        pooling_mode: "argmax", "window" or "mask"; see `segnet_tf.layers`.
        stages: filters of the encoder, a tuple a stage.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W; the mean colour
        is subtracted inside.
    Output: float32 logits (B, H, W, num_classes).

    29,441,419 trainable parameters for 11 classes.

    >>> SegNet(num_classes=4, stages=((8, 8), (16,))).output_shape
    (None, None, None, 4)
    """
    inputs = keras.Input((None, None, input_channels), name="image")
    x = _subtract_mean(inputs)
    poolings = []
    for stage, widths in enumerate(stages, start=1):
        for number, filters in enumerate(widths, start=1):
            x = _conv_bn_relu(x, filters, f"conv{stage}_{number}")
        before = x
        pool = MaxPoolingWithArgmax2D(pooling_mode, name=f"pool{stage}")
        x, positions = pool(before)
        poolings.append((before, positions))

    for stage in range(len(stages), 0, -1):
        before, positions = poolings[stage - 1]
        unpool = MaxUnpooling2D(pooling_mode, name=f"upsample{stage}")
        x = unpool(x, positions, like=before)
        for number in range(len(stages[stage - 1]), 1, -1):
            filters = stages[stage - 1][number - 2]
            x = _conv_bn_relu(x, filters, f"conv{stage}_{number}_D")
        if stage > 1:
            x = _conv_bn_relu(x, stages[stage - 2][-1], f"conv{stage}_1_D")

    logits = layers.Conv2D(
        num_classes,
        3,
        padding="same",
        kernel_initializer="he_normal",
        dtype="float32",
        name="conv1_1_D",
    )(x)
    return keras.Model(inputs, logits, name=name)


def SegNetBasic(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    filters: int = 64,
    name: str = "segnet_basic",
) -> keras.Model:
    """SegNet-Basic: four 7x7 stages each way, the paper's model for comparisons.

    Local response normalisation at the input; BN and ReLU in the encoder, BN but no
    ReLU in the decoder; a 1x1 classifier.

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        pooling_mode: "argmax", "window" or "mask"; see `segnet_tf.layers`.
        filters: width of every stage (64 in the paper).

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W.
    Output: float32 logits (B, H, W, num_classes).

    1,416,075 trainable parameters for 11 classes.

    >>> SegNetBasic(num_classes=4, filters=8).output_shape
    (None, None, None, 4)
    """
    inputs = keras.Input((None, None, input_channels), name="image")
    x = LocalResponseNormalization(name="norm")(inputs)
    poolings = []
    for stage in range(1, 5):
        before = _conv_bn_relu(x, filters, f"conv{stage}", kernel_size=7)
        pool = MaxPoolingWithArgmax2D(pooling_mode, name=f"pool{stage}")
        x, positions = pool(before)
        poolings.append((before, positions))
    for stage in range(4, 0, -1):
        before, positions = poolings[stage - 1]
        unpool = MaxUnpooling2D(pooling_mode, name=f"upsample{stage}")
        x = unpool(x, positions, like=before)
        x = _conv_bn(x, filters, f"conv_decode{stage}", kernel_size=7)
    logits = layers.Conv2D(
        num_classes,
        1,
        kernel_initializer="he_normal",
        dtype="float32",
        name="conv_classifier",
    )(x)
    return keras.Model(inputs, logits, name=name)


def _subtract_mean(x):
    channels = x.shape[-1]
    mean = VGG16_MEAN if channels == 3 else (sum(VGG16_MEAN) / 3,) * channels
    return layers.Rescaling(1.0, [-value for value in mean], name="mean")(x)


def _conv_bn(x, filters: int, name: str, kernel_size: int = 3):
    x = layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return layers.BatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)


def _conv_bn_relu(x, filters: int, name: str, kernel_size: int = 3):
    x = _conv_bn(x, filters, name, kernel_size)
    return layers.ReLU(name=f"{name}_relu")(x)


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
