"""Tiles: they cover, they overlap enough, and together they are the whole image."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import network
from numpy.testing import assert_array_equal

from segnet_tf.inference.receptive_field import receptive_field
from segnet_tf.inference.tiling import ReceptiveField, in_tiles, padded, plan
from segnet_tf.models.networks import build

SMALL = ReceptiveField(step=4, margin=8, channels=2)


@pytest.mark.parametrize(
    "size", [(64, 64), (65, 127), (400, 90), (20, 1001), (1, 3000), (333, 335)]
)
@pytest.mark.parametrize("budget", [1500, 5000])
def test_tiles_cover_the_image_and_overlap_by_the_margin(size, budget):
    tiles = plan(*size, SMALL, budget)
    covered = np.zeros(size, int)
    for tile in tiles:
        covered[tile.target] += 1
        for axis in (0, 1):
            source, inside, target = (part[axis] for part in tile)
            assert source.start % SMALL.step == 0
            assert source.start + inside.start == target.start
            assert inside.stop - inside.start == target.stop - target.start
            assert source.start == 0 or inside.start >= SMALL.margin
            end = source.stop - source.start
            assert source.stop == size[axis] or end - inside.stop >= SMALL.margin
            assert source.stop <= size[axis]
    assert (covered == 1).all()
    pixels = [
        (t.source[0].stop - t.source[0].start) * (t.source[1].stop - t.source[1].start)
        for t in tiles
    ]
    # The last tile of a row takes what is left of a step.
    slack = SMALL.step * (max(size) + SMALL.step)
    assert max(pixels) * SMALL.channels <= budget + SMALL.channels * slack
    assert len(tiles) > 1 or size[0] * size[1] * SMALL.channels <= budget


def test_one_tile_where_it_fits_or_nothing_is_known():
    whole = (slice(0, 50), slice(0, 70))
    assert plan(50, 70, SMALL, 7000) == [(whole, whole, whole)]
    assert plan(50, 70, None, 1) == [(whole, whole, whole)]
    assert len(plan(50, 70, SMALL, 6999)) > 1


def test_a_photo_of_twelve_megapixels_is_not_computed_twice():
    lite = ReceptiveField(step=16, margin=288, channels=32)
    tiles = plan(3008, 4000, lite)
    work = sum(
        (t.source[0].stop - t.source[0].start) * (t.source[1].stop - t.source[1].start)
        for t in tiles
    )
    assert work < 2.3 * 3008 * 4000


def test_margins_larger_than_the_budget_still_give_tiles():
    tiles = plan(100, 100, ReceptiveField(step=4, margin=40, channels=1), budget=100)
    assert sum(np.ones((100, 100))[tile.target].sum() for tile in tiles) == 100 * 100


def test_padding_mirrors_at_the_bottom_and_right():
    image = np.arange(6).reshape(2, 3)
    expected = [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5]]
    assert_array_equal(padded(image, 3, 4), expected)
    assert padded(image, 2, 3) is image
    assert padded(np.zeros((1, 1, 3), np.uint8), 16, 16).shape == (16, 16, 3)


@pytest.mark.parametrize("size", [(33, 50), (64, 64), (5, 3), (61, 97)])
def test_tiles_that_exceed_the_image_are_as_if_it_had_been_padded(size, rng):
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    grown = tuple(side + -side % 16 for side in size)
    tiles = plan(*grown, SMALL, 1500)

    def run(part):
        assert all(side % SMALL.step == 0 for side in part.shape[:2])
        return [part.cumsum(axis=0), part[..., 0]]

    wholes = in_tiles(padded(image, *grown), tiles, run)
    found = in_tiles(image, tiles, run)
    for whole, part in zip(wholes, found, strict=True):
        assert_array_equal(part, whole[: size[0], : size[1]])


# --- How far a network looks ---------------------------------------------------------


@pytest.mark.parametrize(
    "name, expected",
    [
        ("segnet", ReceptiveField(32, 192, 64)),
        ("segnet_basic", ReceptiveField(16, 96, 64)),
        ("segnet_lite", ReceptiveField(16, 288, 32)),
    ],
)
def test_receptive_field_of_the_full_networks(name, expected):
    # By hand for segnet_basic: 3 cells a 7x7 convolution, halved (up) by an unpooling,
    # doubled by a pooling: 3, 5, 6, 6 | 3 | 9, 21, 45, 93 -> 96.
    assert receptive_field(build(name)) == expected


@pytest.mark.parametrize("name", ["segnet", "segnet_basic", "segnet_lite"])
def test_a_tile_is_right_up_to_the_margin_and_wrong_beyond(name, rng):
    model = network(name)
    found = receptive_field(model)
    width = 4 * found.margin + 2 * found.step
    strip = rng.integers(0, 256, (1, found.step, width, 3)).astype(np.float32)
    whole = model(strip, training=False).numpy()
    begin = found.margin + found.step
    tile = model(strip[:, :, begin:], training=False).numpy()
    # TensorFlow sums in another order for another size; LiteRT does not, see
    # test_predictor.py.
    differences = np.abs(tile - whole[:, :, begin:]) / np.ptp(whole)
    same = differences.max(axis=(0, 1, 3)) < 1e-5
    assert same[found.margin :].all()
    # Some way in, the missing neighbours weigh too little to be seen.
    assert not same[: found.step].all()


@pytest.mark.parametrize(
    "layer",
    [
        layers.UpSampling2D(),
        layers.Conv2D(3, 3, strides=2, padding="same"),
        layers.Conv2D(3, 3, padding="valid"),
        layers.GlobalAveragePooling2D(keepdims=True),
    ],
)
def test_a_layer_that_is_not_known_has_no_receptive_field(layer):
    image = keras.Input((None, None, 3))
    assert receptive_field(keras.Model(image, layer(image))) is None


def test_receptive_field_takes_the_longest_way(rng):
    image = keras.Input((None, None, 3))
    far = layers.DepthwiseConv2D(5, padding="same", dilation_rate=3)(image)
    near = layers.Conv2D(3, 2, padding="same")(image)
    model = keras.Model(image, layers.Add()([far, near]))
    assert receptive_field(model) == ReceptiveField(1, 6, 3)
