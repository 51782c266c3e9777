"""TensorFlow's way of reading gives the bits of Pillow's, or leaves a file to it."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segnet_tf.datasets import folder, mix, registry
from segnet_tf.datasets.dataset import IGNORE_LABEL, DatasetInfo, Place, Split, Stored
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.masks import read_pair
from segnet_tf.datasets.pipeline import evaluation_batches, reading_errors
from segnet_tf.datasets.storage.native import reader
from segnet_tf.datasets.storage.plain_files import plain_file
from segnet_tf.errors import UserError

INFO = DatasetInfo("drawn", ("a", "b", "c"), ((0, 0, 0),) * 3)

SIZES = (1, 1), (2, 3), (8, 8), (17, 33), (31, 15), (64, 47)


def picture(height: int, width: int) -> Image.Image:
    """Smooth on the left, noise on the right."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 5 + columns, columns * 3, rows * columns // 3], axis=-1)
    noise = np.random.default_rng(height).integers(0, 256, pixels.shape)
    return Image.fromarray(
        np.where(columns[..., None] * 2 > width, noise, pixels % 256).astype(np.uint8)
    )


def saved(image: Image.Image, kind: str, **options) -> bytes:
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    sum_ = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + sum_


def with_chunk(png: bytes, name: bytes, body: bytes, last: bool = False) -> bytes:
    """A PNG with one more chunk: behind its header, or before its end."""
    place = len(png) - 12 if last else 33
    return png[:place] + chunk(name, body) + png[place:]


def interlaced(image: Image.Image) -> bytes:
    """A PNG in Adam7's order, which Pillow does not write."""
    pixels, lines = np.asarray(image), []
    for y, x, dy, dx in (
        *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
        *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
    ):
        part = pixels[y::dy, x::dx]
        if part.size:
            lines += [b"\0" + row.tobytes() for row in part]
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"".join(lines)))
        + chunk(b"IEND", b"")
    )


def deep(image: Image.Image) -> bytes:
    """A PNG with 16 bits a colour, which Pillow does not write."""
    pixels = np.asarray(image).astype(">u2") * 257 + 3
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    height, width = pixels.shape[:2]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def with_palette(image: Image.Image) -> Image.Image:
    """A picture whose palette is so long that its indices have 8 bits in a file."""
    image = image.quantize(40)
    image.putpalette((image.getpalette() + 768 * [7])[:768])
    return image


