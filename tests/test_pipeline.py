"""Image and labels move together, void where nothing is, and the same seed again."""

import numpy as np
import pytest
import tensorflow as tf

from segnet_tf import pipeline
from segnet_tf.datasets.split import DatasetInfo, Split
from segnet_tf.errors import UserError
from segnet_tf.pipeline import (
    Augmentation,
    augment,
    batch_names,
    evaluation_batches,
    reading_errors,
    training_batches,
)

INFO = DatasetInfo("coded", ("a", "b", "c"), ((0, 0, 0),) * 3)
STILL = {"scale": (1.0, 1.0), "flip": False, "light": 0.0}


def coded_image(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose pixels say where they are and what their label is."""
    rows, columns = np.mgrid[:height, :width]
    labels = ((rows // 8 + columns // 8) % 3).astype(np.uint8)
    image = np.stack([rows, columns, labels * 80], axis=-1).astype(np.uint8)
    return image, labels


def coded_split(sizes) -> Split:
    images = [coded_image(*size) for size in sizes]
    # Blue tells the images apart where the order matters.
    for index, (image, _) in enumerate(images):
        image[..., 2] = index
    names = tuple(f"{index}.png" for index in range(len(images)))
    return Split(INFO, "train", names, lambda index: images[index])


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


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.7])
def test_zoom_moves_labels_as_the_image(scale):
    augmentation = Augmentation((48, 48), (scale, scale), flip=False, light=0.0)
    for seed in range(5):
        image, labels = drawn(augmentation, 120, 130, seed)
        assert set(np.unique(labels)) <= {0, 1, 2}
        # Away from the borders of the 8x8 squares, colour and label must agree; one
        # square covers 8 * scale pixels.
        rows, columns = image[..., 0], image[..., 1]
        inside = [np.abs((axis - 3.5) % 8 - 4) > 2 for axis in (rows, columns)]
        inside = inside[0] & inside[1]
        expected = np.round((rows - 3.5) / 8) + np.round((columns - 3.5) / 8)
        assert inside.mean() > 0.05
        np.testing.assert_array_equal(labels[inside], expected[inside] % 3)
        steps = np.diff(columns[24])
        np.testing.assert_allclose(np.median(steps), 1 / scale, rtol=0.1)


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


def test_light_changes_colours_only():
    augmentation = Augmentation((40, 40), (1.0, 1.0), flip=False, light=0.5)
    image, labels = drawn(augmentation, 40, 40, 3)
    still, same_labels = drawn(Augmentation((40, 40), **STILL), 40, 40, 3)
    np.testing.assert_array_equal(labels, same_labels)
    assert np.abs(image - still).mean() > 5
    assert image.min() >= 0 and image.max() <= 255


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
    noisy = pipeline._noisy(image, 10.0, (1, 2)).numpy()
    assert noisy.std() == pytest.approx(10, rel=0.05)
    assert abs(noisy.mean() - 128) < 0.5
    dark = pipeline._noisy(tf.zeros((8, 8, 3)), 10.0, (1, 2)).numpy()
    assert dark.min() == 0


@pytest.mark.parametrize("radius", [0.0, 0.7, 2.5])
def test_blur_is_pillows_gauss(radius):
    image = np.zeros((41, 41, 3), np.uint8)
    image[10:30, 14:20] = 255
    blurred = pipeline._blurred(tf.constant(image, tf.float32), radius).numpy()
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
    best, worst = (pipeline._compressed(image, strength) for strength in (0.0, 1.0))
    # What is fine goes first: a worse picture is a smoother one.
    assert roughness(worst) < 0.8 * roughness(best)
    assert float(tf.reduce_mean(tf.abs(worst - image))) < 15
    assert worst.shape == image.shape


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_degraded_share(share):
    image, labels = smooth().astype(np.uint8), np.zeros((64, 64), np.uint8)
    still = Augmentation((64, 64), **STILL)
    worse = Augmentation((64, 64), **STILL, degrade=share)
    changed = []
    for seed in range(100):
        plain = augment(image, labels, still, (seed, seed))[0].numpy()
        one = augment(image, labels, worse, (seed, seed))
        again = augment(image, labels, worse, (seed, seed))
        np.testing.assert_array_equal(one[0], again[0])
        np.testing.assert_array_equal(one[1], labels)
        changed.append(not np.array_equal(one[0], plain))
    assert np.mean(changed) == pytest.approx(share, abs=0.12)


def first_batches(count: int, **changes):
    split = coded_split([(40, 40)] * 5)
    arguments = {"batch_size": 2, "seed": 7, **changes}
    batches = training_batches(split, Augmentation((32, 32)), **arguments)
    return [(x.numpy(), y.numpy()) for x, y in batches.take(count)]


def test_same_seed_same_batches():
    once, again, other = (first_batches(6, seed=seed) for seed in (7, 7, 8))
    for (x, y), (x2, y2) in zip(once, again, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    assert any((x != x2).any() for (x, _), (x2, _) in zip(once, other, strict=True))


def test_a_resumed_stream_goes_on_where_it_was():
    whole, rest = first_batches(6), first_batches(3, start=3 * 2)
    for (x, y), (x2, y2) in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    split = coded_split([(40, 40)] * 8)
    still = Augmentation((32, 32), **STILL)
    stream = training_batches(split, still, batch_size=8, seed=0).take(3)
    orders = [tuple(x.numpy()[:, 0, 0, 2].astype(int)) for x, _ in stream]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len(set(orders)) == 3


def test_batch_names_are_those_of_the_stream():
    split = coded_split([(40, 40)] * 5)
    still = Augmentation((32, 32), **STILL)
    stream = training_batches(split, still, batch_size=3, seed=11).take(7)
    for step, (x, _) in enumerate(stream):
        seen = tuple(f"{int(image[0, 0, 2])}.png" for image in x.numpy())
        assert batch_names(split, 3, 11, step) == seen


def test_a_single_image_makes_a_stream():
    split = coded_split([(40, 40)])
    stream = training_batches(split, Augmentation((32, 32)), batch_size=3, seed=0)
    x, y = next(iter(stream))
    assert x.shape == (3, 32, 32, 3) and y.shape == (3, 32, 32)


def test_every_change_at_once_in_a_stream():
    """In a graph, where the sizes of drawn windows are not known."""
    every = Augmentation((32, 32), scale=(0.5, 2.0), light=0.5, degrade=1.0)
    stream = training_batches(coded_split([(40, 40)] * 5), every, batch_size=3, seed=0)
    assert stream.element_spec[0].shape == (3, 32, 32, 3)
    for x, y in stream.take(4):
        assert x.dtype == tf.float32 and y.dtype == tf.uint8
        assert 0 <= float(tf.reduce_min(x)) <= float(tf.reduce_max(x)) <= 255


def test_evaluation_shows_whole_images_in_order():
    split = coded_split([(40, 44), (33, 35), (40, 44)])
    found = [(x.numpy(), y.numpy()) for x, y in evaluation_batches(split)]
    assert len(found) == 3
    for index, (x, y) in enumerate(found):
        image, labels = split.read(index)
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x[0], image)
        np.testing.assert_array_equal(y[0], labels)


def test_a_readers_error_comes_through_in_one_line():
    def read(index):
        raise UserError("b.png: damaged image")

    split = Split(INFO, "val", ("b.png",), read)
    with pytest.raises(UserError, match="^b.png: damaged image$"), reading_errors():
        list(evaluation_batches(split))


def test_a_defect_stays_a_defect():
    def read(index):
        raise RuntimeError("not the user's fault")

    split = Split(INFO, "val", ("b.png",), read)
    with pytest.raises(tf.errors.OpError, match="not the user"), reading_errors():
        list(evaluation_batches(split))
