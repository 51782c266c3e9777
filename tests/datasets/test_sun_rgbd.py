"""SUN RGB-D, on generated files in the layout of the three archives."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets import sun_rgbd
from segnet_tf.datasets.dataset import MissingSplit
from segnet_tf.errors import UserError


def mask_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 38, (12, 16), np.uint8)


@pytest.fixture
def root(tmp_path):
    """20 train images and 3 test images; label numbers continue through test first."""
    for folder, count in (("SUNRGBD-train_images", 20), ("SUNRGBD-test_images", 3)):
        (tmp_path / folder).mkdir()
        for number in range(1, count + 1):
            image = Image.new("RGB", (16, 12), (number, number, number))
            image.save(tmp_path / folder / f"img-{number:06d}.jpg")
    labels = tmp_path / "sunrgbd_train_test_labels"
    labels.mkdir()
    for number in (*range(1, 4), *range(5051, 5071)):
        Image.fromarray(mask_of(number)).save(labels / f"img-{number:06d}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("split", "images", "first_label"),
    [
        ("trainval", range(1, 21), 5051),
        ("test", range(1, 4), 1),
        ("val", [10, 20], 5060),
        ("train", [n for n in range(1, 21) if n % 10], 5051),
    ],
)
def test_images_meet_their_labels(split, images, first_label, root):
    loaded = sun_rgbd.load(split, root)
    assert loaded.names == tuple(f"img-{number:06d}.jpg" for number in images)
    offset = 0 if split == "test" else 5050
    assert images[0] + offset == first_label
    for number, (image, labels) in zip(images, loaded, strict=True):
        assert abs(int(image.mean()) - number) <= 1
        raw = mask_of(number + offset)
        assert_array_equal(labels, np.where(raw == 0, 255, raw.astype(int) - 1))
        assert labels.dtype == np.uint8


def test_classes():
    info = sun_rgbd.INFO
    assert info.num_classes == 37 == len(set(info.colours))
    assert (info.classes[0], info.classes[4], info.classes[36]) == (
        "wall",
        "chair",
        "bag",
    )


MISTAKES = {
    "label missing": (
        lambda root: (root / "sunrgbd_train_test_labels/img-005053.png").unlink(),
        "img-000003.jpg: its labels are missing",
    ),
    "folder missing": (
        lambda root: (root / "sunrgbd_train_test_labels").rename(root / "labels"),
        "sunrgbd_train_test_labels: no such folder",
    ),
    "other name": (
        lambda root: (root / "SUNRGBD-train_images/img-000003.jpg").rename(
            root / "SUNRGBD-train_images/img-3.jpg"
        ),
        "img-3.jpg: expected a name like",
    ),
    "id too high": (
        lambda root: Image.fromarray(mask_of(5053) + np.uint8(9)).save(
            root / "sunrgbd_train_test_labels/img-005053.png"
        ),
        "img-005053.png: id 46, expected 0 to 37",
    ),
    "size": (
        lambda root: Image.fromarray(mask_of(5053)[:5]).save(
            root / "sunrgbd_train_test_labels/img-005053.png"
        ),
        "img-005053.png: 16x5, but img-000003.jpg is 16x12",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_every_mistake_gets_a_line(kind, root):
    spoil, words = MISTAKES[kind]
    spoil(root)
    with pytest.raises(UserError) as caught:
        list(sun_rgbd.load("train", root))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_no_split_or_folder(root):
    with pytest.raises(UserError, match="no split 'dev'"):
        sun_rgbd.load("dev", root)
    with pytest.raises(UserError, match="--data-dir"):
        sun_rgbd.load("train")
    with pytest.raises(UserError, match="no image for split 'val'"):
        for path in sorted((root / "SUNRGBD-train_images").iterdir())[5:]:
            path.unlink()
        sun_rgbd.load("val", root)


def test_without_the_test_images_the_rest_can_be_used(root):
    (root / "SUNRGBD-test_images").rename(root / "elsewhere")
    assert len(sun_rgbd.load("trainval", root))
    with pytest.raises(MissingSplit, match="SUNRGBD-test_images: no such folder"):
        sun_rgbd.load("test", root)