def half_clear(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(100)
    return image


def jpeg(**options):
    return lambda image: saved(image, "JPEG", **options)


XMP = b'<x:xmpmeta><rdf tiff:Orientation="6"/></x:xmpmeta>'

PLAIN = {
    "png": lambda image: saved(image, "PNG"),
    "png, grey": lambda image: saved(image.convert("L"), "PNG"),
    "png, palette": lambda image: saved(with_palette(image), "PNG"),
    "png, interlaced": interlaced,
    "png, gamma": lambda image: with_chunk(
        saved(image, "PNG"), b"gAMA", struct.pack(">I", 220_000)
    ),
    "png, sRGB": lambda image: with_chunk(saved(image, "PNG"), b"sRGB", b"\0"),
    "png, density": lambda image: saved(image, "PNG", dpi=(72, 72)),
    "png, significant bits": lambda image: with_chunk(
        saved(image, "PNG"), b"sBIT", b"\5\6\5"
    ),
    "png, background": lambda image: with_chunk(
        saved(image, "PNG"), b"bKGD", struct.pack(">HHH", 1, 2, 3)
    ),
    "png, text": lambda image: with_chunk(
        saved(image, "PNG"), b"tEXt", b"Comment\0drawn"
    ),
    "png, time": lambda image: with_chunk(
        saved(image, "PNG"), b"tIME", b"\x07\xe8\1\1\1\1\1"
    ),
    "png, uncompressed": lambda image: saved(image, "PNG", compress_level=0),
    **{
        f"jpeg {sampling}, {'progressive' if progressive else 'baseline'}, {quality}": (
            jpeg(subsampling=sampling, progressive=progressive, quality=quality)
        )
        for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")
        for progressive in (False, True)
        for quality in (10, 92)
    },
    "jpeg, grey": lambda image: saved(image.convert("L"), "JPEG"),
    "jpeg, restarts": lambda image: saved(image, "JPEG", restart_marker_blocks=3),
    "jpeg, optimised": lambda image: saved(image, "JPEG", optimize=True),
    "jpeg, profile": lambda image: saved(image, "JPEG", icc_profile=b"p" * 200),
    "jpeg, comment": lambda image: saved(image, "JPEG", comment="drawn"),
    "jpeg, upright": lambda image: saved(image, "JPEG", exif=turned(1)),
}
"""Kinds of files that TensorFlow reads."""

OTHERS = {
    "png, clear colour": lambda image: saved(image, "PNG", transparency=(0, 0, 0)),
    "png, clear index": lambda image: saved(image.quantize(40), "PNG", transparency=3),
    "png, alpha": lambda image: saved(half_clear(image), "PNG"),
    "png, grey and alpha": lambda image: saved(image.convert("LA"), "PNG"),
    "png, 16 bits": deep,
    "png, 16 bits grey": lambda image: saved(
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200), "PNG"
    ),
    "png, one bit": lambda image: saved(image.convert("1"), "PNG"),
    "png, four bits": lambda image: saved(image.quantize(9), "PNG", bits=4),
    "png, turned": lambda image: saved(image, "PNG", exif=turned(6)),
    "png, turned at its end": lambda image: with_chunk(
        saved(image, "PNG"), b"eXIf", turned(6).tobytes()[6:], last=True
    ),
    "png, turned by a text": lambda image: with_chunk(
        saved(image, "PNG"), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
    ),
    "png, animated": lambda image: saved(
        image, "PNG", save_all=True, append_images=[image.rotate(180)]
    ),
    "jpeg, cmyk": lambda image: saved(image.convert("CMYK"), "JPEG"),
    "jpeg, turned": lambda image: saved(image, "JPEG", exif=turned(6)),
    "jpeg, turned by a text": lambda image: saved(image, "JPEG", xmp=XMP),
    "jpeg, two pictures": lambda image: saved(
        image, "MPO", save_all=True, append_images=[image]
    ),
    "bmp": lambda image: saved(image, "BMP"),
    "webp": lambda image: saved(image, "WEBP", lossless=True),
    "tiff": lambda image: saved(image, "TIFF"),
    "gif": lambda image: saved(image, "GIF"),
}
"""Kinds of files that are left to Pillow."""


def drawn_split(tmp_path, contents, channels: int = 3, **changes) -> Split:
    """Images of these bytes with masks of their sizes, and a list of what Python read.

    Only an image that the reader leaves to Python gets into the list.
    """
    pairs, seen = [], []
    for number, content in enumerate(contents):
        image, mask = tmp_path / f"{number}.image", tmp_path / f"{number}.png"
        image.write_bytes(content)
        height, width = read_image(image, channels).shape[:2]
        ids = np.arange(height * width).reshape(height, width) % 4
        Image.fromarray(np.where(ids == 3, 255, ids).astype(np.uint8)).save(mask)
        pairs.append((image, mask))

    def read(index):
        seen.append(int(index))
        image, mask = pairs[index]
        return read_image(image, channels), read_pair(mask, mask)[1]

    split = Split(
        replace(INFO, channels=channels),
        "train",
        tuple(image.name for image, _ in pairs),
        read,
        stored=Stored.pairs(pairs, 3),
    )
    return replace(split, **changes), seen


def both_ways(split: Split, seen: list) -> list[int]:
    """Compares the reader with `Split.read`; returns what it left to Python."""
    read = reader(split)
    found = list(tf.data.Dataset.range(len(split)).map(read))
    left = sorted(seen)
    for index, (image, labels) in enumerate(found):
        expected = split.read(index)
        np.testing.assert_array_equal(image.numpy(), expected[0])
        np.testing.assert_array_equal(labels.numpy(), expected[1])
        assert image.dtype == labels.dtype == tf.uint8
    return left


def left_to_python(kinds: dict, sizes, tmp_path) -> set[str]:
    """The kinds of files of which the reader left some, all read both ways."""
    every = [kind for kind in kinds for _ in sizes]
    images = [kinds[kind](picture(*size)) for kind in kinds for size in sizes]
    left = both_ways(*drawn_split(tmp_path, images))
    assert len(left) in (0, len(images))
    return {every[index] for index in left}


