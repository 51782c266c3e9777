"""Animations, files of several pages, HEIC, and the limit on pixels."""

import sys

import numpy as np
import pytest
from PIL import Image

from segnet_tf.datasets import opening
from segnet_tf.datasets.frames import frame_count, places, read_frames
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.opening import opened
from segnet_tf.errors import UserError


@pytest.fixture
def pages(rng):
    """Frames of few colours, so that a GIF holds them as they are."""
    return [rng.integers(0, 2, (20, 30, 3), np.uint8) * 255 for _ in range(4)]


def saved(path, pages, **options):
    first, *rest = (Image.fromarray(page) for page in pages)
    first.save(path, save_all=True, append_images=rest, **options)
    return path


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_each_frame_is_read(tmp_path, pages, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"x.{suffix}", pages, **options)
    assert frame_count(path) == 4
    for found, page in zip(read_frames(path), pages, strict=True):
        np.testing.assert_array_equal(found, page)
    np.testing.assert_array_equal(read_image(path), pages[0])


def test_pages_may_have_sizes_of_their_own(tmp_path, pages):
    path = saved(tmp_path / "x.tif", [pages[0], pages[1][:7, :9]])
    assert [page.shape[:2] for page in read_frames(path)] == [(20, 30), (7, 9)]


def test_a_thumbnail_and_a_second_view_are_no_pages(tmp_path, pages):
    first, small = (Image.fromarray(page) for page in pages[:2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    first.save(tmp_path / "x.tif", save_all=True, append_images=[small])
    assert frame_count(tmp_path / "x.tif") == 1
    saved(tmp_path / "x.jpg", pages, format="MPO")
    assert frame_count(tmp_path / "x.jpg") == 1
    assert len(list(read_frames(tmp_path / "x.jpg"))) == 1


def test_a_damaged_page_comes_after_the_sound_ones(tmp_path, pages):
    path = saved(tmp_path / "x.gif", pages)
    path.write_bytes(path.read_bytes()[:-200])
    found = []
    with pytest.raises(UserError, match="x.gif: "):
        found.extend(read_frames(path))


def test_heic_is_read_with_its_package(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.full((64, 96, 3), (200, 40, 90), np.uint8)
    made = pillow_heif.from_pillow(Image.fromarray(pixels))
    made.save(tmp_path / "x.heic", quality=95)
    found = read_image(tmp_path / "x.heic").astype(int)
    assert found.shape == pixels.shape and np.abs(found - pixels).max() <= 6
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match="HEIC.*pip install pillow-heif"):
        read_image(tmp_path / "x.heic")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_the_limit_on_pixels_can_be_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    Image.new("L", (40, 25)).save(tmp_path / "x.png")
    opening.allow_pixels(998)
    with pytest.raises(UserError, match="1,000 pixels, .* 998, .*--max-pixels 1000"):
        read_image(tmp_path / "x.png")
    opening.allow_pixels(1000)
    assert read_image(tmp_path / "x.png").shape == (25, 40, 3)
    with pytest.raises(UserError, match="at least 1"):
        opening.allow_pixels(0)


def test_masks_that_pillow_does_not_read_are_left_out(tmp_path):
    """As GDAL writes them: one bit, photometric interpretation 4."""
    tifffile = pytest.importorskip("tifffile")
    path, pixels = tmp_path / "masked.tif", np.full((20, 30, 3), 7, np.uint8)
    with tifffile.TiffWriter(path) as file:
        file.write(pixels, photometric="rgb")
        file.write(pixels[..., 0] > 0, photometric="minisblack", subfiletype=4)
        file.write(pixels[:10] + 1, photometric="rgb")
        file.write(pixels[::2, ::2] > 0, photometric="rgb", subfiletype=1)
    assert frame_count(path) == 2
    first, second = read_frames(path)
    np.testing.assert_array_equal(first, pixels)
    np.testing.assert_array_equal(second, pixels[:10] + 1)
    with opened(path) as image:
        assert places(image) == [0, 2] and image.size == (30, 20)
