"""TIFF files of all kinds: the pixels are those that tifffile wrote, or one line."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets.frames import read_frames
from segnet_tf.datasets.images import deep_pixels, read_image
from segnet_tf.datasets.masks import read_mask
from segnet_tf.errors import UserError

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")
pytest.importorskip("cv2")

RNG = np.random.default_rng(0)
SHAPE = (16, 20)

READ = {
    ("uint8", 1, "minisblack", "contig"),
    ("uint8", 1, "miniswhite", "contig"),
    ("uint8", 3, "rgb", "contig"),
    ("uint8", 4, "rgb", "contig"),
    ("uint8", 3, "rgb", "separate"),
    ("uint8", 4, "rgb", "separate"),
    ("uint8", 5, "rgb", "contig"),  # of which the first three are colours
    *((kind, 1, "minisblack", "contig") for kind in ("int8", "uint16", "int16")),
    *((kind, 1, "minisblack", "contig") for kind in ("uint32", "int32", "float32")),
    ("uint16", 3, "rgb", "contig"),
    ("uint16", 4, "rgb", "contig"),
}
"""Type, bands, photometric interpretation and planes of what is read."""

REFUSED = {
    "big-endian": {"uint32"},
    "zlib big-endian": {"uint32", "int16", "int32", "float32"},
}
"""How they are written -> types that are not read then."""

TYPES = "uint8 int8 uint16 int16 uint32 int32 float16 float32 float64".split()


def drawn(dtype: np.dtype, bands: int) -> np.ndarray:
    if dtype.kind == "f":
        return RNG.random((*SHAPE, bands)).astype(dtype)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, (*SHAPE, bands), dtype, True)


def written(path, values, photometric, planes, **form):
    values = np.moveaxis(values, -1, 0) if planes == "separate" else values
    if len(values.shape) == 3 and 1 in (values.shape[0], values.shape[-1]):
        values = values.squeeze()
    extra = {} if values.ndim == 2 else {"planarconfig": planes}
    tifffile.imwrite(path, values, photometric=photometric, **extra, **form)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("form", ["", "zlib", "zlib big-endian", "big-endian"])
def test_what_is_read_is_what_was_written(dtype, bands, form, tmp_path):

    values, path = drawn(np.dtype(dtype), bands), tmp_path / "a.tif"
    options = {"compression": "zlib"} if "zlib" in form else {}
    options["byteorder"] = ">" if "big" in form else "<"
    for photometric, planes in itertools.product(
        ("minisblack", "miniswhite", "rgb"), ("contig", "separate")
    ):
        if (photometric == "rgb" and bands < 3) or (planes != "contig" and bands == 1):
            continue
        written(path, values, photometric, planes, **options)
        kind = dtype, bands, photometric, planes
        try:
            deep = deep_pixels(path)
            with Image.open(path) as image:
                found = np.asarray(image) if deep is None else deep
        except UserError as error:
            known = kind not in READ or dtype in REFUSED.get(form, ())
            assert known, (kind, str(error))
            assert len(str(error).splitlines()) == 1 and ": save" in str(error)
            continue
        assert kind in READ, kind
        expected = values[..., 0] if bands == 1 else values
        expected = 255 - expected if photometric == "miniswhite" else expected
        assert_array_equal(found, expected[..., :3] if bands == 5 else expected)


def test_planes_are_refused_by_all_readers(tmp_path):
    """The low and high bytes of a plane once became neighbouring pixels."""
    path = tmp_path / "a.tif"
    written(path, drawn(np.dtype("uint16"), 3), "rgb", "separate")
    for read in (read_image, read_mask, lambda path: list(read_frames(path))):
        with pytest.raises(UserError, match="a.tif: bands in planes of their own"):
            read(path)


def test_a_second_page_is_looked_at_too(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(drawn(np.dtype("uint8"), 1)[..., 0], photometric="minisblack")
        values = drawn(np.dtype("uint16"), 1)[..., 0]
        file.write(values, photometric="miniswhite")
    with pytest.raises(UserError, match="a.tif: inverted grey of more than 8 bits"):
        list(read_frames(path))


def test_signed_bytes_need_a_range(tmp_path):
    path = tmp_path / "a.tif"
    values = np.array([[-100, -19, 0, 100]], np.int8)
    tifffile.imwrite(path, values, photometric="minisblack")
    with pytest.raises(UserError, match="signed 8-bit pixels have no known white"):
        read_image(path)
    assert_array_equal(read_image(path, 1, (-100, 100))[0, :, 0], [0, 103, 128, 255])


def test_grey_with_alpha_is_read_and_two_measurements_are_not(tmp_path):
    path = tmp_path / "a.tif"
    values = drawn(np.dtype("uint8"), 2)
    written(path, values, "minisblack", "contig", extrasamples=["unassalpha"])
    assert read_image(path).shape == (*SHAPE, 3)
    written(path, values, "minisblack", "contig", extrasamples=["unspecified"])
    with pytest.raises(UserError, match="a.tif: 2 bands, of which neither is alpha"):
        read_image(path)


def test_16_bit_cmyk_is_no_rgba(tmp_path):
    path = tmp_path / "a.tif"
    written(path, drawn(np.dtype("uint16"), 4), "separated", "contig")
    with pytest.raises(UserError, match="a.tif: CMYK of 16 bits: save it as RGB"):
        deep_pixels(path)
