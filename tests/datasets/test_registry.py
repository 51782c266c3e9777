"""Data sets by name: what a reader gives is checked at one place."""

import numpy as np
import pytest

from segnet_tf.datasets import registry
from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.errors import UserError

INFO = DatasetInfo("toy", ("a", "b", "c"), ((0, 0, 0),) * 3)
IMAGE = np.zeros((4, 6, 3), np.uint8)
LABELS = np.array([[0, 1, 2, 255, 0, 0]] * 4, np.uint8)


@pytest.fixture
def loaded(monkeypatch):
    """Loads a data set whose only example is this image and these labels."""

    def load(image, labels, channels=3) -> Split:
        def toy(split, data_dir=None):
            return Split(INFO, split, ("x.png",), lambda index: (image, labels))

        monkeypatch.setitem(registry.DATASETS, "toy", toy)
        return registry.load("toy", "train", channels=channels)

    return load


def test_what_is_right_is_left_alone(loaded):
    image, labels = loaded(IMAGE, LABELS).read(0)
    assert image is IMAGE and labels is LABELS
    grey, labels = loaded(IMAGE, LABELS, channels=1).read(0)
    assert grey.shape == (4, 6, 1) and labels is LABELS


@pytest.mark.parametrize(
    "image, labels, message",
    [
        (IMAGE, LABELS + np.uint8(3), r"class id 5, but the ids are 0 to 2 \(and 255"),
        (IMAGE, LABELS.astype(np.int64), r"labels of int64 \(4, 6\), .*must be uint8"),
        (IMAGE, LABELS[..., None], r"labels of uint8 \(4, 6, 1\), .*2 dimensions"),
        (IMAGE.astype(np.float32), LABELS, r"image of float32 \(4, 6, 3\)"),
        (IMAGE[..., 0], LABELS, r"image of uint8 \(4, 6\), .*3 dimensions"),
        (IMAGE[:3], LABELS, r"image \(3, 6, 3\) and labels \(4, 6\) do not fit"),
        (np.zeros((4, 6, 4), np.uint8), LABELS, r"image \(4, 6, 4\) and labels"),
    ],
)
def test_what_is_wrong_names_the_picture(loaded, image, labels, message):
    for channels in (1, 3):
        with pytest.raises(UserError, match=f"^toy: x.png: {message}"):
            loaded(image, labels, channels).read(0)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="no data set 'coco': choose from synthetic, "):
        registry.load("coco", "train")
