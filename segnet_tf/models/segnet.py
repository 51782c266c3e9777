"""SegNet: any encoder, a decoder that mirrors it, and pooling positions between them.

Source: Badrinarayanan, Kendall, Cipolla, PAMI 2017, arXiv:1511.00561, section 3, and
the released `segnet_train.prototxt`. Layer names follow that file, so that a reader of
the paper can find each layer here.
"""

import re
from collections.abc import Sequence

import keras
from keras import layers

from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.models.blocks import classifier, conv_bn_relu, subtract_mean
from segnet_tf.models.encoders import VGG16_STAGES, VGG19_STAGES

__all__ = ["VGG16_STAGES", "VGG19_STAGES", "SegNet"]

Widths = Sequence[int]

DROPPED_STAGES = 3
"""Bayesian SegNet has dropout in the three deepest stages of encoder and decoder."""

OWN_NAMES = re.compile(r"image|mean|pool\d+(_drop)?|upsample\d+|conv\d+_\d+_D.*")
"""Names of SegNet's own layers; the layers of an encoder must have other names."""

PROBE = (37, 51)
"""Height and width of a test input; every pooling, stride or padding changes them."""


def SegNet(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    encoder: Sequence[Widths | layers.Layer] = VGG16_STAGES,
    decoder_widths: Sequence[Widths] | None = None,
    dropout: float = 0.0,
    name: str = "segnet",
) -> keras.Model:
    """SegNet: an encoder, and a decoder that mirrors it and unpools to its positions.

    Batch normalisation and ReLU follow every 3x3 convolution but the last, in the
    decoder too. A convolution before batch normalisation has no bias, as in the paper
    (the prototxt has biases). The decoder of a stage has its encoder's convolutions in
    reverse order; the last one reduces the channels to those of the next stage.

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        pooling_mode: "argmax", "window", "mask" or "input"; see `segnet_tf.layers`.
        encoder: the stages before each pooling, shallowest first. A stage is the
            filters of its 3x3 convolutions, or a Keras layer or model that keeps height
            and width (and brings its weights, if it has any). `SegNet` adds the
            poolings.
        decoder_widths: filters of the decoder's 3x3 convolutions, one tuple for each
            stage, deepest first. A stage must end in as many channels as the positions
            of the next unpooling have. The last stage may end in any number of
            channels, because the classifier follows. By default the decoder mirrors the
            encoder, convolution for convolution. In a Keras model all Conv2D and
            SeparableConv2D layers larger than 1x1 count, at any depth; any other Keras
            layer counts as one convolution.
        dropout: rate after the poolings and decoders of the three deepest stages, as in
            Bayesian SegNet; 0 adds no layers.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W; the mean colour
        is subtracted inside.
    Output: float32 logits (B, H, W, num_classes).

    Raises:
        ValueError: if a stage changes height or width or gives an output that cannot be
            pooled, or if a decoder stage gives an output that cannot be unpooled; the
            message names the stage.

    Keras layers in `encoder` need unique names: not those of another stage's layers,
    and not those of SegNet's own (pool1, upsample1, conv1_1_D).

    29,441,419 trainable parameters for 11 classes.

    >>> SegNet(num_classes=4, encoder=((8, 8), (16,))).output_shape
    (None, None, None, 4)
    """
    _check_stages(encoder)
    inputs = keras.Input((None, None, input_channels), name="image")
    x = subtract_mean(inputs)
    first_dropped = len(encoder) - DROPPED_STAGES + 1
    poolings = []
    for number, stage in enumerate(encoder, start=1):
        before = _encoded(x, stage, number)
        pool = MaxPoolingWithArgmax2D(pooling_mode, name=f"pool{number}")
        x, positions = pool(before)
        poolings.append((before, positions))
        if dropout and number >= first_dropped:
            x = layers.Dropout(dropout, name=f"pool{number}_drop")(x)

    channels = [before.shape[-1] for before, _ in poolings]
    if decoder_widths is None:
        decoder_widths = _mirrored(encoder, channels)
    _check_decoder(decoder_widths, channels)
    for number, widths in zip(range(len(encoder), 0, -1), decoder_widths, strict=True):
        before, positions = poolings[number - 1]
        unpool = MaxUnpooling2D(pooling_mode, name=f"upsample{number}")
        x = unpool(x, positions, like=before)
        # The last convolution before an unpooling is number 1; in the last stage, this
        # is the classifier.
        last = 1 if number > 1 else 2
        for index, filters in zip(
            range(last + len(widths) - 1, last - 1, -1), widths, strict=True
        ):
            x = conv_bn_relu(x, filters, f"conv{number}_{index}_D")
        if dropout and number >= max(first_dropped, 2):
            x = layers.Dropout(dropout, name=f"conv{number}_1_D_drop")(x)
    logits = classifier(x, num_classes, "conv1_1_D", kernel_size=3)
    return keras.Model(inputs, logits, name=name)


