"""Image and labels move together, void where nothing is, and the same seed again."""

import numpy as np
import pytest
import tensorflow as tf
from scenes import STILL, coded_image

from segnet_tf.training import augmentation as changes
from segnet_tf.training.augmentation import Augmentation, augment


def drawn(augmentation: Augmentation, height: int, width: int, seed: int):
    image, labels = coded_image(height, width)
    image, labels = augment(image, labels, augmentation, (0, seed))
    return image.numpy(), labels.numpy()


@pytest.mark.parametrize("flip", [False, True])
def test_crop_keeps_image_and_labels_together(flip):
    augmentation = Augmentation((24, 40), **{**STILL, "flip": flip})
    mirrored = 0
    for seed in range(20):
        image, labels = drawn(augmentation, 60, 90, seed)
        assert image.shape == (24, 40, 3) and image.dtype == np.float32
        assert labels.shape == (24, 40) and labels.dtype == np.uint8
        np.testing.assert_array_equal(image[..., 2], labels * 80.0)
        mirrored += image[0, 0, 1] > image[0, -1, 1]
    assert (0 < mirrored < 20) if flip else mirrored == 0


def test_crops_reach_every_edge():
    augmentation = Augmentation((32, 32), **STILL)
    corners = {
        tuple(drawn(augmentation, 34, 35, seed)[0][0, 0, :2].astype(int))
        for seed in range(200)
    }
    assert corners == {(row, column) for row in range(3) for column in range(4)}


@pytest.mark.parametrize("zoom", [0.5, 0.8, 1.7])
def test_zoom_moves_labels_as_the_image(zoom):
    augmentation = Augmentation((48, 48), (zoom, zoom), flip=False, color_jitter=0.0)
    for seed in range(5):
        image, labels = drawn(augmentation, 120, 130, seed)
        assert set(np.unique(labels)) <= {0, 1, 2}
        # Away from the borders of the 8x8 squares, colour and label must agree; one
        # square covers 8 * zoom pixels.
        rows, columns = image[..., 0], image[..., 1]
        inside = [np.abs((axis - 3.5) % 8 - 4) > 2 for axis in (rows, columns)]
        inside = inside[0] & inside[1]
        expected = np.round((rows - 3.5) / 8) + np.round((columns - 3.5) / 8)
        assert inside.mean() > 0.05
        np.testing.assert_array_equal(labels[inside], expected[inside] % 3)
        steps = np.diff(columns[24])
        np.testing.assert_allclose(np.median(steps), 1 / zoom, rtol=0.1)


def test_void_where_the_crop_reaches_beyond_the_image():
    augmentation = Augmentation((64, 80), **STILL)
    starts = set()
    for seed in range(30):
        image, labels = drawn(augmentation, 40, 50, seed)
        assert (labels != 255).sum() == 40 * 50
        rows, columns = np.nonzero(labels != 255)
        starts.add((rows.min(), columns.min()))
        np.testing.assert_array_equal(
            image[labels != 255][:, 2], labels[labels != 255] * 80.0
        )
    assert len(starts) > 10


def test_color_jitter_changes_colours_only():
    augmentation = Augmentation((40, 40), (1.0, 1.0), flip=False, color_jitter=0.5)
    image, labels = drawn(augmentation, 40, 40, 3)
    still, same_labels = drawn(Augmentation((40, 40), **STILL), 40, 40, 3)
    np.testing.assert_array_equal(labels, same_labels)
    assert np.abs(image - still).mean() > 5
    assert image.min() >= 0 and image.max() <= 255


def test_lighting_is_a_gamma_and_a_white_balance():
    """Each pixel is 255 (gain c / 255) ** gamma, the same everywhere."""
    image, labels = coded_image(40, 50)
    image = np.maximum(image, 20).astype(np.float32)
    gammas, gains = [], []
    for seed in range(60):
        options = Augmentation((40, 50), **STILL, lighting=0.5)
        relit, same = changes.lighting(image, labels, options, (0, seed))
        assert same is labels
        relit = relit.numpy()
        exponents = set()
        for channel in range(3):
            x, y = image[..., channel] / 255, relit[..., channel] / 255
            inside = y < 0.99
            gamma, shift = np.polyfit(np.log(x[inside]), np.log(y[inside]), 1)
            np.testing.assert_allclose(
                np.log(y[inside]), gamma * np.log(x[inside]) + shift, atol=1e-3
            )
            exponents.add(round(gamma, 2))
            gains.append(np.exp(shift / gamma))
        assert max(exponents) - min(exponents) <= 0.02
        gammas.append(max(exponents))
    assert 1 / 1.5 <= min(gammas) < 0.75 and 1.35 < max(gammas) <= 1.51
    # The gains of a picture have mean 1, each between 1 / 1.25 and 1.25 before.
    np.testing.assert_allclose(np.reshape(gains, (-1, 3)).mean(axis=1), 1, atol=1e-2)
    assert np.std(gains) > 0.03


