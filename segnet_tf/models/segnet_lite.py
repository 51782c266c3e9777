"""SegNetLite: a small SegNet for phones and CPUs, pooling positions at every level.

The encoder is EfficientNet-Lite0 (Tan and Le, arXiv:1905.11946; the Lite variants
drop squeeze-excite and use ReLU6) up to stride 16, each of its strides joined by a
max-pooling with positions: where a block halves the size by a stride, the narrow
features before it are pooled as well, projected, and added to what the block makes of
them. So the block computes what ImageNet taught it, at the price it has there, and the
decoder gets the positions of maxima of features that carry on to the output.

The decoder is SegNet's: unpool to those positions, add the encoder's own features of
that size (the paper's "EncoderAddition", table 1), and make the map dense with
trainable filters, depthwise-separable ones here.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

__all__ = ["ENCODER_STAGES", "SegNetLite"]

ENCODER_STAGES = (
    ((1, 3, 16),),
    ((6, 3, 24), (6, 3, 24)),
    ((6, 5, 40), (6, 5, 40)),
    ((6, 3, 80), (6, 3, 80), (6, 3, 80), (6, 5, 112), (6, 5, 112), (6, 5, 112)),
)
"""EfficientNet-Lite0's first eleven blocks, a tuple a size from 1/2 to 1/16:
(expansion, kernel size, filters) of each inverted-residual block. The first block of
every tuple but the first one halves the size."""

DETAIL_FILTERS = 16
STEM_FILTERS = 32
CONTEXT_DILATIONS = (2, 4, 8)
DECODER_FILTERS = (16, 32, 64, 96)
"""Width between a level's two separable convolutions, from full size to 1/8."""

IMAGENET_WEIGHTS = Path(__file__).with_name("efficientnet_lite0.npz")
"""Written by tools/convert_efficientnet_lite0.py; Apache-2.0, ML Illustrated."""

BN_EPSILON = 1e-3
"""What the ImageNet weights were trained with."""

BN_MOMENTUM = 0.9
"""Runs here are short; with Keras' 0.99 the statistics would lag behind them."""


def SegNetLite(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    width: float = 1.0,
    encoder_weights: str | None = None,
    name: str = "segnet_lite",
) -> keras.Model:
    """A SegNet of depthwise-separable stages.

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        pooling_mode: "argmax", "window" or "mask"; see `segnet_tf.layers`.
        width: factor on every stage's filters.
        encoder_weights: "imagenet" for EfficientNet-Lite0's, which come with the
            package and need width 1 and RGB; None for a random start.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W; scaling to
        about -1..1 is inside.
    Output: float32 logits (B, H, W, num_classes).

    Raises:
        ValueError: where the ImageNet weights do not fit, naming the layer.

    >>> SegNetLite(num_classes=4, width=0.25).output_shape
    (None, None, None, 4)
    """

    def scaled(filters: int) -> int:
        return max(8, round(filters * width / 8) * 8)

    inputs = keras.Input((None, None, input_channels), name="image")
    image = layers.Rescaling(1 / 128, -127 / 128, name="scale")(inputs)
    x = _conv_bn_relu(image, scaled(DETAIL_FILTERS), "detail", kernel_size=3)
    poolings, block = [], 0
    for level, stage in enumerate(ENCODER_STAGES, start=1):
        before = x
        pool = MaxPoolingWithArgmax2D(pooling_mode, name=f"pool{level}")
        pooled, positions = pool(before)
        poolings.append((before, positions))
        if level == 1:
            x = _conv_bn(image, scaled(STEM_FILTERS), "stem", kernel_size=3, strides=2)
            x = _add_projected(x, pooled, "stem")
            x = layers.ReLU(6.0, name="stem_relu")(x)
        for expansion, kernel_size, filters in stage:
            strides = 2 if level > 1 and x is before else 1
            block_name, block = f"block{block}", block + 1
            x = _inverted_residual(
                x, expansion, kernel_size, scaled(filters), strides, block_name
            )
            if strides == 2:
                x = _add_projected(x, pooled, block_name)

    for dilation in CONTEXT_DILATIONS:
        y = _separable(x, x.shape[-1], f"context{dilation}", dilation)
        x = layers.Add(name=f"context{dilation}_add")([x, y])

    x = _conv_bn_relu(x, poolings[-1][0].shape[-1], "reduce")
    for level in range(len(ENCODER_STAGES), 0, -1):
        before, positions = poolings[level - 1]
        unpool = MaxUnpooling2D(pooling_mode, name=f"upsample{level}")
        x = unpool(x, positions, like=before)
        x = layers.Add(name=f"decode{level}_add")([x, before])
        x = _separable(x, scaled(DECODER_FILTERS[level - 1]), f"decode{level}_1")
        if level > 1:
            x = _separable(x, poolings[level - 2][0].shape[-1], f"decode{level}_2")

    logits = layers.Conv2D(
        num_classes,
        1,
        kernel_initializer="he_normal",
        dtype="float32",
        name="classifier",
    )(x)
    model = keras.Model(inputs, logits, name=name)
    if encoder_weights is not None:
        _load_encoder(model, encoder_weights)
    return model


def _load_encoder(model: keras.Model, weights: str) -> None:
    if weights != "imagenet":
        raise ValueError(f"encoder_weights must be 'imagenet' or None, not {weights!r}")
    with np.load(IMAGENET_WEIGHTS) as arrays:
        for key in arrays:
            layer, weight = key.split("/")
            variable = getattr(model.get_layer(layer), weight)
            if variable.shape != arrays[key].shape:
                raise ValueError(
                    f"layer {layer}: {weight} has shape {tuple(variable.shape)}, the "
                    f"ImageNet encoder {arrays[key].shape}: it needs width=1 and RGB"
                )
            variable.assign(arrays[key])


def _batch_norm(x, name: str):
    return layers.BatchNormalization(
        momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=f"{name}_bn"
    )(x)


def _conv_bn(x, filters: int, name: str, kernel_size: int = 1, strides: int = 1):
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return _batch_norm(x, name)


def _conv_bn_relu(x, filters: int, name: str, kernel_size: int = 1):
    x = _conv_bn(x, filters, name, kernel_size)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _add_projected(x, pooled, name: str):
    """Adds the pooled features to what a block with a stride made of them."""
    # The scale starts at zero: ImageNet's function is the start, whole.
    y = layers.Conv2D(
        x.shape[-1],
        1,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_pooled",
    )(pooled)
    y = layers.BatchNormalization(
        momentum=BN_MOMENTUM,
        epsilon=BN_EPSILON,
        gamma_initializer="zeros",
        name=f"{name}_pooled_bn",
    )(y)
    return layers.Add(name=f"{name}_pooled_add")([x, y])


def _inverted_residual(x, expansion, kernel_size, filters, strides, name: str):
    """MobileNetV2's block: widen, filter each channel, project; add where it fits."""
    shortcut = x
    if expansion > 1:
        x = _conv_bn_relu(x, expansion * x.shape[-1], f"{name}_expand")
    x = _depthwise_bn_relu(x, kernel_size, f"{name}_depthwise", strides=strides)
    x = _conv_bn(x, filters, f"{name}_project")
    if strides == 1 and filters == shortcut.shape[-1]:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _separable(x, filters: int, name: str, dilation: int = 1):
    x = _depthwise_bn_relu(x, 3, f"{name}_depthwise", dilation=dilation)
    return _conv_bn_relu(x, filters, f"{name}_project")


def _depthwise_bn_relu(x, kernel_size, name: str, strides: int = 1, dilation: int = 1):
    x = layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)
    x = _batch_norm(x, name)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
