"""Bayesian SegNet: dropout in the deep stages, for sampling at prediction.

Source: Kendall, Badrinarayanan, Cipolla, "Bayesian SegNet: Model Uncertainty in Deep
Convolutional Encoder-Decoder Architectures for Scene Understanding", BMVC 2017,
arXiv:1511.02680, and the released `bayesian_segnet_train.prototxt` and
`bayesian_segnet_basic_train.prototxt`.

A plain call of these models switches dropout off, as in any Keras model (the paper's
weight averaging). `segnet_tf.inference.monte_carlo` draws the samples.
"""

from collections.abc import Sequence

import keras
from keras import layers

from segnet_tf.models.encoders import VGG16_STAGES
from segnet_tf.models.segnet import SegNet
from segnet_tf.models.segnet_basic import SegNetBasic

__all__ = ["BayesianSegNet", "BayesianSegNetBasic"]


def BayesianSegNet(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    encoder: Sequence[Sequence[int] | layers.Layer] = VGG16_STAGES,
    dropout: float = 0.5,
    name: str = "bayesian_segnet",
) -> keras.Model:
    """SegNet with dropout in its three deepest stages ("central encoder-decoder").

    Dropout follows pool3, pool4 and pool5, and the decoders that end in conv5_1_D,
    conv4_1_D and conv3_1_D. The rest, and the arguments, are those of `SegNet`.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W.
    Output: float32 logits (B, H, W, num_classes).

    Raises:
        ValueError: as `SegNet` does.

    29,441,419 trainable parameters for 11 classes; dropout has none.

    >>> model = BayesianSegNet(encoder=((8,), (8,), (8,), (8,)))
    >>> [layer.name for layer in model.layers if "drop" in layer.name][:3]
    ['pool2_drop', 'pool3_drop', 'pool4_drop']
    """
    return SegNet(
        num_classes,
        input_channels,
        pooling_mode,
        encoder,
        dropout=dropout,
        name=name,
    )


def BayesianSegNetBasic(
    num_classes: int = 11,
    input_channels: int = 3,
    pooling_mode: str = "argmax",
    filters: int = 64,
    dropout: float = 0.5,
    name: str = "bayesian_segnet_basic",
) -> keras.Model:
    """SegNet-Basic with dropout after pool3, pool4 and the decoders 4 and 3.

    The rest, and the arguments, are those of `SegNetBasic`.

    Input: float32 (B, H, W, input_channels) in [0, 255], any H and W.
    Output: float32 logits (B, H, W, num_classes).

    1,416,075 trainable parameters for 11 classes.

    >>> model = BayesianSegNetBasic(filters=8)
    >>> [layer.name for layer in model.layers if layer.name.endswith("drop")]
    ['pool3_drop', 'pool4_drop', 'conv_decode4_drop', 'conv_decode3_drop']
    """
    return SegNetBasic(
        num_classes, input_channels, pooling_mode, filters, dropout=dropout, name=name
    )
