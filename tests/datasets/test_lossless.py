"""Masks that would not give back what was written into them are refused."""

import io

import numpy as np
import pytest
from PIL import Image

from segnet_tf.datasets.masks import read_mask
from segnet_tf.errors import UserError

IDS = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40) % 5


def saved(tmp_path, name: str, **options):
    path = tmp_path / name
    Image.fromarray(IDS).save(path, **options)
    return path


LOSSLESS = {
    "plain.tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "deflate.tif": {"compression": "tiff_adobe_deflate"},
    "packbits.tif": {"compression": "packbits"},
    "a.webp": {"lossless": True},
    "a.png": {},
    "a.bmp": {},
    "a.gif": {},
    "a.pgm": {},
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_forms_that_keep_ids(name, tmp_path):
    path = saved(tmp_path, name, **LOSSLESS[name])

    np.testing.assert_array_equal(read_mask(path).ids, IDS)


LOSSY = {
    "a.jpg": ({}, "JPEG"),
    "jpeg.tif": ({"compression": "jpeg"}, "TIFF"),
    "a.webp": ({"quality": 90}, "WEBP"),
    "a.jp2": ({}, "JPEG2000"),
}


@pytest.mark.parametrize("name", LOSSY)
def test_forms_that_do_not(name, tmp_path):
    options, form = LOSSY[name]
    path = saved(tmp_path, name, **options)
    with pytest.raises(UserError, match=f"{form} changes the ids"):
        read_mask(path)


def test_a_lossy_webp_that_names_the_lossless_form(tmp_path):
    path = saved(tmp_path, "a.webp", quality=90, exif=b"Exif\0\0VP8L" * 9)
    with pytest.raises(UserError, match="WEBP changes the ids"):
        read_mask(path)


@pytest.mark.parametrize("lossless", [True, False])
def test_an_animated_webp(lossless, tmp_path):
    frames = [Image.fromarray(np.stack([IDS + k] * 3, -1)) for k in range(2)]
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=lossless)
    if lossless:
        np.testing.assert_array_equal(read_mask(path).ids, IDS)
    else:
        with pytest.raises(UserError, match="WEBP changes the ids"):
            read_mask(path)


@pytest.mark.parametrize("plain", [True, False])
def test_greys_that_pillow_stretches(plain, tmp_path):
    path = tmp_path / "a.pgm"
    values = " ".join(map(str, IDS.reshape(-1))).encode() if plain else IDS.tobytes()
    path.write_bytes(b"P%d\n40 30\n4\n" % (2 if plain else 5) + values)
    with pytest.raises(UserError, match="values from 0 to 4, which Pillow stretches"):
        read_mask(path)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_a_colour(channels, tmp_path):
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.repeat(IDS[..., None].astype(np.uint16), channels, 2))
    with pytest.raises(UserError, match="16 bits a colour"):
        read_mask(path)


def test_16_bits_of_grey_hold_ids(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(IDS.astype(np.uint16)).save(path)

    np.testing.assert_array_equal(read_mask(path).ids, IDS)


def test_a_transparent_palette_keeps_its_ids(tmp_path):
    image = Image.fromarray(IDS)
    image.putpalette(bytes(range(15)))
    memory = io.BytesIO()
    image.save(memory, "PNG", transparency=0)
    path = tmp_path / "a.png"
    path.write_bytes(memory.getvalue())

    np.testing.assert_array_equal(read_mask(path).ids, IDS)
