"""Pets, Cityscapes and SceneParse150: TFDS's own builders, on files made here.

The files lie as the originals do; TFDS prepares them as it would the real ones.
"""

import io
import logging
import zipfile
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets import tfds as sets
from segnet_tf.datasets.dataset import MissingSplit
from segnet_tf.datasets.tfds import LOADERS, SOURCES, TFRecords
from segnet_tf.errors import UserError


def picture(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def extracted(folders: dict):
    """TFDS's downloads, replaced by folders made here."""
    return mock.patch.object(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, urls: folders,
    )


def shade(number: int) -> int:
    return 20 + 10 * number


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """20 pets for training and 2 for testing; image n has its shade, one is grey."""
    root = tmp_path_factory.mktemp("pets")
    annotations = root / "annotations"
    for number in range(22):
        size = 20 + number, 30
        pixels = np.full((*size, 3), shade(number % 20), np.uint8)
        pixels = pixels[..., 0] if number == 3 else pixels
        picture(root / f"images/pet_{number}.jpg", pixels)
        trimap = np.full(size, 2, np.uint8)
        trimap[5:15, 5:20], trimap[15:18] = 1, 3
        picture(annotations / f"trimaps/pet_{number}.png", trimap)
    for name, numbers in (("trainval", range(20)), ("test", range(20, 22))):
        lines = [f"pet_{number} 1 1 1\n" for number in numbers]
        (annotations / f"{name}.txt").write_text("".join(lines))
    folder = tmp_path_factory.mktemp("tfds")
    with extracted({"images": root, "annotations": root}):
        LOADERS["oxford_iiit_pet"]("train", folder)
    return folder


def test_pets(pets):
    load = LOADERS["oxford_iiit_pet"]
    splits = {name: load(name, pets) for name in ("train", "val", "trainval", "test")}
    assert [len(split) for split in splits.values()] == [18, 2, 20, 2]
    assert splits["train"].names + splits["val"].names == splits["trainval"].names
    shades = []
    for image, labels in splits["trainval"]:
        assert image.shape == (*labels.shape, 3)
        assert image.dtype == labels.dtype == np.uint8
        shades.append(round(image.mean() / 10))
        expected = np.zeros(labels.shape)
        expected[5:15, 5:20], expected[15:18] = 1, 255
        assert_array_equal(labels, expected)
        # Image n is the only one of its height: image and mask belong together.
        assert shades[-1] == shade(labels.shape[0] - 20) // 10
    assert sorted(shades) == [shade(number) // 10 for number in range(20)]
    assert splits["train"].info.classes == ("background", "pet")


def test_reads_in_any_order(pets):
    split = LOADERS["oxford_iiit_pet"]("train", pets)
    forward = [image for image, _ in split]
    for index in (17, 0, 9, 9):
        assert_array_equal(split.read(index)[0], forward[index])


def test_val_is_the_tail_of_trainval(pets):
    load = LOADERS["oxford_iiit_pet"]
    val, trainval = load("val", pets), load("trainval", pets)
    for index in range(2):
        assert_array_equal(val.read(index)[0], trainval.read(18 + index)[0])


def test_a_second_call_prepares_nothing(pets):
    with mock.patch.object(
        tfds.core.GeneratorBasedBuilder,
        "_download_and_prepare",
        side_effect=AssertionError,
    ):
        assert len(LOADERS["oxford_iiit_pet"]("test", pets)) == 2


def test_agrees_with_tfds_load(pets):
    """The same examples, in the order of the files."""
    config = tfds.ReadConfig(interleave_cycle_length=1)
    data = tfds.load(
        "oxford_iiit_pet", split="train", data_dir=pets, read_config=config
    )
    split = LOADERS["oxford_iiit_pet"]("trainval", pets)
    for (image, _), example in zip(split, data, strict=True):
        assert_array_equal(image, example["image"])


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory):
    """One frame a split, every id of the 34 in its mask; zips as one downloads them."""
    folder = tmp_path_factory.mktemp("cityscapes")
    manual = folder / "downloads" / "manual"
    manual.mkdir(parents=True)
    ids = np.arange(1024 * 2048).reshape(1024, 2048) // 2048 % 34
    frame = np.full((1024, 2048, 3), 90, np.uint8)
    frame[10] = (255, 0, 0)
    for archive, top, suffix, pixels in (
        ("leftImg8bit_trainvaltest", "leftImg8bit", "leftImg8bit", frame),
        ("gtFine_trainvaltest", "gtFine", "gtFine_labelIds", ids.astype(np.uint8)),
    ):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        with zipfile.ZipFile(manual / f"{archive}.zip", "w") as opened:
            for split, city in (("train", "ulm"), ("val", "bonn"), ("test", "rom")):
                name = f"{top}/{split}/{city}/{city}_000000_000019_{suffix}.png"
                opened.writestr(name, buffer.getvalue())
    return folder


def test_cityscapes(cityscapes):
    for name in ("train", "val"):
        split = LOADERS["cityscapes"](name, cityscapes)
        ((image, labels),) = split
        assert image.shape == (1024, 2048, 3)
        assert_array_equal(image[10, 0], [255, 0, 0])
        # trainIds of the 34 ids, from cityscapesScripts.
        void = 255
        train_ids = [void] * 7 + [0, 1, void, void, 2, 3, 4] + [void] * 3
        train_ids += [
            5,
            void,
            6,
            7,
            8,
            9,
            10,
            11,
            12,
            13,
            14,
            15,
            void,
            void,
            16,
            17,
            18,
        ]
        assert_array_equal(labels[:34, 0], train_ids)
        assert_array_equal(labels[34:68, 99], train_ids)
    info = split.info
    assert info.num_classes == 19 and info.classes[13] == "car"
    assert info.colours[13] == (0, 0, 142)


def test_cityscapes_that_are_not_there(tmp_path):
    with pytest.raises(UserError) as caught:
        LOADERS["cityscapes"]("train", tmp_path)
    message = str(caught.value)
    assert "\n" not in message and "--data-dir" in message
    assert "manual" in message


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Red holds the category of the thing, green its instance, 0 what is no thing."""
    root = tmp_path_factory.mktemp("scenes")
    for split, kind in (("training", "train"), ("validation", "val")):
        mask = np.zeros((40, 50, 3), np.uint8)
        mask[:10, :, 0], mask[:10, :, 1] = 1, 1  # a bed
        mask[30:, :, 0], mask[30:, :, 1] = 100, 2  # a flag
        name = f"{split}/ADE_{kind}_00000001"
        picture(root / f"images/{name}.jpg", np.full((40, 50, 3), 77, np.uint8))
        picture(root / f"annotations_instance/{name}.png", mask)
    folder = tmp_path_factory.mktemp("tfds")
    with extracted({"images": root, "annotations": root}):
        LOADERS["scene_parse150"]("train", folder)
    return folder


def test_scene_parse150(scenes):
    for name in ("train", "val"):
        split = LOADERS["scene_parse150"](name, scenes)
        ((image, labels),) = split
        assert_array_equal(image, np.full((40, 50, 3), 77))
        expected = np.full((40, 50), 255)
        expected[:10], expected[30:] = 0, 99
        assert_array_equal(labels, expected)
    assert split.info.classes[0] == "bed" and split.info.classes[99] == "flag"
    assert split.info.num_classes == len(set(split.info.classes)) == 100
    assert not any(" " * 2 in name or "\n" in name for name in split.info.classes)


def test_no_such_split():
    for name, load in LOADERS.items():
        with pytest.raises(UserError, match=f"{name}: no split 'dev'; it has train"):
            load("dev", None)


def test_a_test_split_that_is_not_public_is_absent_a_slip_is_not():
    with pytest.raises(MissingSplit, match="cityscapes: no split 'test'"):
        LOADERS["cityscapes"]("test")
    with pytest.raises(UserError) as caught:
        LOADERS["cityscapes"]("validation")
    assert not isinstance(caught.value, MissingSplit)


def test_no_connection(tmp_path, caplog):
    retries = logging.getLogger("urllib3.connectionpool")

    def fail(*_):
        retries.warning("Retrying (Retry(total=9, ...")
        raise tfds.download.DownloadError("no\nroute")

    fault = mock.patch.object(
        tfds.download.DownloadManager, "download_and_extract", side_effect=fail
    )
    with fault, pytest.raises(UserError, match=r"\(no route\)") as caught:
        LOADERS["oxford_iiit_pet"]("train", tmp_path)
    assert "\n" not in str(caught.value)
    assert "Retrying" not in caplog.text
    retries.warning("as before")
    assert "as before" in caplog.text


def test_an_unknown_id_is_named(pets, monkeypatch):
    source = SOURCES["oxford_iiit_pet"]
    narrow = sets.Source(**{**vars(source), "ids": {1: 1, 2: 0}})
    split = sets._load(narrow, "test", pets)
    with pytest.raises(
        UserError, match="oxford_iiit_pet: test-000000: id 3 in its mask"
    ):
        split.read(0)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_tables_are_whole(source):
    targets = set(source.ids.values()) - {255}
    assert targets == set(range(source.info.num_classes))
    assert len(set(source.info.colours)) == source.info.num_classes


# --- TFRecord files ------------------------------------------------------------------


def write_records(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def test_records_of_several_files_in_any_order(tmp_path, rng):
    records = [rng.bytes(int(size)) for size in (0, 1, 5, 70_000, 3, 12)]
    write_records(tmp_path / "a", records[:2])
    write_records(tmp_path / "b", [])
    write_records(tmp_path / "c", records[2:])
    found = TFRecords([tmp_path / name for name in "abc"])
    assert len(found) == 6 and list(found) == records
    assert [found[index] for index in (5, 0, 3)] == [records[i] for i in (5, 0, 3)]


@pytest.mark.parametrize("keep", [3, 10, 15, 25])
def test_a_file_cut_short_is_named(keep, tmp_path):
    write_records(tmp_path / "a", [b"12345", b"67890"])
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:keep])
    with pytest.raises(UserError, match="a: cut short"):
        TFRecords([tmp_path / "a"])
    with pytest.raises(UserError, match="b: missing"):
        TFRecords([tmp_path / "b"])
