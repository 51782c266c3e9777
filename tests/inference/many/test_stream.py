"""Reading, the network and writing overlap, and nothing of it shows in the results."""

import threading
import time
import weakref

import numpy as np
import pytest
from PIL import Image

from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.errors import UserError
from segnet_tf.inference.many import stream
from segnet_tf.inference.many.stream import overlapped
from segnet_tf.inference.model_file import SHIPPED_MODEL
from segnet_tf.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor():
    return Predictor(SHIPPED_MODEL.with_name("segnet_lite_synthetic"))


@pytest.fixture
def photos(tmp_path):
    """Files of several sizes, one of them damaged."""
    paths = []
    for index, size in enumerate([(60, 80), (200, 250), (33, 47), (500, 400)]):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(draw_scene(5, index, *size)[0]).save(paths[-1])
    paths.insert(2, tmp_path / "broken.png")
    paths[2].write_bytes(b"no picture")
    return paths


def test_a_stream_gives_what_one_picture_gives(predictor, photos):
    faults = []
    found = list(predictor.stream(photos, lambda path, error: faults.append(path)))
    assert faults == [str(photos[2])]
    sound = [path for path in photos if path != photos[2]]
    assert [result.path for result in found] == [str(path) for path in sound]
    for result, path in zip(found, sound, strict=True):
        image = read_image(path)
        np.testing.assert_array_equal(result.image, image)
        np.testing.assert_array_equal(result.labels, predictor.labels(image))
        assert result.labels.dtype == np.uint8
    stops = predictor.stream(photos)
    assert [next(stops).path, next(stops).path] == [str(p) for p in photos[:2]]
    with pytest.raises(UserError, match=r"broken.png: not an image"):
        next(stops)


def test_one_path_is_no_list(predictor, photos):
    for path in (str(photos[0]), photos[0], bytes(photos[0])):
        with pytest.raises(UserError, match="0.png'?: one path: give a list of paths"):
            predictor.stream(path)


def test_a_batch_gives_what_one_image_gives(predictor):
    images = [draw_scene(5, index, 60 + index, 80)[0] for index in range(9)]
    for found, image in zip(predictor.batch(images), images, strict=True):
        np.testing.assert_array_equal(found, predictor.labels(image))
    same = np.stack([image[:60] for image in images])
    assert [labels.shape for labels in predictor.batch(same)] == [(60, 80)] * 9
    assert predictor.batch([]) == []
    with pytest.raises(UserError, match="takes images"):
        predictor.batch([images[0], images[1][..., :2]])
    with pytest.raises(UserError, match="takes images as NumPy arrays, not list"):
        predictor.batch([[[[1, 2, 3]]]])


def test_frames_come_one_by_one(predictor, tmp_path):
    frames = [Image.fromarray(draw_scene(5, index, 60, 80)[0]) for index in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    found = list(predictor.stream([tmp_path / "a.tif"]))
    assert [result.picture.frame for result in found] == [0, 1, 2]
    for result, frame in zip(found, frames, strict=True):
        np.testing.assert_array_equal(result.image, np.asarray(frame))


def test_an_endless_list_is_read_as_far_as_it_is_wanted(predictor, photos):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield photos[0]

    results = predictor.stream(endless())
    for _ in range(3):
        next(results)
    assert len(taken) <= 3 + 2 * (stream.THREADS + 2)


def test_the_steps_overlap_and_results_keep_their_order():
    now = {"read": 0, "compute": 0, "finish": 0}
    together = []
    lock = threading.Lock()

    def step(name, seconds):
        def run(*arguments):
            with lock:
                now[name] += 1
                together.append(tuple(map(bool, now.values())))
            time.sleep(seconds(arguments[0]))
            with lock:
                now[name] -= 1
            return arguments[0]

        return run

    found = overlapped(
        range(20),
        step("read", lambda item: 0.02 - item / 1000),
        step("compute", lambda item: 0.01),
        step("finish", lambda item: 0.02 - item / 1000),
    )
    assert list(found) == [(item, item) for item in range(20)]
    assert (True, True, True) in together


def test_what_is_in_memory_is_bounded():
    """Weights of 4 and a bound of 10: two are read and two are written at a time."""
    alive, most = set(), []

    def read(item):
        alive.add(item)
        most.append(len(alive))
        return item

    def finish(item, _):
        time.sleep(0.005)

    for item, _ in overlapped(
        range(30), read, lambda *_: None, finish, lambda item: 4, most=10
    ):
        alive.discard(item)
    assert max(most) <= 5
    # An item above the bound has its turn all the same.
    assert len(list(overlapped([1, 2], read, max, max, lambda item: 99, most=10))) == 2


def test_errors_of_one_item_and_errors_that_end_it_all():
    def read(item):
        if item == 1:
            raise UserError("one")
        return item

    def compute(item, value):
        if item == 2:
            raise UserError("two")
        return value

    found = dict(overlapped(range(4), read, compute, lambda item, value: value))
    assert [str(found[item]) for item in range(4)] == ["0", "one", "two", "3"]

    def full(item, value):
        raise UserError("no space")

    with pytest.raises(UserError, match="no space"):
        list(overlapped(range(4), read, compute, full))
    with pytest.raises(ZeroDivisionError):
        list(overlapped(range(4), lambda item: 1 / item, compute, full))


def test_what_has_begun_is_finished_if_the_rest_is_not_wanted():
    begun, ended = [], []

    def finish(item, value):
        begun.append(item)
        time.sleep(0.02)
        ended.append(item)

    results = overlapped(range(100), lambda item: item, max, finish)
    next(results)
    results.close()
    assert sorted(begun) == sorted(ended) and len(begun) < 20


def test_what_is_heavy_is_done_alone_and_let_go():
    """Nothing else is read, computed or finished meanwhile, and nothing is held."""
    weights = [1, 9, 1, 1, 9, 9, 1]
    held: list[weakref.ref] = []
    running: set[int] = set()
    together: list[tuple[int, ...]] = []

    def begin(item):
        running.add(item)
        together.append(tuple(sorted(running)))

    def read(item):
        begin(item)
        time.sleep(0.01)
        if weights[item] == 9:
            earlier = [ref for ref in held if ref() is not None]
            assert len(earlier) <= stream.THREADS
        pixels = np.zeros(3)
        held.append(weakref.ref(pixels))
        return pixels

    def finish(item, pixels):
        time.sleep(0.01)
        running.discard(item)
        return item, pixels

    seen = []
    for item, result in overlapped(
        range(7), read, lambda item, value: value, finish, weights.__getitem__, 5
    ):
        assert result[0] == item
        seen.append(item)
        if weights[item] == 9:  # this one is all there is
            assert sum(ref() is not None for ref in held) == 1
        del result
    assert seen == [*range(7)]
    for group in together:
        heavy = [item for item in group if weights[item] == 9]
        # Light ones before it may still be written.
        assert not heavy or group[-1] == heavy[0] and len(heavy) == 1
