"""Overlays and outlines, drawn in strips, against plain loops and the whole picture."""

import numpy as np
import pytest

from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.evaluation import overlays
from segnet_tf.evaluation.overlays import contours, outlined, overlay, tinted
from segnet_tf.evaluation.visualize import VOID_STRIPES, class_shares


@pytest.fixture
def scene():
    image, labels = draw_scene(3, 1, 70, 90)
    labels = labels.copy()
    labels[10:30, 20:50] = 255
    return image, labels


def near_a_border(labels: np.ndarray, width: int) -> np.ndarray:
    """Pixels beside a border, then those in a square around each: plain loops."""
    height, across = labels.shape
    beside = np.zeros(labels.shape, bool)
    for row, column in np.ndindex(*labels.shape):
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            r, c = row + down, column + right
            if 0 <= r < height and 0 <= c < across:
                beside[row, column] |= labels[r, c] != labels[row, column]
    near = np.zeros(labels.shape, bool)
    for row, column in np.argwhere(beside):
        near[max(0, row - width + 1) : row + width, max(0, column - width + 1) :][
            :, : column + width - max(0, column - width + 1)
        ] = True
    return near


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 9])
def test_outlines_against_loops(scene, width):
    image, labels = scene
    near = near_a_border(labels, width)
    drawn = outlined(image, labels, INFO, width)
    np.testing.assert_array_equal(drawn[~near], image[~near])
    for index in np.unique(labels[near]):
        colour = VOID_STRIPES[0] if index == 255 else INFO.colours[index]
        assert (drawn[near & (labels == index)] == colour).all()


@pytest.mark.parametrize("rows", [1, 7, 16, 64])
@pytest.mark.parametrize("draw", [overlay, contours])
def test_strips_have_no_seams(scene, draw, rows, monkeypatch):
    # Wide lines, as on a large picture, reach over the strips.
    monkeypatch.setattr(overlays, "LEGEND_SIDE", 20)
    whole = np.asarray(draw(*scene, INFO))
    monkeypatch.setattr(overlays, "ROWS", rows)
    np.testing.assert_array_equal(np.asarray(draw(*scene, INFO)), whole)


def test_stripes_grow_with_the_picture():
    void = np.full((2000, 1000), 255, np.uint8)
    picture = np.asarray(overlay(np.zeros((*void.shape, 3), np.uint8), void, INFO))
    row = (picture[0, :1000, 0] == VOID_STRIPES[0][0]).astype(int)
    assert 950 / 5 < np.abs(np.diff(row)).sum() < 1050 / 3


def test_one_area_has_no_outline(scene):
    image, labels = scene
    np.testing.assert_array_equal(outlined(image, labels * 0, INFO, 5), image)


def test_the_tint_is_what_is_asked_for(scene):
    image, labels = scene
    plain = np.asarray(tinted(image, labels, INFO, 0.0))
    np.testing.assert_array_equal(plain[labels != 255], image[labels != 255])
    full = np.asarray(tinted(image, labels, INFO, 1.0))
    assert (full[labels == labels[0, 0]] == INFO.colours[labels[0, 0]]).all()


def test_shares_are_of_all_pixels_void_included(scene):
    _, labels = scene
    shares = dict(class_shares(labels, INFO))
    for index, share in shares.items():
        assert share == pytest.approx((labels == index).mean())
    assert sum(shares.values()) == pytest.approx((labels != 255).mean())