def test_plain_files_are_decoded_to_pillows_bits(tmp_path):
    assert left_to_python(PLAIN, SIZES, tmp_path) == set()


def test_other_files_are_left_to_pillow(tmp_path):
    pytest.importorskip("cv2")
    assert left_to_python(OTHERS, SIZES[2:], tmp_path) == set(OTHERS)


def test_each_file_goes_its_own_way(tmp_path):
    kinds = PLAIN | OTHERS
    mixed = "png", "jpeg, turned", "jpeg, comment", "webp", "png, grey"
    images = [kinds[kind](picture(17, 33)) for kind in mixed]
    assert both_ways(*drawn_split(tmp_path, images)) == [1, 3]


@pytest.mark.parametrize(
    "channels, native, others",
    [
        (1, ("png, grey", "jpeg, grey"), ("png", "png, palette", "jpeg, comment")),
        (4, ("png, alpha",), ()),
    ],
)
def test_channels(channels, native, others, tmp_path):
    kinds = PLAIN | OTHERS
    images = [kinds[kind](picture(17, 30)) for kind in (*native, *others)]
    left = both_ways(*drawn_split(tmp_path, images, channels))
    assert left == list(range(len(native), len(images)))


def test_masks_in_palettes_are_left_to_pillow(tmp_path):
    split, seen = drawn_split(tmp_path, [PLAIN["png"](picture(8, 9))] * 2)
    mask = split.stored[1].mask.path
    with Image.open(mask) as image:
        ids = image.copy()
    ids.putpalette(list(range(255, -1, -1)) * 3)
    ids.save(mask)
    assert both_ways(split, seen) == [1]


def damaged(content: bytes, seed: int) -> bytes:
    """A file that is cut, or of which some bytes differ."""
    drawn = np.random.default_rng(seed)
    if seed % 4 == 0:
        return content[: drawn.integers(20, len(content))]
    changed = bytearray(content)
    for place in drawn.integers(2, len(content), drawn.integers(1, 4)):
        changed[place] ^= 1 << drawn.integers(8)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["png", "png, grey", "jpeg 4:2:0, baseline, 92"])
def test_damaged_files_are_judged_by_pillow(kind, tmp_path):
    """What Pillow refuses is left to it; what both read has its bits."""
    content = PLAIN[kind](picture(40, 47))
    split, seen = drawn_split(tmp_path, [content] * 150)
    for index, stored in enumerate(split.stored):
        stored.image.path.write_bytes(damaged(content, index))
    refused = {}

    def read(index):
        try:
            return split.read(index)
        except UserError as error:
            refused[int(index)] = str(error)
            return np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8)

    stream = tf.data.Dataset.range(150).map(reader(replace(split, read=read)))
    for index, (image, _) in enumerate(stream):
        if index not in refused:
            np.testing.assert_array_equal(image, split.read(index)[0])
    assert 20 < len(refused) < 150


def test_what_a_file_has_become_is_read(tmp_path):
    """The reader looks at a file's beginning once, but files may change later."""
    plain = PLAIN["png"](picture(20, 21))
    split, seen = drawn_split(tmp_path, [plain] * 3)
    read = reader(split)
    changes = [
        PLAIN["png"](picture(20, 21).rotate(180)),
        OTHERS["png, alpha"](picture(20, 21)),
        PLAIN["jpeg, comment"](picture(20, 21)),
    ]
    for stored, change in zip(split.stored, changes, strict=True):
        stored.image.path.write_bytes(change)
    for index, (image, _) in enumerate(tf.data.Dataset.range(3).map(read)):
        np.testing.assert_array_equal(image, split.read(index)[0])


def written(root, ids: np.ndarray, size: tuple[int, int]):
    """CamVid with one frame, whose mask holds these ids."""
    for name in ("train", "trainannot"):
        (root / name).mkdir(parents=True)
    picture(*size).save(root / "train" / "a.png")
    Image.fromarray(ids).save(root / "trainannot" / "a.png")
    return registry.load("camvid", "train", root)


