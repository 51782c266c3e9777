"""SegNet and SegNetLite in PyTorch, on its own max pooling and unpooling.

The counterparts of `segnet_tf.models.segnet` and `segnet_lite`, to be timed beside them
and compared with them. Each layer has the name of its layer in Keras, so that
`benchmarks.torch_weights` finds the weights.
"""

import torch
from torch import Tensor, nn

from segnet_tf.models.encoders import ENCODERS, VGG16_MEAN, VGG16_STAGES

__all__ = ["SegNet", "SegNetLite"]

STEM_FILTERS, HEAD_FILTERS, CONTEXT_DILATIONS = 32, 16, (2, 4)

BN = {"eps": 1e-3, "momentum": 0.1}
"""Keras' momentum is the part that stays, PyTorch's the part that is new."""


def conv_bn(
    name: str,
    channels: int,
    filters: int,
    kernel_size: int = 3,
    activation: type[nn.Module] | None = nn.ReLU,
    groups: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    """Convolution without bias, batch normalisation, and perhaps an activation."""
    layers = nn.Sequential()
    layers.add_module(
        name,
        nn.Conv2d(
            channels,
            filters,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
    )
    layers.add_module(f"{name}_bn", nn.BatchNorm2d(filters, **BN))
    if activation is not None:
        layers.add_module(f"{name}_relu", activation(inplace=True))
    return layers


class Unpooling(nn.Module):
    """The pooling and the unpooling of both networks, sizes rounded up as in Caffe."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2, ceil_mode=True, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)


class SegNet(Unpooling):
    """SegNet: float images (B, C, H, W) in [0, 255] -> logits (B, classes, H, W).

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        encoder: filters of the 3x3 convolutions before each pooling.
    """

    def __init__(self, num_classes=11, input_channels=3, encoder=VGG16_STAGES):
        super().__init__()
        mean = VGG16_MEAN if input_channels == 3 else [sum(VGG16_MEAN) / 3]
        mean = torch.tensor(mean).reshape(1, -1, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        channels = input_channels
        for number, widths in enumerate(encoder, start=1):
            # The decoder mirrors the stage; its last convolution narrows to the
            # channels of the stage before, and is the classifier in stage 1.
            narrower = [*widths[:-1]][::-1] + ([channels] if number > 1 else [])
            first = len(narrower) + (number == 1)
            self.decoder.insert(
                0, self._stage(f"conv{number}_{{}}_D", widths[-1], narrower, first, -1)
            )
            self.encoder.append(
                self._stage(f"conv{number}_{{}}", channels, widths, 1, 1)
            )
            channels = widths[-1]
        self.classifier = nn.Sequential()
        classifier = nn.Conv2d(encoder[0][0], num_classes, 3, padding=1)
        self.classifier.add_module("conv1_1_D", classifier)

    @staticmethod
    def _stage(name: str, channels: int, widths, first: int, step: int):
        blocks = nn.Sequential()
        for place, width in enumerate(widths):
            blocks.append(conv_bn(name.format(first + step * place), channels, width))
            channels = width
        return blocks

    def forward(self, images: Tensor) -> Tensor:
        x, pooled = images - self.mean, []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape[2:]
            x, indices = self.pool(x)
            pooled.append((indices, size))
        for stage, (indices, size) in zip(self.decoder, reversed(pooled), strict=True):
            x = stage(self.unpool(x, indices, output_size=size))
        return self.classifier(x)


def separable(name: str, channels: int, filters: int, dilation: int = 1):
    """A depthwise 3x3 convolution and a 1x1 convolution, each with ReLU6."""
    return nn.Sequential(
        depthwise(name, channels, 3, dilation),
        conv_bn(f"{name}_project", channels, filters, 1, nn.ReLU6),
    )


def depthwise(name: str, channels: int, kernel_size: int, dilation: int = 1):
    name = f"{name}_depthwise"
    return conv_bn(name, channels, channels, kernel_size, nn.ReLU6, channels, dilation)


class Residual(nn.Sequential):
    """Adds its input to its output."""

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def inverted_residual(
    name: str, channels: int, expansion: int, kernel_size: int, filters: int
) -> nn.Sequential:
    wide = expansion * channels
    layers = [
        depthwise(name, wide, kernel_size),
        conv_bn(f"{name}_project", wide, filters, 1, None),
    ]
    if expansion > 1:
        layers.insert(0, conv_bn(f"{name}_expand", channels, wide, 1, nn.ReLU6))
    return (Residual if filters == channels else nn.Sequential)(*layers)


class SegNetLite(Unpooling):
    """SegNetLite: float images (B, C, H, W) in [0, 255] -> logits (B, classes, H, W).

    Args:
        num_classes: channels of the output.
        input_channels: 3 for RGB.
        width: factor on the filters.
        encoder: a key of `segnet_tf.models.encoders.ENCODERS`.
    """

    def __init__(self, num_classes=11, input_channels=3, width=1.0, encoder="lite0"):
        super().__init__()

        def scaled(filters: int) -> int:
            return max(8, round(filters * width / 8) * 8)

        channels = scaled(STEM_FILTERS)
        self.stem = conv_bn("stem", input_channels, channels, 3, nn.ReLU6)
        self.encoder, block, before = nn.ModuleList(), 0, []
        for rows in ENCODERS[encoder]:
            before.append(channels)
            stage = nn.Sequential()
            for expansion, kernel_size, filters in rows:
                filters = scaled(filters)
                stage.append(
                    inverted_residual(
                        f"block{block}", channels, expansion, kernel_size, filters
                    )
                )
                channels, block = filters, block + 1
            self.encoder.append(stage)
        self.context = nn.Sequential(
            *(
                Residual(separable(f"context{dilation}", channels, channels, dilation))
                for dilation in CONTEXT_DILATIONS
            )
        )
        self.reduce = conv_bn("reduce", channels, before[-1], 1, nn.ReLU6)
        self.skips, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level, filters in enumerate(before, start=1):
            if level > 1:
                self.skips.append(conv_bn(f"skip{level}", filters, filters, 1, None))
            narrower = before[level - 2] if level > 1 else scaled(HEAD_FILTERS)
            self.decoder.append(separable(f"decode{level}", filters, narrower))
        self.head = nn.Sequential()
        classifier = nn.Conv2d(scaled(HEAD_FILTERS), num_classes, 1)
        self.head.add_module("classifier", classifier)

    def forward(self, images: Tensor) -> Tensor:
        x, pooled = self.stem(images * (1 / 128) - 127 / 128), []
        for stage in self.encoder:
            before = x
            x, indices = self.pool(before)
            pooled.append((before, indices))
            x = stage(x)
        x = self.reduce(self.context(x))
        for level in reversed(range(len(pooled))):
            before, indices = pooled[level]
            x = self.unpool(x, indices, output_size=before.shape[2:])
            if level:
                x = x + self.skips[level - 1](before)
            x = self.decoder[level](x)
        return self.head(x)
