"""Images and masks as people have them, and files that are none."""

import io
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from conftest import ROOT
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets.images import on_white, read_image
from segnet_tf.datasets.masks import check_sizes, read_mask, read_pair
from segnet_tf.errors import UserError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREY = COLOURS[..., 0]


def png(pixels: np.ndarray, colour_type: int, depth: int = 8, chunks=()) -> bytes:
    """A PNG of any kind, rows packed by hand: Pillow writes only some."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    if depth == 16:
        rows = rows.astype(">u2").view(np.uint8)
    elif depth < 8:
        bits = (rows[..., None] >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    scanlines = b"".join(b"\0" + row.tobytes() for row in rows.astype(np.uint8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = (b"IHDR", header), *chunks, (b"IDAT", zlib.compress(scanlines))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*parts, (b"IEND", b""))
    )


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


def read(tmp_path, data: bytes, reader=read_image, name="image.png", **options):
    (tmp_path / name).write_bytes(data)
    return reader(tmp_path / name, **options)


def refusal(tmp_path, data: bytes, reader=read_image, **options) -> str:
    """The message of the UserError, checked for its form, without the file's name."""
    with pytest.raises(UserError) as caught:
        read(tmp_path, data, reader, **options)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'image.png'}: ") and "\n" not in message
    return message.removeprefix(f"{tmp_path / 'image.png'}: ")


ALPHA = RNG.integers(0, 256, (5, 7), np.uint8)
WIDE = RNG.integers(0, 65536, (5, 7), np.uint16)
WIDE[0, :4] = (0, 128, 300, 65535)
PALETTE = bytes(COLOURS.reshape(-1, 3)[:4].tobytes())
INDICES = RNG.integers(0, 4, (5, 7), np.uint8)
LOOKED_UP = COLOURS.reshape(-1, 3)[:4][INDICES]


def grey_rgb(grey):
    return np.repeat(np.asarray(grey)[..., None], 3, axis=-1)


def mode(image, kind):
    return Image.fromarray(image).convert(kind)


SCALED = grey_rgb(np.rint(WIDE / 257))
KINDS = {
    "rgb": (png(COLOURS, 2), COLOURS),
    "grey": (png(GREY, 0), grey_rgb(GREY)),
    "grey of 1 bit": (png(GREY % 2, 0, 1), grey_rgb(GREY % 2 * 255)),
    "grey of 4 bits": (png(GREY % 16, 0, 4), grey_rgb(GREY % 16 * 17)),
    "grey of 16 bits": (png(WIDE, 0, 16), SCALED),
    "16-bit tiff": (encoded(Image.fromarray(WIDE), "TIFF"), SCALED),
    "16-bit pgm": (b"P5 7 5 65535\n" + WIDE.astype(">u2").tobytes(), SCALED),
    "rgb of 16 bits": (png(COLOURS.astype(int) * 256 + 99, 2, 16), COLOURS),
    "grey with alpha": (
        png(np.dstack([GREY, ALPHA]), 4),
        over_white(grey_rgb(GREY), ALPHA),
    ),
    "rgb with alpha": (png(np.dstack([COLOURS, ALPHA]), 6), over_white(COLOURS, ALPHA)),
    "palette": (png(INDICES, 3, 8, [(b"PLTE", PALETTE)]), LOOKED_UP),
    "palette of 2 bits": (png(INDICES, 3, 2, [(b"PLTE", PALETTE)]), LOOKED_UP),
    "palette with alpha": (
        png(INDICES, 3, 8, [(b"PLTE", PALETTE), (b"tRNS", bytes([0, 128, 255]))]),
        over_white(LOOKED_UP, np.array([0, 128, 255, 255])[INDICES]),
    ),
    "rgb with one transparent colour": (
        png(COLOURS, 2, 8, [(b"tRNS", COLOURS[2, 3].astype(">u2").tobytes())]),
        np.where((COLOURS == COLOURS[2, 3]).all(-1, keepdims=True), 255, COLOURS),
    ),
    "cmyk tiff": (
        encoded(mode(COLOURS, "CMYK"), "TIFF"),
        COLOURS,
    ),
    "bmp": (encoded(Image.fromarray(COLOURS), "BMP"), COLOURS),
    "gif": (encoded(Image.fromarray(grey_rgb(GREY)), "GIF"), grey_rgb(GREY)),
    "webp": (encoded(Image.fromarray(COLOURS), "WEBP", lossless=True), COLOURS),
    "1x1": (png(COLOURS[:1, :1], 2), COLOURS[:1, :1]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_reads_every_kind_as_rgb(kind, tmp_path):
    data, expected = KINDS[kind]
    image = read(tmp_path, data)
    assert image.dtype == np.uint8 and image.shape == expected.shape
    # Blending with alpha rounds; everything else is exact.
    assert_array_equal(np.abs(image - np.asarray(expected, float)) < 1, True)
    if "alpha" not in kind:
        assert_array_equal(image, expected)


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    colours = np.zeros((32, 32, 3), np.uint8)
    colours[:16], colours[16:] = (200, 40, 60), (30, 160, 90)
    data = encoded(mode(colours, "CMYK"), "JPEG", quality=95)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    difference = read(tmp_path, data).astype(int) - colours
    assert np.abs(difference[[2, -3]]).max() < 8


def test_extreme_shapes(tmp_path):
    tall = RNG.integers(0, 256, (900, 3, 3), np.uint8)
    assert_array_equal(read(tmp_path, png(tall, 2)), tall)
    assert_array_equal(
        read(tmp_path, png(tall.transpose(1, 0, 2), 2)), tall.transpose(1, 0, 2)
    )


# What a viewer does to the stored pixels for each value of the orientation tag.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
    9: lambda stored: stored,
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_turns_images_upright(orientation, kind, tmp_path):
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8], stored[:8, 8:] = 255, 120
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(stored), kind, exif=exif, **options)
    image = read(tmp_path, data).astype(int)
    expected = UPRIGHT[orientation](stored)
    assert image.shape == expected.shape
    assert np.abs(image - expected).max() <= (10 if kind == "JPEG" else 0)


