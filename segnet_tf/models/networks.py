"""The table of networks: a light record for each, whose module is imported to build it.

`train.py --model` takes its choices and their help from here. To add a network, write
a module with a builder, and add a record to this table (docs/extending.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from segnet_tf.console.cli import chosen
from segnet_tf.console.quiet import imported
from segnet_tf.errors import UserError

__all__ = ["NETWORKS", "Network", "build"]


@dataclass(frozen=True)
class Network:
    """The facts about a network that the program needs before it is built.

    Attributes:
        builder: "module:function". The function takes `num_classes`, `input_channels`
            and `name`, and `pooling_mode` if the network unpools. It returns a
            functional keras.Model from float32 images (B, H, W, C) in [0, 255] to
            float32 logits (B, H, W, num_classes).
        summary: one line for `--help`.
        parameters: number of trainable parameters, for 11 classes and RGB.
        encoder: name of the encoder's last layer, for the encoder's learning rate.
        unpools: whether it unpools to pooling positions, so that it has `pooling_mode`.
        arguments: the builder's arguments for this network.
        pretrained: "module:function" that loads ImageNet weights into a new network.
            The function takes the model and a source, "imagenet" or a file's path.
            None if there are no such weights.
        brings_weights: whether the package contains the weights of "imagenet", so that
            training starts from them by default.
    """

    builder: str
    summary: str
    parameters: int
    encoder: str
    unpools: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pretrained: str | None = None
    brings_weights: bool = False

    def load_pretrained(self, model, source: str) -> None:
        """Loads ImageNet weights into a new network.

        Args:
            model: the network, changed in place.
            source: "imagenet" or a file's path.

        Raises:
            UserError: if there are no weights for it, or if `source` does not fit.
        """
        if self.pretrained is None:
            raise UserError(
                f"encoder_weights: none come with {model.name}: leave out "
                "--encoder-weights"
            )
        imported(self.pretrained)(model, source)


def build(name: str, num_classes: int = 11, **arguments):
    """Builds a network with new weights.

    Args:
        name: a key of `NETWORKS`.
        num_classes: channels of the output.
        arguments: further arguments of the builder; they replace those of the record.

    Returns:
        An uncompiled keras.Model of that name.

    Raises:
        UserError: if there is no network of that name.
    """
    network = chosen("model", name, NETWORKS)
    builder = imported(network.builder)
    return builder(num_classes, **{"name": name, **network.arguments, **arguments})


_VGG16: dict[str, Any] = {
    "encoder": "pool5",
    "pretrained": "segnet_tf.models.pretrained:load_vgg16_kernels",
}


def _fcn(stride: int, parameters: int) -> Network:
    return Network(
        builder="segnet_tf.models.fcn:FCN",
        summary=f"FCN with scores at stride {stride}, learned deconvolution",
        parameters=parameters,
        unpools=False,
        arguments={"stride": stride},
        **_VGG16,
    )


def _table_1(summary: str, parameters: int, **arguments) -> Network:
    """A decoder of the paper's table 1 on SegNet-Basic's encoder."""
    return Network(
        builder="segnet_tf.models.segnet_basic:SegNetBasic",
        summary=summary,
        parameters=parameters,
        encoder="pool4",
        unpools=arguments.get("upsampling", "unpool") == "unpool",
        arguments=arguments,
    )


TABLE_1 = {
    "basic_bilinear": _table_1(
        "SegNet-Basic's encoder, bilinear interpolation",
        612_747,
        upsampling="bilinear",
        reduce_channels=True,
    ),
    "segnet_basic": _table_1("four 7x7 stages each way: SegNet-Basic", 1_416_075),
    "basic_encoder_addition": _table_1(
        "segnet_basic, encoder features added at every level",
        1_416_075,
        add_encoder=True,
    ),
    "basic_single_channel_decoder": _table_1(
        "segnet_basic, decoder filters of one channel", 625_803, single_channel=True
    ),
    "fcn_basic": _table_1(
        "learned deconvolution of class scores, reduced encoder features added",
        646_583,
        upsampling="deconvolution",
        reduce_channels=True,
        add_encoder=True,
    ),
    "fcn_basic_no_addition": _table_1(
        "fcn_basic, nothing added",
        643_723,
        upsampling="deconvolution",
        reduce_channels=True,
    ),
    "fcn_basic_no_dim_reduction": _table_1(
        "fcn_basic, all 64 channels kept and added",
        1_661_323,
        upsampling="deconvolution",
        add_encoder=True,
    ),
    "fcn_basic_no_addition_no_dim_reduction": _table_1(
        "fcn_basic, all 64 channels kept, nothing added",
        1_661_323,
        upsampling="deconvolution",
    ),
}
"""The eight decoders of the paper's table 1, in its order."""

FCNS = {
    "fcn32s": _fcn(32, 134_813_643),
    "fcn16s": _fcn(16, 134_449_510),
    "fcn8s": _fcn(8, 134_361_345),
}
"""The networks of Long, Shelhamer and Darrell, with the same encoder as SegNet."""

_LITE: dict[str, Any] = {
    "builder": "segnet_tf.models.segnet_lite:SegNetLite",
    "pretrained": "segnet_tf.models.segnet_lite:load_imagenet_encoder",
    "brings_weights": True,
}

NETWORKS = {
    "segnet_lite": Network(
        summary="small: EfficientNet-Lite0's encoder, separable decoder",
        parameters=754_539,
        encoder="block10_add",
        **_LITE,
    ),
    "segnet_lite1": Network(
        summary="segnet_lite with EfficientNet-Lite1's encoder, deeper by four blocks",
        parameters=1_043_051,
        encoder="block14_add",
        arguments={"encoder": "lite1"},
        **_LITE,
    ),
    "segnet": Network(
        builder="segnet_tf.models.segnet:SegNet",
        summary="the paper's SegNet: VGG16's 13 convolutions and their mirror",
        parameters=29_441_419,
        **_VGG16,
    ),
    "bayesian_segnet": Network(
        builder="segnet_tf.models.bayesian:BayesianSegNet",
        summary="segnet with dropout, to be sampled at prediction",
        parameters=29_441_419,
        **_VGG16,
    ),
    "bayesian_segnet_basic": Network(
        builder="segnet_tf.models.bayesian:BayesianSegNetBasic",
        summary="segnet_basic with dropout, to be sampled at prediction",
        parameters=1_416_075,
        encoder="pool4",
    ),
    **FCNS,
    **TABLE_1,
}
"""All networks by their names in `train.py --model`."""