def test_without_lighting_nothing_changes_and_grey_has_no_colours():
    image, labels = coded_image(40, 50)
    image = image.astype(np.float32)
    still = Augmentation((40, 50), **STILL)
    assert changes.lighting(image, labels, still, (0, 0))[0] is image
    options = Augmentation((40, 50), **STILL, lighting=0.5)
    grey = image[..., :1]
    relit, _ = changes.lighting(grey, labels, options, (0, 3))
    assert relit.shape == grey.shape
    np.testing.assert_allclose(relit[grey == 0], 0)
    four = np.concatenate([image, image[..., :1]], axis=-1)
    relit, _ = changes.lighting(four, labels, options, (0, 3))
    np.testing.assert_array_equal(relit[..., 3], four[..., 3])


def test_graph_and_eager_agree():
    augmentation = Augmentation((48, 64))
    image, labels = coded_image(70, 90)
    eager = augment(image, labels, augmentation, (1, 2))
    graph = tf.function(lambda *pair: augment(*pair, augmentation, (1, 2)))
    for one, other in zip(eager, graph(image, labels), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def smooth(side: int = 64) -> np.ndarray:
    """A picture with one soft edge, in which noise and blocks would show."""
    ramp = np.clip(np.linspace(-300, 555, side), 30, 225)
    return np.repeat(np.tile(ramp, (side, 1))[..., None], 3, -1).astype(np.float32)


def roughness(image) -> float:
    return float(np.abs(np.diff(np.asarray(image), axis=0)).mean())


def test_noise_is_as_strong_as_asked():
    image = tf.fill((64, 64, 3), 128.0)
    noisy = changes.noisy(image, 10.0, (1, 2)).numpy()
    assert noisy.std() == pytest.approx(10, rel=0.05)
    assert abs(noisy.mean() - 128) < 0.5
    dark = changes.noisy(tf.zeros((8, 8, 3)), 10.0, (1, 2)).numpy()
    assert dark.min() == 0


@pytest.mark.parametrize("radius", [0.0, 0.7, 2.5])
def test_blur_is_pillows_gauss(radius):
    image = np.zeros((41, 41, 3), np.uint8)
    image[10:30, 14:20] = 255
    blurred = changes.blurred(tf.constant(image, tf.float32), radius).numpy()
    steps = np.arange(-15, 16)
    kernel = np.exp(-((steps / max(radius, 1e-3)) ** 2) / 2)
    kernel /= kernel.sum()
    padded = np.pad(image[..., 0].astype(float), 15, "symmetric")
    rows = np.stack([np.convolve(line, kernel, "valid") for line in padded])
    both = np.stack([np.convolve(line, kernel, "valid") for line in rows.T]).T
    # The tail beyond three times the largest radius is left out.
    np.testing.assert_allclose(blurred[..., 0], both, atol=0.8)


def test_compression_leaves_blocks():
    image = smooth() + np.random.default_rng(0).normal(0, 12, (64, 64, 3))
    image = tf.constant(np.clip(image, 0, 255), tf.float32)
    best, worst = (changes.compressed(image, strength) for strength in (0.0, 1.0))
    # What is fine goes first: a worse picture is a smoother one.
    assert roughness(worst) < 0.8 * roughness(best)
    assert float(tf.reduce_mean(tf.abs(worst - image))) < 15
    assert worst.shape == image.shape


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_corrupted_share(share):
    image, labels = smooth().astype(np.uint8), np.zeros((64, 64), np.uint8)
    still = Augmentation((64, 64), **STILL)
    worse = Augmentation((64, 64), **STILL, corruption=share)
    changed = []
    for seed in range(100):
        plain = augment(image, labels, still, (seed, seed))[0].numpy()
        one = augment(image, labels, worse, (seed, seed))
        again = augment(image, labels, worse, (seed, seed))
        np.testing.assert_array_equal(one[0], again[0])
        np.testing.assert_array_equal(one[1], labels)
        changed.append(not np.array_equal(one[0], plain))
    assert np.mean(changed) == pytest.approx(share, abs=0.12)
