"""Decoded images are kept in memory or on disk; a stale one is never used."""

import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scenes import coded_split

from segnet_tf.datasets import registry
from segnet_tf.datasets.pipeline import training_batches
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.storage import caching, disk_cache
from segnet_tf.datasets.storage.caching import cache_remarks, cached_reader
from segnet_tf.datasets.storage.disk_cache import on_disk
from segnet_tf.errors import UserError
from segnet_tf.training.augmentation import Augmentation, augment


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNET_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "own"
    for place in ("images", "masks"):
        (root / place).mkdir(parents=True)
    (root / "classes.txt").write_text("sky\nroad\n")
    for number in range(5):
        write(root, number, seed=number)
    return root


def write(root, number: int, seed: int) -> None:
    noise = np.random.default_rng(seed)
    image = Image.fromarray(noise.integers(0, 256, (40, 44, 3), np.uint8))
    image.save(root / "images" / f"{number}.png")
    ids = noise.integers(0, 2, (40, 44), np.uint8)
    Image.fromarray(ids).save(root / "masks" / f"{number}.png")


def read_through(split, cache: str) -> list:
    read = cached_reader(split, cache)
    # The second pass takes what the first one kept.
    indices = tf.data.Dataset.range(len(split)).repeat(2)
    return [(x.numpy(), y.numpy()) for x, y in indices.map(read)]


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_every_cache_gives_the_files_pixels(cache, own):
    split = registry.load("folder", "train", own)
    found = read_through(split, cache)
    assert len(found) == 2 * len(split) == 8
    for index, (image, labels) in enumerate(found):
        expected = split.read(index % len(split))
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(labels, expected[1])


def test_every_cache_gives_the_same_stream(own):
    split = registry.load("folder", "train", own)
    augmentation = Augmentation((32, 32))

    def crop(image, labels, seed):
        return augment(image, labels, augmentation, seed)

    streams = [
        training_batches(split, crop, 3, seed=1, start=start, cache=cache).take(count)
        for cache in ("none", "memory", "disk")
        for start, count in ((0, 5), (6, 3))
    ]
    found = [[(x.numpy(), y.numpy()) for x, y in stream] for stream in streams]
    for batches in found:
        for one, other in zip(reversed(batches), reversed(found[0]), strict=False):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])


def test_the_disk_is_read_again(own, cache, capsys):
    split = registry.load("folder", "train", own)
    on_disk(split)
    assert "decoding 4 images into" in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in cache.glob("*/*")}
    on_disk(registry.load("folder", "train", own))
    assert "decoded images are read from" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*/*")} == made
    assert not (own / "cache").exists()


def test_a_changed_file_or_option_makes_another_pack(own, cache):
    """The old one is not used, even if the new file has its name, size and time."""
    splits = [registry.load("folder", "train", own)]
    on_disk(splits[0])
    name = splits[0].names[0]
    before = os.stat(own / "images" / name)
    write(own, int(name[0]), seed=99)
    # As some tools for copying do.
    os.utime(own / "images" / name, ns=(before.st_atime_ns, before.st_mtime_ns))
    splits.append(registry.load("folder", "train", own))
    splits.append(registry.load("folder", "train", own, reading=Reading(ignore="1")))
    splits.append(registry.load("folder", "train", own, channels=1))
    for count, split in enumerate(splits[1:], start=2):
        for index, (image, labels) in enumerate(read_through(split, "disk")[:4]):
            np.testing.assert_array_equal(image, split.read(index)[0])
            np.testing.assert_array_equal(labels, split.read(index)[1])
        assert len(list(cache.iterdir())) == count


def test_what_is_damaged_on_disk_is_read_from_the_files(own, cache):
    split = registry.load("folder", "train", own)
    on_disk(split)
    (shard,) = cache.glob("*/*.tfrecord")
    content = bytearray(shard.read_bytes())
    for place in range(200, len(content), 500):
        content[place] ^= 1
    shard.write_bytes(content)
    for index, (image, _) in enumerate(read_through(split, "disk")[:4]):
        np.testing.assert_array_equal(image, split.read(index)[0])
    shard.write_bytes(content[:-10])  # it is made anew
    on_disk(split)
    assert shard.stat().st_size == len(content)


def test_old_packs_make_room(own, cache, monkeypatch, capsys):
    train, val = (registry.load("folder", name, own) for name in ("train", "val"))
    on_disk(train)
    (old,) = cache.iterdir()
    size = sum(path.stat().st_size for path in old.iterdir())
    monkeypatch.setattr(disk_cache, "MOST_BYTES", size + 100)
    on_disk(val)
    assert f"{old}: deleted" in capsys.readouterr().out
    assert not old.exists() and len(list(cache.iterdir())) == 1


def test_what_does_not_fit_is_said(own, cache, monkeypatch):
    split = registry.load("folder", "train", own)
    monkeypatch.setattr(disk_cache, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="use --cache memory"):
        on_disk(split)
    assert list(cache.iterdir()) == []


def test_a_folder_that_cannot_be_made(own, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGNET_TF_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be made .*SEGNET_TF_CACHE"):
        on_disk(registry.load("folder", "train", own))


def test_generated_scenes_have_no_files():
    with pytest.raises(UserError, match="synthetic does not say .* --cache memory"):
        on_disk(registry.load("synthetic", "train:2"))


def test_what_the_memory_holds_is_said(monkeypatch):
    split = coded_split([(40, 50)] * 4)
    needed = 4 * 40 * 50 * 4
    monkeypatch.setattr(caching, "MEMORY_BYTES", needed)
    assert cache_remarks(split, "memory") == (
        "memory will hold all decoded images, 0 MB",
    )
    monkeypatch.setattr(caching, "MEMORY_BYTES", needed // 4)
    assert "25% of the decoded images" in cache_remarks(split, "memory")[0]
    assert cache_remarks(split, "none") == ()