def test_a_damaged_tag_does_not_refuse_the_pixels(tmp_path):
    data = png(COLOURS, 2, 8, [(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff\x01")])
    assert_array_equal(read(tmp_path, data), COLOURS)


@pytest.mark.parametrize(
    "name",
    ["two words.png", "gelände 街.png", "-x.png", "a\nb.png", "%d{}.png", "plain"],
)
def test_odd_names(name, tmp_path):
    assert_array_equal(read(tmp_path, png(COLOURS, 2), name=name), COLOURS)
    with pytest.raises(UserError) as caught:
        read(tmp_path, b"text", name=name)
    message = str(caught.value)
    assert "\n" not in message and name.replace("\n", "\\n") in message


def bomb(kind: str) -> bytes:
    """A valid file whose header claims 60,000 x 60,000 pixels."""
    data = bytearray(encoded(Image.fromarray(COLOURS), kind))
    if kind == "PNG":
        data[16:24] = struct.pack(">II", 60_000, 60_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", 60_000, 60_000)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", 60_000, 60_000)
    elif kind == "JPEG":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


@pytest.mark.parametrize("reader", [read_image, read_mask])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "JPEG"])
def test_refuses_bombs_by_their_header(kind, reader, tmp_path):
    start = time.perf_counter()
    assert "too large" in refusal(tmp_path, bomb(kind), reader)
    assert time.perf_counter() - start < 1


def tiff(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), "TIFF")


NO_IMAGES = {
    "empty": (b"", "empty file"),
    "text": (b"name,age\nAda,36\n", "not an image"),
    "html": (b"<!DOCTYPE html><html>404</html>", "not an image"),
    "postscript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "not an image",
    ),
    "zeros": (bytes(500), "not an image"),
    "header alone": (png(COLOURS, 2)[:33], "beginning is damaged"),
    "header too short": (png(COLOURS, 2)[:8] + b"\0\0\0\5IHDR" + b"\0" * 20, "damaged"),
    "cut off": (png(COLOURS, 2)[:-40], "damaged"),
    "cut off jpeg": (encoded(Image.fromarray(COLOURS), "JPEG")[:-30], "damaged"),
    "float": (tiff(GREY / np.float32(255)), "no known white"),
    "nan": (tiff(np.full((3, 3), np.nan, np.float32)), "no known white"),
    "32 bits": (tiff(WIDE.astype(np.int32) * 9), "no known white"),
}


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_one_line_for_what_is_no_image(kind, tmp_path):
    data, words = NO_IMAGES[kind]
    assert words in refusal(tmp_path, data)


def test_one_line_for_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match="missing.png: no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(UserError, match="is a folder"):
        read_image(tmp_path)