def _check_stages(encoder: Sequence[Widths | layers.Layer]) -> None:
    if isinstance(encoder, layers.Layer) or not isinstance(encoder, Sequence):
        raise ValueError(
            f"encoder is {encoder!r}: give a sequence, one stage for each pooling"
        )
    if not encoder:
        raise ValueError("encoder has no stages: give at least one")
    owners: dict[str, int] = {}
    for number, stage in enumerate(encoder, start=1):
        if isinstance(stage, layers.Layer):
            _claim_names(stage, number, owners)
        elif isinstance(stage, Sequence):
            _check_widths(f"encoder stage {number}", stage)
            if not stage:
                raise ValueError(f"encoder stage {number} has no convolution")


def _check_widths(where: str, widths: Widths) -> None:
    if not isinstance(widths, Sequence) or not all(
        isinstance(width, int) and width > 0 for width in widths
    ):
        raise ValueError(
            f"{where} is {widths!r}: give the filters of its convolutions, such as "
            "(64, 64)"
        )


def _claim_names(stage: layers.Layer, number: int, owners: dict[str, int]) -> None:
    """Adds the names of a stage's layers to `owners`, in which each must be unique."""
    parts = stage.layers if isinstance(stage, keras.Model) else [stage]
    for part in parts:
        if isinstance(part, layers.InputLayer):
            continue
        if OWN_NAMES.fullmatch(part.name):
            raise ValueError(
                f"encoder stage {number} has a layer {part.name!r}, a name that SegNet "
                "gives to a layer of its own: give it another name"
            )
        if part.name in owners:
            raise ValueError(
                f"encoder stage {number} has a layer {part.name!r}, as stage "
                f"{owners[part.name]} has: give each layer a name of its own"
            )
        owners[part.name] = number


def _encoded(x, stage: Widths | layers.Layer, number: int):
    """The output of encoder stage `number`."""
    if isinstance(stage, Sequence):
        for index, filters in enumerate(stage, start=1):
            x = conv_bn_relu(x, filters, f"conv{number}_{index}")
        return x
    if not isinstance(stage, layers.Layer):
        raise ValueError(
            f"encoder stage {number} is {stage!r}: give the filters of its "
            "convolutions, such as (64, 64), or a Keras layer"
        )
    try:
        # A model's `call` puts its layers into the graph one by one, so that the export
        # and `get_layer` find them.
        inlined = stage.call if isinstance(stage, keras.Model) else stage
        y = inlined(x)
        probe = keras.KerasTensor((1, *PROBE, x.shape[-1]), x.dtype)
        probed = stage.compute_output_spec(probe)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"encoder stage {number} does not take {tuple(x.shape)}: {reason}"
        ) from error
    if not isinstance(y, keras.KerasTensor) or len(y.shape) != 4:
        shape = getattr(y, "shape", type(y).__name__)
        raise ValueError(
            f"encoder stage {number} gives {shape}: pooling needs one tensor "
            "(B, H, W, C)"
        )
    if probed.shape[1:3] != PROBE:
        height, width = probed.shape[1:3]
        raise ValueError(
            f"encoder stage {number} turns {PROBE[0]}x{PROBE[1]} into {height}x{width}:"
            " a stage must keep the size, because the pooling after it halves it"
        )
    return y


def _mirrored(encoder: Sequence[Widths | layers.Layer], channels: list[int]) -> list:
    """The widths of a decoder that mirrors the encoder, deepest stage first."""
    mirrored = []
    for number in range(len(encoder), 0, -1):
        widths = _widths(encoder[number - 1])
        # The first convolution of an encoder stage takes the channels of the stage
        # before. Its mirror image, the last of the decoder stage, returns to them.
        narrowing = (channels[number - 2],) if number > 1 else ()
        mirrored.append((*reversed(widths[:-1]), *narrowing))
    return mirrored


def _widths(stage: Widths | layers.Layer) -> list[int]:
    if isinstance(stage, Sequence):
        return list(stage)
    if isinstance(stage, keras.Model):
        return [width for part in stage.layers for width in _widths(part)]
    is_counted = isinstance(stage, layers.Conv2D | layers.SeparableConv2D)
    return [stage.filters] if is_counted and max(stage.kernel_size) > 1 else []


def _check_decoder(widths: Sequence[Widths], channels: list[int]) -> None:
    stages = len(channels)
    if len(widths) != stages:
        raise ValueError(
            f"decoder_widths has {len(widths)} stages, but the encoder has {stages}"
        )
    for number, row in zip(range(stages, 0, -1), widths, strict=True):
        _check_widths(f"decoder stage {number}", row)
    for number, row in zip(range(stages, 1, -1), widths, strict=False):
        ends = row[-1] if row else channels[number - 1]
        needed = channels[number - 2]
        if ends != needed:
            raise ValueError(
                f"decoder stage {number} ends in {ends} channels, but the positions of "
                f"stage {number - 1} need {needed}"
            )
