"""FCN-32s, FCN-16s and FCN-8s, the networks that SegNet is compared with.

Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic
Segmentation", CVPR 2015, arXiv:1411.4038, sections 3 and 4. The lighter form is from
the SegNet paper, PAMI 2017, arXiv:1511.00561, sections 3.2 and 4.
"""

import keras
from keras import layers

from segnet_tf.models.blocks import (
    classifier,
    conv_bn_relu,
    deconvolution,
    subtract_mean,
)
from segnet_tf.models.encoders import VGG16_STAGES

__all__ = ["FCN"]

STRIDES = (8, 16, 32)
DROPOUT = 0.5


def FCN(
    num_classes: int = 11,
    input_channels: int = 3,
    stride: int = 8,
    encoder: tuple[tuple[int, ...], ...] = VGG16_STAGES,
    fc_filters: int | None = 4096,
    name: str | None = None,
) -> keras.Model:
    """FCN-32s, -16s or -8s: class scores of deep features, added and upsampled.

    The network has VGG16's convolutions, then its fully connected layers as
    convolutions (fc6 7x7, fc7 1x1, each followed by dropout of one half), then class
    scores at stride 32. A learned deconvolution, which starts as bilinear
    interpolation, upsamples these scores. FCN-16s adds the scores of pool4 to them, and
    FCN-8s also adds the scores of pool3, both by 1x1 convolution. A last deconvolution
    upsamples to full size.

    There are two differences from the original. Batch normalisation follows each
    convolution, as in our SegNet, so that both have the same encoder and differ only in
    the decoder. "Same" padding and a crop at the end match the sizes; the original pads
    the image by 100 pixels.

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        stride: 32, 16 or 8: the stride of the finest scores.
        encoder: filters of its 3x3 convolutions, one tuple per stage; five stages.
        fc_filters: width of fc6 and fc7. None leaves both out and scores pool5: the
            lighter form, whose encoder is SegNet's.
        name: the model's name; by default "fcn8s" and so on, by stride.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W; the mean colour
        is subtracted inside.
    Output: float32 logits (B, H, W, num_classes).

    Raises:
        ValueError: if the stride is another, or the encoder does not have five stages.

    FCN-8s has 134,361,345 trainable parameters for 11 classes; its lighter form has
    14,767,873.

    >>> FCN(4, encoder=((8,),) * 5, fc_filters=16, stride=16).output_shape
    (None, None, None, 4)
    """
    if stride not in STRIDES:
        raise ValueError(f"stride must be one of {STRIDES}, not {stride!r}")
    if len(encoder) != 5:
        raise ValueError(f"FCN has five stages, not {len(encoder)}")
    inputs = keras.Input((None, None, input_channels), name="image")
    x = subtract_mean(inputs)
    befores = []
    for number, widths in enumerate(encoder, start=1):
        befores.append(x)
        for index, filters in enumerate(widths, start=1):
            x = conv_bn_relu(x, filters, f"conv{number}_{index}")
        x = layers.MaxPooling2D(padding="same", name=f"pool{number}")(x)
    if fc_filters is not None:
        for layer, kernel_size in (("fc6", 7), ("fc7", 1)):
            x = conv_bn_relu(x, fc_filters, layer, kernel_size)
            x = layers.Dropout(DROPOUT, name=f"{layer}_drop")(x)

    x = classifier(x, num_classes, "score_fr")
    at = 32
    for pool in (4, 3):
        if at == stride:
            break
        # The input of the next stage is the pooled output of this one.
        skip = befores[pool]
        x = deconvolution(x, skip, 2, 4, f"upscore{at}")
        score = classifier(skip, num_classes, f"score_pool{pool}")
        x = layers.Add(name=f"fuse_pool{pool}")([x, score])
        at //= 2
    x = deconvolution(x, inputs, at, 2 * at, f"upscore{at}")
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(inputs, logits, name=name or f"fcn{stride}s")