# --- masks ---------------------------------------------------------------------------

TABLE = {(0, 0, 0): 0, (200, 10, 10): 1, (10, 200, 10): 2, (255, 255, 255): 255}
TABLE_IDS = np.array(list(TABLE.values()), np.uint8)[INDICES]
TABLE_COLOURS = np.array(list(TABLE), np.uint8)[INDICES]

MASKS = {
    "grey": (png(INDICES, 0), INDICES),
    "grey of 1 bit": (png(INDICES % 2, 0, 1), INDICES % 2),
    "grey of 2 bits": (png(INDICES, 0, 2), INDICES),
    "grey of 4 bits": (png(GREY % 16, 0, 4), GREY % 16),
    "grey of 16 bits": (png(INDICES, 0, 16), INDICES),
    "palette": (png(INDICES, 3, 8, [(b"PLTE", PALETTE)]), INDICES),
    "palette of 1 bit": (png(INDICES % 2, 3, 1, [(b"PLTE", PALETTE[:6])]), INDICES % 2),
    "palette of 2 bits": (png(INDICES, 3, 2, [(b"PLTE", PALETTE)]), INDICES),
    "palette with alpha": (
        png(INDICES, 3, 8, [(b"PLTE", PALETTE), (b"tRNS", b"\0")]),
        INDICES,
    ),
    "grey saved as rgb": (png(grey_rgb(INDICES), 2), INDICES),
    "gif": (encoded(Image.fromarray(INDICES), "GIF"), INDICES),
    "bmp": (encoded(Image.fromarray(INDICES), "BMP"), INDICES),
    "tiff": (encoded(Image.fromarray(INDICES), "TIFF"), INDICES),
    "float": (tiff(GREY.astype(np.float32)), GREY),
}


@pytest.mark.parametrize("kind", MASKS)
def test_reads_every_kind_of_mask_as_ids(kind, tmp_path):
    data, expected = MASKS[kind]
    ids = read(tmp_path, data, read_mask).ids
    assert ids.dtype == np.uint8
    assert_array_equal(ids, expected)


@pytest.mark.parametrize(
    "data",
    [
        png(TABLE_COLOURS, 2),
        png(np.dstack([TABLE_COLOURS, ALPHA]), 6),
        encoded(Image.fromarray(TABLE_COLOURS), "WEBP", lossless=True),
    ],
    ids=["rgb", "alpha left aside", "webp"],
)
def test_looks_colours_up(data, tmp_path):
    assert_array_equal(read(tmp_path, data, read_mask, colours=TABLE).ids, TABLE_IDS)


def test_a_palette_in_the_order_of_the_table_or_unlike_it_is_indices(tmp_path):
    for palette in (bytes(np.array(list(TABLE)[:3], np.uint8)) + b"abc", PALETTE):
        indices = INDICES % 3
        data = png(indices, 3, 8, [(b"PLTE", palette)])
        assert_array_equal(read(tmp_path, data, read_mask, colours=TABLE).ids, indices)


BINARY = INDICES % 2
GREYS = {(255, 255, 255): 0, (0, 0, 0): 1, (85, 85, 85): 2}
GREY_MASKS = {
    "8 bits": (png(np.array([255, 0, 85, 0], np.uint8)[INDICES], 0), [0, 1, 2, 1]),
    "2 bits": (png(np.array([3, 0, 1, 0])[INDICES], 0, 2), [0, 1, 2, 1]),
    "1 bit": (png(BINARY, 0, 1), [1, 0, 1, 0]),
    "rgb": (png(grey_rgb(BINARY * 255), 2), [1, 0, 1, 0]),
}


@pytest.mark.parametrize("kind", GREY_MASKS)
def test_greys_are_looked_up_where_all_colours_are_greys(kind, tmp_path):
    data, ids = GREY_MASKS[kind]
    expected = np.array(ids, np.uint8)[INDICES]
    assert_array_equal(read(tmp_path, data, read_mask, colours=GREYS).ids, expected)


def test_greys_are_ids_where_other_colours_are_there(tmp_path):
    mask = np.array([0, 1, 255, 2], np.uint8)[INDICES]
    assert_array_equal(read(tmp_path, png(mask, 0), read_mask, colours=TABLE).ids, mask)