@pytest.mark.parametrize(
    "highest, size, says",
    [
        (12, (20, 24), r"a\.png: class id 12, expected 0 to 11"),
        (11, (20, 25), r"a\.png: 24x20, but a\.png is 25x20"),
    ],
)
def test_refusals_stay(highest, size, says, tmp_path):
    ids = np.zeros((20, 24), np.uint8)
    ids[3, 4] = highest
    split = written(tmp_path, ids, size)
    assert len(split.stored) == 1
    with pytest.raises(UserError, match=says), reading_errors():
        list(evaluation_batches(split))


def refuses_python(split: Split) -> Split:
    def read(index):
        raise AssertionError(f"Python reads {index}")

    return replace(split, read=read)


def read_natively(split: Split) -> list:
    """The examples; an error if any goes through Python."""
    found = tf.data.Dataset.range(len(split)).map(reader(refuses_python(split)))
    return [(image.numpy(), labels.numpy()) for image, labels in found]


def assert_native(split: Split) -> None:
    for index, (image, labels) in enumerate(read_natively(split)):
        expected = split.read(index)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(labels, expected[1])


def test_camvid_is_read_natively(tmp_path):
    ids = (np.arange(20 * 24).reshape(20, 24) % 12).astype(np.uint8)
    split = written(tmp_path, ids, (20, 24))
    assert set(np.unique(split.read(0)[1])) == {*range(11), IGNORE_LABEL}
    assert_native(split)


def own_folder(root, names, ids=(0, 1, 2), count: int = 5):
    for place in ("images", "masks"):
        (root / place).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(names))
    for number in range(count):
        picture(20, 20 + number).save(root / "images" / f"{number}.jpg")
        mask = np.resize(ids, (20, 20 + number)).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def test_a_folder_is_read_natively(tmp_path):
    root = own_folder(tmp_path / "own", ("sky", "void", "road"), ids=(0, 1, 2, 255))
    assert_native(folder.load("train", root))


def test_a_folder_in_black_and_white_is_not(tmp_path):
    names = "back 0 0 0", "leaf 255 255 255"
    root = own_folder(tmp_path / "own", names, ids=(0, 255))
    assert folder.load("train", root).stored == ()


def test_a_mix_is_read_natively(tmp_path):
    own_folder(tmp_path / "one", ("sky", "road", "car"))
    own_folder(tmp_path / "two", ("road", "thing", "sky"))
    path = tmp_path / "mix.json"
    path.write_text(
        '{"sets": [{"dataset": "folder", "data_dir": "one"}, {"dataset": "folder", '
        '"data_dir": "two", "labels": {"thing": ["sky", "car"], "sky": "void"}}]}'
    )
    split = mix.load("train", path, 3, registry.load)
    assert split.groups == ((0, 2),)
    assert set(np.unique(split.read(len(split) - 1)[1])) == {1, 3, IGNORE_LABEL}
    assert_native(split)


def test_a_set_without_files_in_a_mix_is_read_by_python(tmp_path):
    written(tmp_path / "CamVid", np.zeros((20, 24), np.uint8), (20, 24))
    path = tmp_path / "mix.json"
    path.write_text(
        '{"sets": [{"dataset": "camvid", "data_dir": "CamVid"}, '
        '{"dataset": "synthetic", "splits": {"train": "train:2"}}]}'
    )
    split = mix.load("train", path, 3, registry.load)
    assert [each is None for each in split.stored] == [False, True, True]
    found = tf.data.Dataset.range(3).map(reader(split))
    for index, (image, labels) in enumerate(found):
        expected = split.read(index)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(labels, expected[1])


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"text", b"\xff\xd8\xff\xe0\0"]
)
def test_what_is_no_picture_is_not_plain(content, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    assert plain_file(Place(path)) is None
    assert plain_file(Place(tmp_path / "missing.png")) is None


def test_a_large_picture_is_left_to_pillow(tmp_path):
    path = tmp_path / "x.png"
    header = struct.pack(">IIBBBBB", 2**14, 2**13, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", b"x")
        + chunk(b"IEND", b"")
    )
    assert plain_file(Place(path)) is None


def test_a_picture_inside_a_file(tmp_path):
    content = PLAIN["png"](picture(8, 9))
    path = tmp_path / "x.bin"
    path.write_bytes(b"before" + content + b"behind")
    found = plain_file(Place(path, 6, len(content)))
    assert found == replace(plain_file(Place(path, 6, len(content))), kind="rgb")
    assert content.startswith(found.head) and found.length == len(content)
