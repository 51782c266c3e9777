"""Pictures: ids survive, colours are right, the legend says what is there."""

import numpy as np
import pytest
from PIL import Image

from segnet_tf.datasets.split import DatasetInfo
from segnet_tf.visualize import (
    class_shares,
    colour_labels,
    draw_curves,
    overlay,
    palette_image,
)

INFO = DatasetInfo(
    "toy", ("Sky", "Road", "Car"), ((10, 20, 30), (200, 0, 0), (0, 250, 0))
)


@pytest.fixture
def labels(rng) -> np.ndarray:
    labels = rng.integers(0, 3, (30, 40)).astype(np.uint8)
    labels[:2] = 255
    return labels


def test_palette_image_holds_ids_and_colours(labels, tmp_path):
    path = tmp_path / "labels.png"
    palette_image(labels, INFO).save(path)
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        colours = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colours, colour_labels(labels, INFO))
    assert (colours[labels == 1] == (200, 0, 0)).all()
    assert (colours[labels == 255] == 0).all()


def test_class_shares(labels):
    shares = class_shares(labels, INFO)
    assert [share for _, share in shares] == sorted(
        (s for _, s in shares), reverse=True
    )
    for index, share in shares:
        assert share == (labels == index).mean()
    only = class_shares(np.full((3, 3), 2, np.uint8), INFO)
    assert only == [(2, 1.0)]


def test_overlay_tints_by_class_and_keeps_void(labels, rng):
    image = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    picture = np.asarray(overlay(image, labels, INFO, opacity=0.5))
    assert picture.shape[0] >= 30 and picture.shape[1] > 40
    tinted = picture[:30, :40].astype(int)
    void = labels == 255
    np.testing.assert_array_equal(tinted[void], image[void])
    expected = (image.astype(int) + colour_labels(labels, INFO)) / 2
    np.testing.assert_allclose(tinted[~void], expected[~void], atol=0.5)


def test_legend_shows_the_classes_found():
    labels = np.array([[0, 0], [0, 2]], np.uint8)
    picture = np.asarray(overlay(np.zeros((2, 2, 3), np.uint8), labels, INFO))
    panel = {tuple(colour) for colour in picture[:, 2:].reshape(-1, 3)}
    assert {INFO.colours[0], INFO.colours[2]} <= panel
    assert INFO.colours[1] not in panel


def test_overlay_of_void_alone():
    void = np.full((3, 4), 255, np.uint8)
    assert overlay(np.zeros((3, 4, 3), np.uint8), void, INFO).size[1] >= 3


def test_curves_are_drawn_with_and_without_validation(tmp_path):
    rows = [{"epoch": 1, "loss": 2.0, "mean_iou": 0.1}]
    draw_curves(rows, tmp_path / "one.png")
    rows.append({"epoch": 2, "loss": 1.0, "mean_iou": 0.2, "val_mean_iou": 0.1})
    draw_curves(rows, tmp_path / "two.png")
    one, two = (
        Image.open(tmp_path / name).tobytes() for name in ("one.png", "two.png")
    )
    assert one != two
