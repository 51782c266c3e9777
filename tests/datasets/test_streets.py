"""IDD-Lite and LabelMeFacade, on generated files in the layouts of their archives."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets import idd_lite, labelmefacade
from segnet_tf.datasets.dataset import MissingSplit
from segnet_tf.errors import UserError

DRIVES = {"train": {"7": 3, "12": 2}, "val": {"5": 1}}


def street(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 12), (seed, seed, seed)).save(path)


def ids_of(seed: int) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(0, 8, (12, 16), np.uint8)
    return np.where(ids == 7, 255, ids).astype(np.uint8)


@pytest.fixture
def idd(tmp_path):
    seed = 0
    for split, drives in DRIVES.items():
        for drive, count in drives.items():
            for frame in range(count):
                street(
                    tmp_path / f"leftImg8bit/{split}/{drive}/frame{frame}_image.jpg",
                    seed,
                )
                label = tmp_path / f"gtFine/{split}/{drive}/frame{frame}_label.png"
                label.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(ids_of(seed)).save(label)
                seed += 1
    return tmp_path


def test_idd_images_meet_their_labels(idd):
    train = idd_lite.load("train", idd)
    # In the order of their paths: drive 12 before drive 7.
    assert train.names == (
        *(f"12/frame{n}" for n in range(2)),
        *(f"7/frame{n}" for n in range(3)),
    )
    for seed, (image, labels) in zip((3, 4, 0, 1, 2), train, strict=True):
        assert abs(int(image.mean()) - seed) <= 1
        assert_array_equal(labels, ids_of(seed))
    assert idd_lite.load("val", idd).names == ("5/frame0",)
    assert len(idd_lite.INFO.classes) == 7


def test_idd_lists_name_frames_and_whole_drives(idd, tmp_path):
    listing = tmp_path / "some.txt"
    listing.write_text("7\n5/frame0\n")
    loaded = idd_lite.load(str(listing), idd)
    assert loaded.name == "some"
    assert loaded.names == ("7/frame0", "7/frame1", "7/frame2", "5/frame0")
    listing.write_text("8\n")
    with pytest.raises(UserError, match=r"some.txt: 8 is not in .*leftImg8bit"):
        idd_lite.load(str(listing), idd)


def test_idd_refuses(idd, tmp_path):
    with pytest.raises(UserError, match="--data-dir"):
        idd_lite.load("train")
    with pytest.raises(UserError, match="leftImg8bit: no such folder"):
        idd_lite.load("train", tmp_path / "gtFine")
    with pytest.raises(MissingSplit, match="no split 'test'"):
        idd_lite.load("test", idd)
    label = idd / "gtFine/val/5/frame0_label.png"
    Image.new("L", (16, 12), 26).save(label)
    with pytest.raises(UserError, match=r"frame0_label.png: id 26, .*full IDD"):
        list(idd_lite.load("val", idd))
    label.unlink()
    with pytest.raises(UserError, match=r"frame0_image.jpg: its labels are missing"):
        idd_lite.load("val", idd)
    (idd / "leftImg8bit/val/5/frame0_image.jpg").unlink()
    with pytest.raises(UserError, match="has no <drive>/<frame>_image.jpg"):
        idd_lite.load("val", idd)
    (idd / "leftImg8bit/val/5").rmdir()
    (idd / "leftImg8bit/val").rmdir()
    with pytest.raises(MissingSplit):
        idd_lite.load("val", idd)


COLOURS = np.array(
    [
        (0, 0, 0),
        (128, 0, 0),
        (128, 128, 0),
        (0, 0, 128),
        (128, 0, 128),
        (128, 128, 128),
        (128, 64, 0),
        (0, 128, 128),
        (0, 128, 0),
    ],
    np.uint8,
)
"""Various, building, door, window, car, pavement, road, sky, vegetation."""
IDS = (255, 0, 0, 0, 1, 2, 3, 4, 5)


@pytest.fixture
def facades(tmp_path):
    """Twelve places of one to three pictures."""
    for place in range(12):
        for picture in range(1 + place % 3):
            name = f"city_{place:02d}__p{picture}"
            street(tmp_path / "images" / f"{name}.jpg", 10 * place + picture)
            drawn = np.random.default_rng(place).integers(0, 9, (12, 16))
            path = tmp_path / "labels" / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(COLOURS[drawn]).save(path)
    return tmp_path


def test_facade_images_meet_their_labels(facades):
    loaded = labelmefacade.load("all", facades)
    assert len(loaded) == 24
    for name, (image, labels) in zip(loaded.names, loaded, strict=True):
        place, picture = int(name[5:7]), int(name[10])
        assert abs(int(image.mean()) - 10 * place - picture) <= 1
        drawn = np.random.default_rng(place).integers(0, 9, (12, 16))
        assert_array_equal(labels, np.array(IDS, np.uint8)[drawn])


def test_facade_places_are_in_one_split(facades):
    train, val = (labelmefacade.load(split, facades) for split in ("train", "val"))
    assert 0 < len(val) <= 2
    places = [{name[:7] for name in split.names} for split in (train, val)]
    assert not places[0] & places[1]
    assert len(train) + len(val) == 24


def test_facade_lists(facades, tmp_path):
    listing = tmp_path / "some.txt"
    listing.write_text("city_02__p1\ncity_00__p0.jpg\n")
    loaded = labelmefacade.load(str(listing), facades)
    assert loaded.names == ("city_02__p1.jpg", "city_00__p0.jpg")
    listing.write_text("city_99__p0\n")
    with pytest.raises(UserError, match="city_99__p0 is not in"):
        labelmefacade.load(str(listing), facades)


def test_facade_refuses(facades, tmp_path):
    with pytest.raises(UserError, match="--data-dir"):
        labelmefacade.load("train")
    with pytest.raises(MissingSplit, match="no split 'test'"):
        labelmefacade.load("test", facades)
    with pytest.raises(UserError, match=r"labels/images has no .jpg"):
        labelmefacade.load("train", facades / "labels")
    label = facades / "labels/city_00__p0.png"
    Image.new("RGB", (16, 12), (1, 2, 3)).save(label)
    with pytest.raises(UserError, match=r"city_00__p0.png: colour \(1, 2, 3\)"):
        list(labelmefacade.load("all", facades))
    label.unlink()
    with pytest.raises(UserError, match=r"city_00__p0.jpg: its labels are missing"):
        labelmefacade.load("all", facades)
