"""SegNet-Basic and its variants in the paper: one encoder with eight decoders.

Source: Badrinarayanan, Kendall, Cipolla, PAMI 2017, arXiv:1511.00561, section 3.2,
figure 3 and table 1; for SegNet-Basic also the released `segnet_basic_train.prototxt`,
whose layer names it has. Trainable parameters for 11 classes:

| name                                  | ours      | table 1 |
|---------------------------------------|-----------|---------|
| basic_bilinear                        |   612,747 | 0.625 M |
| segnet_basic                          | 1,416,075 | 1.425 M |
| basic_encoder_addition                | 1,416,075 | 1.425 M |
| basic_single_channel_decoder          |   625,803 | 0.625 M |
| fcn_basic                             |   646,583 | 0.65 M  |
| fcn_basic_no_addition                 |   643,723 | 0.65 M  |
| fcn_basic_no_dim_reduction            | 1,661,323 | 1.625 M |
| fcn_basic_no_addition_no_dim_reduction| 1,661,323 | 1.625 M |
"""

import keras
from keras import layers

from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.layers.normalization import LocalResponseNormalization
from segnet_tf.layers.resampling import BilinearUpsampling2D
from segnet_tf.models.blocks import (
    classifier,
    conv_bn,
    conv_bn_relu,
    deconvolution,
    depthwise_bn,
)

__all__ = ["UPSAMPLINGS", "SegNetBasic"]

STAGES = 4
DROPPED_STAGES = (3, 4)
"""Bayesian SegNet-Basic has dropout in the two deepest stages each way."""

KERNEL_SIZE = 7
DECONVOLUTION_SIZE = 8

UPSAMPLINGS = ("unpool", "bilinear", "deconvolution")


def SegNetBasic(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    filters: int = 64,
    upsampling: str = "unpool",
    single_channel: bool = False,
    reduce_channels: bool = False,
    add_encoder: bool = False,
    dropout: float = 0.0,
    name: str = "segnet_basic",
) -> keras.Model:
    """SegNet-Basic: four 7x7 stages each way, the paper's model for comparisons.

    It has local response normalisation at the input, BN and ReLU in the encoder, BN but
    no ReLU in the decoder, and a 1x1 classifier. Other arguments give the paper's other
    decoders; `segnet_tf.models.networks.TABLE_1` lists them.

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        pooling_mode: "argmax", "window" or "mask", for decoders that unpool; see
            `segnet_tf.layers`.
        filters: width of every stage (64 in the paper).
        upsampling: "unpool" to pooling positions, each followed by a convolution;
            "bilinear", fixed; or "deconvolution", 8x8, learned from a bilinear start.
        single_channel: makes the convolution after an unpooling depthwise.
        reduce_channels: reduces the encoder's output to class scores before the
            decoder, and the features that `add_encoder` adds. Not for unpooling, whose
            positions are those of all channels.
        add_encoder: adds the encoder's features of the same size at every level.
        dropout: rate after pool3, pool4 and the decoders 4 and 3, as in Bayesian
            SegNet-Basic; 0 adds no layers.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W.
    Output: float32 logits (B, H, W, num_classes).

    Raises:
        ValueError: if the upsampling is unknown, or does not go with another argument.

    1,416,075 trainable parameters for 11 classes.

    >>> SegNetBasic(num_classes=4, filters=8).output_shape
    (None, None, None, 4)
    """
    _check(upsampling, single_channel, reduce_channels)
    inputs = keras.Input((None, None, input_channels), name="image")
    x = LocalResponseNormalization(name="norm")(inputs)
    poolings = []
    for stage in range(1, STAGES + 1):
        before = conv_bn_relu(x, filters, f"conv{stage}", KERNEL_SIZE)
        positions = None
        if upsampling == "unpool":
            pool = MaxPoolingWithArgmax2D(pooling_mode, name=f"pool{stage}")
            x, positions = pool(before)
        else:
            x = layers.MaxPooling2D(padding="same", name=f"pool{stage}")(before)
        poolings.append((before, positions))
        if dropout and stage in DROPPED_STAGES:
            x = layers.Dropout(dropout, name=f"pool{stage}_drop")(x)

    if reduce_channels:
        x = classifier(x, num_classes, "conv_classifier")
    for stage in range(STAGES, 0, -1):
        before, positions = poolings[stage - 1]
        if upsampling == "unpool":
            x = _unpooled(x, before, positions, pooling_mode, single_channel, stage)
        elif upsampling == "deconvolution":
            x = deconvolution(x, before, 2, DECONVOLUTION_SIZE, f"deconv{stage}")
        else:
            x = BilinearUpsampling2D(name=f"upsample{stage}")(x, before)
        if add_encoder:
            if reduce_channels:
                before = classifier(before, num_classes, f"score{stage}")
            x = layers.Add(name=f"add{stage}")([x, before])
        if dropout and stage in DROPPED_STAGES:
            x = layers.Dropout(dropout, name=f"conv_decode{stage}_drop")(x)
    if reduce_channels:
        logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    else:
        logits = classifier(x, num_classes, "conv_classifier")
    return keras.Model(inputs, logits, name=name)


def _check(upsampling: str, single_channel: bool, reduce_channels: bool) -> None:
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"upsampling must be one of {UPSAMPLINGS}, not {upsampling!r}")
    if single_channel and upsampling != "unpool":
        raise ValueError(
            f"single_channel: no convolution follows {upsampling!r}: use 'unpool'"
        )
    if reduce_channels and upsampling == "unpool":
        raise ValueError(
            "reduce_channels: 'unpool' needs as many channels as were pooled: use "
            "another upsampling"
        )


def _unpooled(x, before, positions, mode: str, single_channel: bool, stage: int):
    """Unpools the values to their positions, then makes them dense by a convolution."""
    x = MaxUnpooling2D(mode, name=f"upsample{stage}")(x, positions, like=before)
    name = f"conv_decode{stage}"
    if not single_channel:
        return conv_bn(x, before.shape[-1], name, KERNEL_SIZE)
    return depthwise_bn(x, KERNEL_SIZE, name)