def test_255_is_kept_where_white_is_no_colour(tmp_path):
    mask = np.array([0, 7, 255, 0], np.uint8)[INDICES]
    greys = {(0, 0, 0): 0, (7, 7, 7): 1}
    expected = np.array([0, 1, 255, 0], np.uint8)[INDICES]
    assert_array_equal(
        read(tmp_path, png(mask, 0), read_mask, colours=greys).ids, expected
    )


MASK_FAULTS = {
    "reordered palette": (
        png(INDICES % 3, 3, 8, [(b"PLTE", bytes([200, 10, 10, 0, 0, 0, 10, 200, 10]))]),
        TABLE,
        "palette index 0 has the colour of class 1",
    ),
    "jpeg": (encoded(Image.fromarray(INDICES), "JPEG"), None, "JPEG"),
    "colours without a table": (png(TABLE_COLOURS, 2), None, "no colour table"),
    "unknown colour": (png(COLOURS[1:2, :1], 2), TABLE, "is not in the colour table"),
    "ids above 255": (png(WIDE, 0, 16), None, "class id 65535"),
    "cut off": (png(INDICES, 0)[:-30], None, "damaged"),
    "fractions": (tiff(INDICES + np.float32(0.5)), None, "fractions in a float mask"),
    "nan": (tiff(np.full((3, 3), np.nan, np.float32)), None, "fractions"),
    "float above 255": (tiff(np.float32(WIDE)), None, "class id 65535.0 in a float"),
    "float below 0": (tiff(INDICES - np.float32(1)), None, "class id -1.0 in a float"),
    "ids where all colours are greys": (
        png(INDICES, 0),
        GREYS,
        "leave the colours out",
    ),
    "greys of one bit, and no white": (png(BINARY, 0, 1), {(9,) * 3: 0}, "(0, 0, 0)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASK_FAULTS)
def test_one_line_for_a_faulty_mask(kind, tmp_path):
    data, colours, words = MASK_FAULTS[kind]
    assert words in refusal(tmp_path, data, read_mask, colours=colours)


def test_names_the_place_of_an_unknown_colour(tmp_path):
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[2, 5] = (1, 2, 3)
    message = refusal(tmp_path, png(colours, 2), read_mask, colours=TABLE)
    assert "colour (1, 2, 3) at x 5, y 2" in message and "4.2%" in message


def test_a_reordered_palette_beside_unlisted_colours(tmp_path):
    """The void of a labelling program is often of a colour that no list has."""
    palette = bytes([200, 10, 10, 0, 0, 0, 10, 200, 10, 9, 9, 9])
    data = png(INDICES, 3, 8, [(b"PLTE", palette)])
    assert "palette was reordered" in refusal(tmp_path, data, read_mask, colours=TABLE)


def test_two_ids_of_void_are_the_same(tmp_path):
    palette = bytes([0, 0, 0, 200, 10, 10, 10, 200, 10, 255, 255, 255])
    data = png(INDICES, 3, 8, [(b"PLTE", palette)])
    words = "index 3 has the colour of class 255"
    assert words in refusal(tmp_path, data, read_mask, colours=TABLE)
    both_void = {3, 255}
    mask = read(tmp_path, data, read_mask, colours=TABLE,
        same=lambda a, b: a == b or {a, b} == both_void)  # fmt: skip
    assert_array_equal(mask.ids, INDICES)


@pytest.mark.parametrize("form", ["WEBP", "JPEG"])
def test_lossy_compression_is_for_colours_with_a_tolerance(form, tmp_path):
    grey = encoded(Image.fromarray(INDICES * np.uint8(9)), form, quality=60)
    words = f"{form} changes the ids"
    # WebP has no grey: there, colours are looked up.
    for tolerance in (0, 32) if form == "JPEG" else (0,):
        assert words in refusal(
            tmp_path, grey, read_mask, colours=BLOCK_COLOURS, tolerance=tolerance
        )
    bands = np.array(list(BLOCK_COLOURS), np.uint8)[BLOCKS]
    colour = encoded(Image.fromarray(bands), form, quality=90)
    assert words in refusal(tmp_path, colour, read_mask, colours=BLOCK_COLOURS)
    mask = read(tmp_path, colour, read_mask, colours=BLOCK_COLOURS, tolerance=40)
    assert (mask.ids == BLOCKS).mean() > 0.8


def test_transparent_pixels_are_void(tmp_path):
    alpha = np.full(INDICES.shape, 255, np.uint8)
    alpha[0] = 0
    pixels = np.dstack([TABLE_COLOURS, alpha])
    pixels[0, :, :3] = (1, 2, 3)  # what programs leave there
    mask = read(tmp_path, png(pixels, 6), read_mask, colours=TABLE)
    assert (mask.ids[0] == 255).all()
    assert_array_equal(mask.ids[1:], TABLE_IDS[1:])
    # If nothing would be left, the alpha means nothing.
    pixels = np.dstack([TABLE_COLOURS, alpha * 0])
    mask = read(tmp_path, png(pixels, 6), read_mask, colours=TABLE)
    assert_array_equal(mask.ids, TABLE_IDS)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_turned_tiff_files(dtype, orientation, tmp_path):
    """Pillow shears some of them if it may map the file into memory."""
    pixels = np.arange(60, dtype=dtype).reshape(6, 10)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.tif", exif=exif)
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    value_range = (0, 255) if dtype == np.uint16 else None
    found = read_image(tmp_path / "a.tif", 1, value_range)[..., 0]
    assert_array_equal(found, np.rot90(pixels, turns))


BLOCKS = np.kron(np.arange(3).reshape(1, 3), np.ones((32, 32), int)).astype(np.uint8)
BLOCK_COLOURS = {(0, 0, 0): 0, (200, 10, 10): 1, (10, 200, 10): 2}


def soft(kind: str) -> bytes:
    """A mask of three bands in colours, spoilt at their edges."""
    image = Image.fromarray(np.array(list(BLOCK_COLOURS), np.uint8)[BLOCKS])
    if kind == "smoothed":
        small = image.resize((48, 16), Image.Resampling.NEAREST)
        return encoded(small.resize(image.size, Image.Resampling.BILINEAR), "PNG")
    jpeg = encoded(image, "JPEG", quality=90)
    if kind == "jpeg":
        return jpeg
    return encoded(Image.open(io.BytesIO(jpeg)), "PNG")


@pytest.mark.parametrize("kind", ["smoothed", "jpeg", "jpeg once"])
def test_a_tolerance_reads_soft_edges(kind, tmp_path):
    data = soft(kind)
    words = "JPEG" if kind == "jpeg" else "is not in the colour table"
    assert words in refusal(tmp_path, data, read_mask, colours=BLOCK_COLOURS)
    mask = read(tmp_path, data, read_mask, colours=BLOCK_COLOURS, tolerance=40)
    wrong = mask.ids != BLOCKS
    # What is not sure is void, and only that; it is counted.
    assert (mask.ids[wrong] == 255).all()
    assert wrong.sum() == mask.between < 0.15 * wrong.size
    assert kind == "smoothed" or mask.near > 0


def test_a_colour_near_to_two_is_void(tmp_path):
    colours = {(0, 0, 0): 0, (40, 0, 0): 1}
    pixels = np.array([[(0, 0, 0), (10, 0, 0), (20, 5, 0), (38, 0, 2), (99, 0, 0)]])
    mask = read(tmp_path, png(pixels, 2), read_mask, colours=colours, tolerance=25)
    assert mask.ids.tolist() == [[0, 0, 255, 1, 255]]
    assert (mask.near, mask.between) == (2, 2)


def test_a_tolerance_is_proposed_where_it_helps(tmp_path):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:2] = 7
    message = refusal(tmp_path, png(pixels, 2), read_mask, colours=TABLE)
    assert "--tolerance 32" in message
    pixels[:2] = 77
    message = refusal(tmp_path, png(pixels, 2), read_mask, colours=TABLE)
    assert "--tolerance" not in message


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((9, 10), ": a pixel or two too many or too few"),
        ((16, 20), ", 2 times as large"),
        ((4, 5), ", 2 times as small"),
        ((9, 20), "mask.png: 10x8, but a.png is 20x9"),
    ],
)
def test_how_sizes_differ(size, words, tmp_path):
    image = np.zeros((*size, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    with pytest.raises(UserError) as caught:
        check_sizes(tmp_path / "a.png", "mask.png", image, np.zeros((8, 10)))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "orientation, size, said",
    [(6, (7, 5), True), (6, (7, 4), False), (1, (5, 7), False), (3, (5, 7), False)],
)
def test_says_so_where_a_photo_was_turned_and_its_mask_not(
    orientation, size, said, tmp_path
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOURS).save(tmp_path / "photo.jpg", exif=exif)
    Image.new("L", size).save(tmp_path / "mask.png")
    with pytest.raises(UserError) as caught:
        read_pair(tmp_path / "photo.jpg", tmp_path / "mask.png")
    upright = "5x7" if orientation == 6 else "7x5"
    assert f"{size[0]}x{size[1]}, but photo.jpg is {upright}" in str(caught.value)
    assert ("turned by its EXIF tag" in str(caught.value)) == said


def test_large_images_are_read_without_a_warning(tmp_path):
    """Pillow warns from 89 million pixels on; what it refuses has twice as many."""
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    code = (
        "import sys; from segnet_tf.datasets.masks import read_mask;"
        "print(read_mask(sys.argv[1]).ids.shape)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "large.png")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("(9000, 10000)\n", "")


# --- mutated files -------------------------------------------------------------------


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, cut out or doubled, more often where the headers are."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = int(len(data) * rng.random() ** rng.choice([1, 3]))
        length = int(rng.integers(1, 9))
        match rng.integers(5):
            case 0:
                data[place : place + length] = rng.bytes(length)
            case 1:
                data[place : place + 1] = bytes([1 << rng.integers(8) ^ data[place]])
            case 2:
                del data[place : place + length * int(rng.integers(1, 20))]
            case 3:
                data[place:place] = data[place : place + length * 4]
            case 4:
                data[place : place + 4] = rng.choice(
                    [
                        b"\xff\xff\xff\xff",
                        b"\0\0\0\0",
                        b"\x7f\xff\xff\xff",
                        b"\0\0\0\x01",
                    ]
                )
        if not data:
            break
    return bytes(data)


def with_right_checksums(data: bytes) -> bytes:
    """PNG chunks with their CRC made right, so that mutations reach the decoder."""
    out, place = bytearray(data[:8]), 8
    while place + 12 <= len(data):
        length = struct.unpack(">I", data[place : place + 4])[0]
        body = data[place + 4 : place + 8 + length]
        out += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return bytes(out + data[place:])


def seeds() -> list[bytes]:
    image = Image.fromarray(RNG.integers(0, 256, (23, 31, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [("PNG", {"exif": exif}), ("JPEG", {"exif": exif}), ("BMP", {})]
    kinds += [("GIF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {})]
    kinds += [
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "jpeg"}),
    ]
    files = [encoded(image, kind, **options) for kind, options in kinds]
    files.append(encoded(image.quantize(16), "PNG", transparency=3))
    files.append(encoded(image.convert("CMYK"), "JPEG"))
    files.append(png(RNG.integers(0, 65536, (9, 9)), 0, 16))
    return files


# pytest sets filters of its own over those of segnet_tf.datasets.images.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_thousand_mutated_files(tmp_path, capfd):
    """No exception but UserError, nothing that takes long."""
    rng, files = np.random.default_rng(20), seeds()
    path = tmp_path / "image"
    readable = 0
    slowest = 0.0
    for number in range(1000):
        data = mutated(files[number % len(files)], rng)
        if number % 2 and data.startswith(b"\x89PNG"):
            data = with_right_checksums(data)
        path.write_bytes(data)
        for reader in (read_image, read_mask):
            start = time.process_time()  # others may keep the machine busy
            try:
                pixels = reader(path)
            except UserError as error:
                assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            else:
                readable += 1
                ids = getattr(pixels, "ids", pixels)
                assert ids.dtype == np.uint8
            slowest = max(slowest, time.process_time() - start)
    assert slowest < 5
    # Both ends must have been reached, else the mutations are too mild or too wild.
    assert 200 < readable < 1800


@pytest.mark.parametrize("height", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_strips_are_laid_on_white_as_the_whole_is(mode, height):
    rng = np.random.default_rng(height)
    image = Image.fromarray(rng.integers(0, 256, (height, 37, 4), np.uint8))
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (height, 37), np.uint16))
        # Rounded to the nearest of 256 values.
        whole = np.repeat(np.rint(np.asarray(image) / 257)[..., None], 3, axis=-1)
    else:
        image = image.convert("RGB").convert(mode) if mode == "P" else image
        image = image if mode in ("P", "RGBA") else image.convert(mode)
        if mode == "P":
            image.info["transparency"] = bytes(range(256))
        whole = image
        if mode in ("P", "RGBA", "LA"):
            seen = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            whole = Image.alpha_composite(white, seen)
        whole = np.asarray(whole.convert("RGB"))
    found = on_white(image)
    assert found.dtype == np.uint8 and not found.flags.writeable
    assert_array_equal(found, whole)
