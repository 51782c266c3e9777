"""Streams: every image once an epoch, and the same again for the same seed."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from scenes import INFO, STILL, coded_split

from segnet_tf.datasets.dataset import Split
from segnet_tf.datasets.pipeline import (
    batch_names,
    evaluation_batches,
    reading_errors,
    training_batches,
)
from segnet_tf.datasets.storage import caching
from segnet_tf.errors import UserError
from segnet_tf.training.augmentation import Augmentation, augment


def cropped(**options):
    """Draws crops of 32x32."""
    augmentation = Augmentation((32, 32), **options)
    return lambda image, labels, seed: augment(image, labels, augmentation, seed)


def first_batches(count: int, **changes):
    split = coded_split([(40, 40)] * 5)
    arguments = {"batch_size": 2, "seed": 7, **changes}
    batches = training_batches(split, cropped(), **arguments)
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
    still = cropped(**STILL)
    stream = training_batches(split, still, batch_size=8, seed=0).take(3)
    orders = [tuple(x.numpy()[:, 0, 0, 2].astype(int)) for x, _ in stream]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len(set(orders)) == 3


def test_batch_names_are_those_of_the_stream():
    split = coded_split([(40, 40)] * 5)
    still = cropped(**STILL)
    stream = training_batches(split, still, batch_size=3, seed=11).take(7)
    for step, (x, _) in enumerate(stream):
        seen = tuple(f"{int(image[0, 0, 2])}.png" for image in x.numpy())
        assert batch_names(split, 3, 11, step) == seen


def parted(*shares: tuple[int, int]) -> Split:
    """A split of parts of so many images, whose blue counts them through."""
    split = coded_split([(40, 40)] * sum(count for count, _ in shares))
    return replace(split, shares=shares)


def test_parts_have_their_shares_and_their_own_epochs():
    stream = training_batches(parted((3, 3), (10, 2)), cropped(**STILL), 5, seed=0)
    drawn = [x.numpy()[:, 0, 0, 2].astype(int) for x, _ in stream.take(20)]
    for batch in drawn:
        # Five samples are one round, in which the parts take turns.
        assert [int(index >= 3) for index in batch] == [0, 1, 0, 1, 0]
    drawn = np.concatenate(drawn)
    for first, count in ((0, 3), (3, 10)):
        own = drawn[(drawn >= first) & (drawn < first + count)]
        epochs = own[: len(own) // count * count].reshape(-1, count)
        expected = np.arange(first, first + count)
        np.testing.assert_array_equal(np.sort(epochs, axis=1), len(epochs) * [expected])
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_parts_go_on_and_are_named(tmp_path):
    split, still = parted((3, 1), (4, 2)), cropped(**STILL)
    whole, rest = (
        [x.numpy() for x, _ in training_batches(split, still, 4, 0, start).take(count)]
        for start, count in ((0, 6), (12, 3))
    )
    np.testing.assert_array_equal(whole[3:], rest)
    for step, x in enumerate(whole):
        seen = tuple(f"{int(image[0, 0, 2])}.png" for image in x)
        assert batch_names(split, 4, 0, step) == seen


@pytest.mark.parametrize("room", [0, 3, 1000])
def test_images_are_decoded_once_while_there_is_room(room, monkeypatch):
    split, reads = coded_split([(40, 40)] * 5), []

    def read(index):
        reads.append(int(index))
        return split.read(index)

    monkeypatch.setattr(caching, "MEMORY_BYTES", room * 40 * 40 * 4)
    counted = replace(split, read=read)
    stream = training_batches(counted, cropped(**STILL), 5, seed=0).take(6)
    batches = [(x.numpy(), y.numpy()) for x, y in stream]
    plain = training_batches(split, cropped(**STILL), 5, seed=0).take(6)
    for (x, y), (x2, y2) in zip(batches, plain, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    # The stream reads ahead, so that only bounds are known.
    again = sum(reads.count(index) > 2 for index in range(5))
    assert again == 5 - min(room, 5)


def test_a_single_image_makes_a_stream():
    split = coded_split([(40, 40)])
    stream = training_batches(split, cropped(), batch_size=3, seed=0)
    x, y = next(iter(stream))
    assert x.shape == (3, 32, 32, 3) and y.shape == (3, 32, 32)


def test_every_change_at_once_in_a_stream():
    """In a graph, where the sizes of drawn windows are not known."""
    every = cropped(zoom=(0.5, 2.0), color_jitter=0.5, corruption=1.0)
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
