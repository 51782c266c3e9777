"""SegNet around other encoders: mirrored, asymmetric, or refused by stage."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import street, trainable_parameters

from segnet_tf.layers.pooling import MaxUnpooling2D
from segnet_tf.models import SegNet
from segnet_tf.models.segnet import VGG19_STAGES
from segnet_tf.training.pixel_loss import PixelLoss


def residual(channels: int, filters: int) -> keras.Model:
    """A residual block, as a stage: (B, H, W, channels) to (B, H, W, filters)."""
    x = keras.Input((None, None, channels))
    y = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(filters, 3, padding="same")(y)
    y = layers.Add()([y, layers.Conv2D(filters, 1)(x)])
    return keras.Model(x, layers.ReLU()(y))


def decoder(model: keras.Model) -> list[tuple[str, int]]:
    return [
        (layer.name, layer.filters)
        for layer in model.layers
        if isinstance(layer, layers.Conv2D) and layer.name.endswith("_D")
    ]


def test_vgg19_is_mirrored():
    model = SegNet(encoder=VGG19_STAGES)
    assert trainable_parameters(model) == 40_063_371
    convolutions = [la for la in model.layers if isinstance(la, layers.Conv2D)]
    encoder, mirror = convolutions[:16], convolutions[16:]
    assert [f"{la.name}_D" for la in reversed(encoder)] == [la.name for la in mirror]
    # Each filters as many channels as its mirror image reads.
    for one, other in zip(reversed(encoder[1:]), mirror, strict=False):
        assert other.filters == one.kernel.shape[2]


def test_keras_layers_of_a_ready_made_encoder_keep_their_weights():
    vgg = keras.applications.VGG19(include_top=False, weights=None)
    stages = [
        keras.Sequential([vgg.get_layer(f"block{block}_conv{i}") for i in (1, 2)])
        for block in (1, 2)
    ]
    model = SegNet(encoder=stages)
    kernel = vgg.get_layer("block2_conv1").kernel.numpy()
    np.testing.assert_array_equal(model.get_layer("block2_conv1").kernel, kernel)
    assert decoder(model) == [
        ("conv2_2_D", 128),
        ("conv2_1_D", 64),
        ("conv1_2_D", 64),
        ("conv1_1_D", 11),
    ]


def test_a_residual_encoder_learns_saves_and_loads(tmp_path):
    keras.utils.set_random_seed(0)
    model = SegNet(encoder=(residual(3, 8), residual(8, 16), residual(16, 16)))
    assert decoder(model) == [
        ("conv3_2_D", 16),
        ("conv3_1_D", 16),
        ("conv2_2_D", 16),
        ("conv2_1_D", 8),
        ("conv1_2_D", 8),
        ("conv1_1_D", 11),
    ]
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    images, labels = street(4, 37, 51)
    model.compile(keras.optimizers.Adam(3e-3), PixelLoss())
    losses = [model.train_on_batch(images, labels) for _ in range(40)]
    assert losses[-1] < 0.6 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images), model(images))


def test_a_single_layer_is_a_stage():
    model = SegNet(encoder=(layers.SeparableConv2D(8, 3, padding="same"), (8, 16)))
    assert model(np.zeros((1, 9, 7, 3), "float32")).shape == (1, 9, 7, 11)


def test_convolutions_inside_models_inside_a_stage_are_mirrored():
    inner = keras.Sequential([layers.SeparableConv2D(8, 3, padding="same")])
    model = SegNet(encoder=((8,), keras.Sequential([inner, named("outer")])))
    assert decoder(model) == [
        ("conv2_2_D", 8),
        ("conv2_1_D", 8),
        ("conv1_1_D", 11),
    ]


def test_the_decoder_of_the_readme():
    widths = ((512,), (256,), (128,), (64,), (64,))
    model = SegNet(decoder_widths=widths)
    assert [filters for _, filters in decoder(model)] == [512, 256, 128, 64, 64, 11]


def test_decoder_widths():
    widths = ((8, 16), (), ())
    model = SegNet(encoder=((8,), (16, 16), (32,)), decoder_widths=((16,), (8,), (4,)))
    assert decoder(model) == [
        ("conv3_1_D", 16),
        ("conv2_1_D", 8),
        ("conv1_2_D", 4),
        ("conv1_1_D", 11),
    ]
    model = SegNet(encoder=((16,), (16,), (16,)), decoder_widths=widths)
    unpools = [la for la in model.layers if isinstance(la, MaxUnpooling2D)]
    assert [la.output.shape[-1] for la in unpools] == [16, 16, 16]
    assert model(np.zeros((1, 5, 7, 3), "float32")).shape == (1, 5, 7, 11)


def strided(filters: int) -> layers.Layer:
    return layers.Conv2D(filters, 3, strides=2, padding="same")


def named(name: str) -> layers.Layer:
    return layers.Conv2D(8, 3, padding="same", name=name)


@pytest.mark.parametrize(
    "encoder, message",
    [
        ([(8,), strided(8)], "encoder stage 2 turns 37x51 into 19x26: a stage must"),
        ([layers.Conv2D(8, 3)], "encoder stage 1 turns 37x51 into 35x49"),
        ([(8,), layers.UpSampling2D()], "encoder stage 2 turns 37x51 into 74x102"),
        ([layers.GlobalAveragePooling2D()], r"encoder stage 1 gives \(None, 3\)"),
        ([(8,), 16], r"encoder stage 2 is 16: give the filters"),
        ([(8,), residual(3, 8)], r"encoder stage 2 does not take .*8\)"),
        ([], "encoder has no stages"),
        (None, "encoder is None: give a sequence"),
        ([(8,), ()], "encoder stage 2 has no convolution"),
        ([(8,), (8.5,)], r"encoder stage 2 is \(8.5,\): give the filters"),
        (["ab"], "encoder stage 1 is 'ab'"),
        (
            [named("a"), named("a")],
            "encoder stage 2 has a layer 'a', as stage 1 has: give each",
        ),
        ([(8,), named("pool1")], "stage 2 has a layer 'pool1', a name that SegNet"),
    ],
)
def test_a_bad_encoder_names_the_stage(encoder, message):
    with pytest.raises(ValueError, match=message):
        SegNet(encoder=encoder)


@pytest.mark.parametrize(
    "widths, message",
    [
        (((8,),), "decoder_widths has 1 stages, but the encoder has 2"),
        (((8,), (8,)), "decoder stage 2 ends in 8 channels.*stage 1 need 4"),
        (((), (4,)), "decoder stage 2 ends in 16 channels"),
        ((4, 4), "decoder stage 2 is 4: give the filters"),
        (((4,), (0,)), r"decoder stage 1 is \(0,\)"),
    ],
)
def test_bad_decoder_widths_name_the_stage(widths, message):
    with pytest.raises(ValueError, match=message):
        SegNet(encoder=((4,), (16,)), decoder_widths=widths)
