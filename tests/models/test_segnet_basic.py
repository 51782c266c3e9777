"""The paper's eight decoders: sizes of table 1, structure, choices that clash."""

import keras
import pytest
from networks import trainable_parameters

from segnet_tf.layers.depthwise import FastDepthwiseConv2D
from segnet_tf.layers.pooling import MaxUnpooling2D
from segnet_tf.layers.resampling import BilinearUpsampling2D
from segnet_tf.models.networks import TABLE_1, build
from segnet_tf.models.segnet_basic import SegNetBasic

PAPERS = {
    "basic_bilinear": (612_747, 0.625e6),
    "segnet_basic": (1_416_075, 1.425e6),
    "basic_encoder_addition": (1_416_075, 1.425e6),
    "basic_single_channel_decoder": (625_803, 0.625e6),
    "fcn_basic": (646_583, 0.65e6),
    "fcn_basic_no_addition": (643_723, 0.65e6),
    "fcn_basic_no_dim_reduction": (1_661_323, 1.625e6),
    "fcn_basic_no_addition_no_dim_reduction": (1_661_323, 1.625e6),
}
"""Trainable parameters for 11 classes: ours, and the paper's."""


def test_table_1_is_whole_and_in_its_order():
    assert list(TABLE_1) == list(PAPERS)
    assert all(build(name, filters=4).name == name for name in TABLE_1)


@pytest.mark.parametrize("name", TABLE_1)
def test_parameters_of_table_1(name):
    ours, papers = PAPERS[name]
    assert trainable_parameters(build(name)) == ours
    assert ours == pytest.approx(papers, rel=0.03)


@pytest.mark.parametrize("name", TABLE_1)
def test_which_layers_make_the_decoder(name):
    kinds = [type(layer) for layer in build(name, filters=4).layers]
    unpools = name in (
        "segnet_basic",
        "basic_encoder_addition",
        "basic_single_channel_decoder",
    )
    assert kinds.count(MaxUnpooling2D) == 4 * unpools
    deconvolves = name.startswith("fcn")
    assert kinds.count(keras.layers.Conv2DTranspose) == 4 * deconvolves
    assert kinds.count(BilinearUpsampling2D) == 4 * (name == "basic_bilinear")
    single = name == "basic_single_channel_decoder"
    assert kinds.count(FastDepthwiseConv2D) == 4 * single
    adds = name in (
        "basic_encoder_addition",
        "fcn_basic",
        "fcn_basic_no_dim_reduction",
    )
    assert kinds.count(keras.layers.Add) == 4 * adds


def test_all_share_the_encoder():
    def encoder(model):
        layers = [layer for layer in model.layers if layer.name.startswith("conv")]
        return [
            (layer.name, layer.get_config().get("filters"))
            for layer in layers
            if layer.name[4].isdigit()
        ]

    expected = encoder(SegNetBasic(filters=8))
    assert len(expected) == 12  # convolution, BN, ReLU of four stages
    for name in TABLE_1:
        assert encoder(build(name, filters=8)) == expected


def test_segnet_basic_has_no_relu_in_its_decoder():
    names = {layer.name for layer in SegNetBasic(filters=8).layers}
    assert {n for n in names if n.endswith("relu")} == {
        f"conv{stage}_relu" for stage in range(1, 5)
    }


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"upsampling": "nearest"}, "upsampling must be one of"),
        ({"upsampling": "bilinear", "single_channel": True}, "single_channel"),
        ({"reduce_channels": True}, "as many channels as were pooled"),
    ],
)
def test_choices_that_clash(choices, message):
    with pytest.raises(ValueError, match=message):
        SegNetBasic(filters=4, **choices)
