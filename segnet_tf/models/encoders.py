"""What the encoders are made of, as numbers. This module imports nothing."""

__all__ = ["ENCODERS", "VGG16_MEAN", "VGG16_STAGES", "VGG19_STAGES"]

VGG16_STAGES = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
"""Filters of VGG16's thirteen 3x3 convolutions, one tuple for each pooling stage."""

VGG19_STAGES = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
"""Filters of VGG19's sixteen 3x3 convolutions, one tuple for each pooling stage."""

VGG16_MEAN = (123.68, 116.779, 103.939)
"""ImageNet's mean colour in RGB; VGG16 was trained on images without it."""

ENCODERS = {
    "lite0": (
        ((1, 3, 16), (6, 3, 24)),
        ((6, 3, 24), (6, 5, 40)),
        ((6, 5, 40), (6, 3, 80)),
        ((6, 3, 80),) * 2 + ((6, 5, 112),) * 3,
    ),
    "lite1": (
        ((1, 3, 16), (6, 3, 24)),
        ((6, 3, 24), (6, 3, 24), (6, 5, 40)),
        ((6, 5, 40), (6, 5, 40), (6, 3, 80)),
        ((6, 3, 80),) * 3 + ((6, 5, 112),) * 4,
    ),
}
"""The blocks of EfficientNet-Lite0 and Lite1 to stride 16, split where the size halves:
(expansion, kernel size, filters) of each inverted-residual block."""
