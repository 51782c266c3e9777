"""Images of more than 8 bits: the range that they use, found or given."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets.images import deep_pixels, read_image, scaled_to_bytes
from segnet_tf.datasets.reading import Reading, checked_range
from segnet_tf.datasets.value_range import found_range, range_of
from segnet_tf.errors import UserError

RNG = np.random.default_rng(0)


def test_scaled_to_bytes():
    values = np.array([[-5, 100, 200, 300, 9000]])
    expected = [[0, 0, 128, 255, 255]]
    assert_array_equal(scaled_to_bytes(values, (100, 300)), expected)
    # The range of 16 bits is the division by 257 that images had before.
    every = np.arange(65536)
    assert_array_equal(scaled_to_bytes(every, (0, 65535)), (every + 128) // 257)
    with pytest.raises(UserError, match="NaN"):
        scaled_to_bytes(np.array([np.nan]), (0, 1))


def test_scaling_takes_little_more_memory_than_its_result():
    pixels = np.zeros((2000, 1000, 3), np.uint16)
    tracemalloc.start()
    assert scaled_to_bytes(pixels, (0, 4095)).nbytes == 6e6
    assert tracemalloc.get_traced_memory()[1] < 12e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RNG.integers(0, 4001, 9999), (0, 4095)),
        (RNG.integers(0, 1000, 9999), (0, 1023)),
        (RNG.integers(0, 65000, 9999), (0, 65535)),
        (np.arange(100, 200), (100.099, 198.901)),  # far above 0, few values
        (np.linspace(0, 1, 10001), (0, 0.999)),
        (np.array([7, 7, 7]), (7, 8)),
        (np.array([np.nan]), (0, 1)),
    ],
)
def test_the_range_of_values(values, expected):
    assert np.allclose(range_of(values), expected)


def test_reflectances_are_clipped_at_the_bright_end():
    """Most lie below 3,000, a few clouds at 16,000."""
    clouds = RNG.integers(3000, 16_000, 50)
    values = np.append(RNG.integers(0, 3000, 100_000), clouds)
    low, high = range_of(values)
    assert low == 0 and 2990 <= high <= 3000


@pytest.mark.parametrize(
    "values",
    [
        np.append(RNG.integers(0, 4000, 9999), [65535] * 300),
        np.append(RNG.integers(0, 4000, 9999), [-9999] * 300),
    ],
)
def test_what_marks_pixels_without_data_does_not_count(values):
    assert range_of(values) == (0, 4095)
    low, high = range_of(values / 4000)
    assert low == 0 and 0.99 < high < 1.01


def test_a_fourth_band_counts_only_if_it_is_read(tmp_path):
    cv2 = pytest.importorskip("cv2")
    pixels = RNG.integers(0, 4000, (6, 8, 4)).astype(np.uint16)
    pixels[..., 3] = 65535
    path = tmp_path / "deep.tif"
    cv2.imwrite(str(path), pixels)
    assert found_range([path]) == (0, 4095)
    rgb = pixels[..., [2, 1, 0]]
    read = read_image(path, 3, (0, 4095))
    assert_array_equal(read, scaled_to_bytes(rgb, (0, 4095)))


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_12_bits_keep_their_grey_levels(tmp_path):
    ramp = np.linspace(0, 4095, 101).astype(np.uint16)
    path = save(tmp_path / "ramp.png", np.tile(ramp, (4, 1)))
    assert len(np.unique(read_image(path))) == 17, "as if 65535 were white"
    levels = read_image(path, value_range=(0, 4095))
    assert len(np.unique(levels)) == 101
    assert levels.shape == (4, 101, 3) and levels.min() == 0 and levels.max() == 255
    assert found_range([path]) == (0, 4095)
    assert read_image(path, 1, (0, 4095)).shape == (4, 101, 1)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_a_colour(suffix, tmp_path):
    cv2 = pytest.importorskip("cv2")
    pixels = RNG.integers(0, 4000, (6, 8, 3)).astype(np.uint16)
    path = tmp_path / f"deep.{suffix}"
    cv2.imwrite(str(path), pixels[..., ::-1])
    assert_array_equal(deep_pixels(path), pixels)
    assert found_range([path]) == (0, 4095)
    read = read_image(path, value_range=(0, 4095))
    assert_array_equal(read, scaled_to_bytes(pixels, (0, 4095)))


def test_16_bits_a_colour_without_opencv(tmp_path, monkeypatch):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.full((6, 8, 3), 4000, np.uint16))
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    # Refused, because the upper 8 bits alone would be nearly black.
    with pytest.raises(UserError, match="deep.png: 16 bits a colour.*opencv"):
        found_range([path])


def test_8_bits_have_no_range(tmp_path):
    path = save(tmp_path / "a.png", np.full((4, 4, 3), 9, np.uint8))
    assert deep_pixels(path) is None and found_range([path]) is None
    assert_array_equal(read_image(path, value_range=(0, 10)), 9)


def test_floats_and_the_orientation(tmp_path):
    pixels = RNG.random((5, 7)).astype(np.float32)
    path = save(tmp_path / "a.tif", pixels)
    with pytest.raises(UserError, match="--range"):
        read_image(path)
    assert_array_equal(
        read_image(path, 1, (0, 1))[..., 0], scaled_to_bytes(pixels, (0, 1))
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((pixels * 4095).astype(np.uint16)).save(
        tmp_path / "turned.png", exif=exif
    )
    assert read_image(tmp_path / "turned.png", value_range=(0, 4095)).shape == (7, 5, 3)


def test_ranges_as_text():
    assert checked_range("0-4095") == (0, 4095)
    assert checked_range("-1-1e-05") == (-1, 1e-05)
    for text in ("4095", "5-5", "9-1", "a-b", "", "0-inf"):
        with pytest.raises(UserError, match="must be LOW-HIGH"):
            checked_range(text)
    values = (0.1 + 0.2, 1e-7 + 4)
    assert Reading().with_range(values).value_range == values
    assert Reading(range="0-1").with_range(values).value_range == (0, 1)
    assert Reading().with_range(None) == Reading()
