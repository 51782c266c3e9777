"""A pack gives what the data set gives, and says so if it does not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segnet_tf.commands import data
from segnet_tf.datasets import registry
from segnet_tf.datasets.dataset import DatasetInfo, MissingSplit, Split
from segnet_tf.datasets.pipeline import evaluation_batches, reading_errors
from segnet_tf.datasets.storage import packed
from segnet_tf.datasets.storage.native import reader
from segnet_tf.errors import UserError

INFO = DatasetInfo(
    "drawn",
    ("sky", "road"),
    ((1, 2, 3), (4, 5, 6)),
    ignore_label=7,
    image_size=(20, 24),
    value_range=(0.5, 4095.0),
)


def drawn_split(channels: int = 3, count: int = 5, **changes) -> Split:
    drawn = np.random.default_rng(0)
    sizes = [(20 + index, 24) for index in range(count)]
    examples = [
        (
            drawn.integers(0, 256, (*size, channels), np.uint8),
            drawn.choice([0, 1, 2, 255], size).astype(np.uint8),
        )
        for size in sizes
    ]
    return Split(
        replace(INFO, channels=channels),
        "train",
        tuple(f"näme {index}.png" for index in range(count)),
        lambda index: examples[index],
        sources=tuple(("place", index) for index in range(count)),
        groups=((0, 1),),
        shares=((count - 1, 2), (1, 3)),
        mask_ids=(3, 9),
        **changes,
    )


def assert_equal(found: Split, split: Split) -> None:
    """Compares all that a split has, and its pixels on both ways of reading."""
    for name in ("info", "name", "names", "groups", "shares", "mask_ids"):
        assert getattr(found, name) == getattr(split, name)
    assert found.sources == tuple(map(str, split.sources))

    def fails(index):
        raise AssertionError(f"Python reads {index}")

    native = tf.data.Dataset.range(len(split)).map(reader(replace(found, read=fails)))
    for index, (image, labels) in enumerate(native):
        expected = split.read(index)
        for one, other in zip(found.read(index), expected, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(labels, expected[1])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("level", [0, 6])
def test_a_pack_gives_what_the_data_set_gives(channels, level, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "SHARD_BYTES", 4000)
    split = drawn_split(channels)
    packed.write(tmp_path / "pack", [split], level)
    assert len(list((tmp_path / "pack").glob("*.tfrecord"))) > 1
    assert_equal(packed.load("train", tmp_path / "pack"), split)
    assert [path.name for path in tmp_path.iterdir()] == ["pack"]


def test_other_programs_can_read_a_pack(tmp_path):
    split = drawn_split()
    packed.write(tmp_path / "pack", [split])
    text = tf.io.FixedLenFeature([], tf.string)
    kinds = {"image": text, "labels": text, "name": text}
    paths = sorted(map(str, (tmp_path / "pack").glob("*.tfrecord")))
    for index, record in enumerate(tf.data.TFRecordDataset(paths)):
        found = tf.io.parse_single_example(record, kinds)
        image, labels = split.read(index)
        np.testing.assert_array_equal(tf.io.decode_png(found["image"]), image)
        np.testing.assert_array_equal(tf.io.decode_png(found["labels"])[..., 0], labels)
        assert found["name"].numpy().decode() == split.names[index]


def own_folder(root):
    for place in ("images", "masks"):
        (root / place).mkdir(parents=True)
    (root / "classes.txt").write_text("sky\nvoid\nroad\n")
    noise = np.random.default_rng(1)
    for number in range(10):
        image = Image.fromarray(noise.integers(0, 256, (20, 24, 3), np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 3 if number == 4 else 1
        image.save(root / "images" / f"{number}.jpg", exif=exif)
        ids = noise.integers(0, 3, (20, 24), np.uint8)
        Image.fromarray(ids).save(root / "masks" / f"{number}.png")
    return root


def test_a_folder_is_packed_by_the_command(tmp_path, capsys):
    own = own_folder(tmp_path / "own")
    pack = tmp_path / "pack"
    data.main(["folder", "--data-dir", str(own), "--pack", str(pack)])
    assert f"{pack}: train 8, val 2" in capsys.readouterr().out
    for name in ("train", "val"):
        split = registry.load("folder", name, own)
        assert_equal(registry.load("packed", name, pack), split)
    # Files that need no change are kept, which is small: noise as PNG is larger.
    first = next(iter(tf.data.TFRecordDataset(str(pack / "val-00000.tfrecord"))))
    kept = registry.load("folder", "val", own).sources[0].read_bytes()
    assert kept in first.numpy()


def test_a_pack_in_the_folder_of_the_data_is_refused(tmp_path):
    own = own_folder(tmp_path / "own")
    with pytest.raises(UserError, match="--pack"):
        data.main(["folder", "--data-dir", str(own), "--pack", str(own / "pack")])


def test_an_existing_folder_stays(tmp_path):
    with pytest.raises(UserError, match="is there already"):
        packed.write(tmp_path, [drawn_split()])


def test_a_faulty_file_leaves_no_pack(tmp_path):
    def read(index):
        if index == 3:
            raise UserError("d.png: damaged image")
        return good.read(index)

    good = drawn_split()
    with pytest.raises(UserError, match="^d.png: damaged image$"):
        packed.write(tmp_path / "pack", [replace(good, read=read)])
    assert list(tmp_path.iterdir()) == []


def test_missing_splits_and_folders(tmp_path):
    packed.write(tmp_path / "pack", [drawn_split()])
    with pytest.raises(MissingSplit, match="no split 'val'; it has train"):
        packed.load("val", tmp_path / "pack")
    with pytest.raises(UserError, match="no such file"):
        packed.load("train", tmp_path)
    with pytest.raises(UserError, match="no folder given"):
        packed.load("train")


def test_channels_of_a_pack(tmp_path):
    packed.write(tmp_path / "pack", [drawn_split()])
    image, _ = registry.load("packed", "train", tmp_path / "pack", 1).read(0)
    assert image.shape == (20, 24, 1)
    with pytest.raises(UserError, match="has 3, not 4"):
        registry.load("packed", "train", tmp_path / "pack", 4)


def changed(path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_damaged_manifest_is_refused(tmp_path):
    packed.write(tmp_path / "pack", [drawn_split(count=2)])
    path = tmp_path / "pack" / packed.MANIFEST
    content = path.read_bytes()
    for place in range(0, len(content), 29):
        changed(path, place)
        try:
            same = json.loads(path.read_text()) == json.loads(content)
        except ValueError:
            same = False
        if not same:  # not a space
            with pytest.raises(UserError, match="damaged"):
                packed.load("train", tmp_path / "pack")
        path.write_bytes(content)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="damaged"):
        packed.load("train", tmp_path / "pack")


def test_a_shard_that_is_missing_or_cut_is_refused(tmp_path):
    packed.write(tmp_path / "pack", [drawn_split()])
    shard = tmp_path / "pack" / "train-00000.tfrecord"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    for _ in range(2):
        with pytest.raises(UserError, match=r"train-00000\.tfrecord: missing or damag"):
            packed.load("train", tmp_path / "pack")
        shard.unlink(missing_ok=True)


@pytest.mark.parametrize("level", [0, 6])
def test_one_changed_bit_is_noticed(level, tmp_path):
    """Wherever it is in an image or a mask, in Python and in the stream."""
    split = drawn_split(count=1)
    packed.write(tmp_path / "pack", [replace(split, shares=())], level)
    found = packed.load("train", tmp_path / "pack")
    shard, (stored,) = found.stored[0].image.path, found.stored
    content = shard.read_bytes()
    for place in (stored.image, stored.mask):
        for at in (place.begin + 3, place.begin + place.length // 2):
            changed(shard, at)
            with pytest.raises(UserError, match="näme 0.png: missing or damaged"):
                found.read(0)
            with pytest.raises(UserError, match="näme 0.png: "), reading_errors():
                list(evaluation_batches(found))
            shard.write_bytes(content)
    assert_equal(found, replace(split, shares=()))


def test_a_changed_bit_in_a_jpeg_is_noticed(tmp_path):
    """Its decoder takes most of them for other pixels."""
    split = registry.load("folder", "train", own_folder(tmp_path / "own"))
    packed.write(tmp_path / "pack", [split])
    found = packed.load("train", tmp_path / "pack")
    path, number = found.stored[2].image.path, 2
    assert path.read_bytes()[found.stored[2].image.begin :][:2] == b"\xff\xd8"
    content, place = path.read_bytes(), found.stored[number].image
    for at in range(place.begin + place.length // 2, place.begin + place.length, 97):
        changed(path, at)
        with pytest.raises(UserError, match=f"{found.names[number]}: missing or dam"):
            with reading_errors():
                list(evaluation_batches(found))
        path.write_bytes(content)
    assert_equal(found, split)
