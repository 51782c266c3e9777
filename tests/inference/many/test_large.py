"""TIFF files that are labelled in strips, against the whole image in memory."""

import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from benchmarks.predict_large import draw_photo
from benchmarks.predict_large import run as peak
from segnet_tf.commands.predict import predict_files
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.inference import predictor as predictor_module
from segnet_tf.inference.many import large
from segnet_tf.inference.many.large import is_large
from segnet_tf.inference.many.settings import Settings
from segnet_tf.inference.many.tiff import LargeTiff
from segnet_tf.inference.model_file import SHIPPED_MODEL
from segnet_tf.inference.predictor import Predictor

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

MODEL = str(SHIPPED_MODEL.with_name("segnet_lite_synthetic"))
GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 400000.0, 5800000.0, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 3072, 0, 1, 25832), True),
    (34737, 2, 4, "abc|", True),
]


@pytest.fixture(scope="module")
def scene():
    return draw_scene(11, 0, 333, 467)[0]


@pytest.fixture
def small_tiles(monkeypatch):
    """As if memory were scarce: tiles of 700 x 700 or so."""
    plan = predictor_module.plan

    def smaller(height, width, field):
        return plan(height, width, field, budget=700 * 700 * field.channels)

    monkeypatch.setattr(predictor_module, "plan", smaller)


FORMS = {
    "tiles": {"tile": (64, 96)},
    "deflate": {"tile": (64, 64), "compression": "zlib", "predictor": True},
    "lzw strips": {"rowsperstrip": 7, "compression": "lzw"},
    "plain strips": {"rowsperstrip": 50},
    "jpeg": {
        "tile": (64, 64),
        "compression": "jpeg",
        "compressionargs": {"level": 100},
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_those_of_the_image(tmp_path, scene, form):
    path = str(tmp_path / "x.tif")
    tifffile.imwrite(path, scene, photometric="rgb", **FORMS[form])
    source = LargeTiff(path, 3, None)
    assert source.shape == scene.shape[:2]
    for start, stop in ((0, 333), (0, 1), (60, 70), (63, 129), (300, 333), (332, 333)):
        found = source.rows(start, stop).astype(int)
        difference = np.abs(found - scene[start:stop])
        assert difference.mean() < 4 if form == "jpeg" else not difference.any()
    source.close()


def test_other_bands_and_depths(tmp_path, scene):
    path = str(tmp_path / "x.tif")
    deep = scene.astype(np.uint16) * 16
    tifffile.imwrite(path, deep, photometric="rgb", tile=(64, 64))
    source = LargeTiff(path, 3, (0, 4080))
    np.testing.assert_array_equal(source.rows(5, 90), scene[5:90])
    source.close()
    tifffile.imwrite(path, scene[..., 0], tile=(64, 64))
    source = LargeTiff(path, 3, None)
    expected = np.repeat(scene[5:9, :, :1], 3, axis=-1)
    np.testing.assert_array_equal(source.rows(5, 9), expected)
    source.close()
    with pytest.raises(UserError, match="1 bands, and the model needs 4"):
        LargeTiff(path, 4, None)
    planes = np.moveaxis(scene, -1, 0)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(UserError, match="interleaved"):
        LargeTiff(path, 3, None)


ALIKE = {
    "grey": ((slice(1),), {}),
    "inverted": ((slice(1),), {"photometric": "miniswhite"}),
    "alpha": ((slice(4),), {"extrasamples": ["unassalpha"]}),
    "multiplied": ((slice(4),), {"extrasamples": ["assocalpha"]}),
    "no alpha": ((slice(4),), {"extrasamples": ["unspecified"]}),
    "five": ((slice(5),), {"extrasamples": ["unassalpha", "unspecified"]}),
    "grey, alpha": ((slice(2),), {"extrasamples": ["unassalpha"]}),
    "16 bits": ((slice(3),), {"deep": True}),
    "16 bits, grey": ((slice(1),), {"deep": True}),
    "16 bits, alpha": ((slice(4),), {"deep": True, "extrasamples": ["unassalpha"]}),
    "cmyk": ((slice(4),), {"photometric": "separated"}),
    "turned": ((slice(3),), {"extratags": [(274, 3, 1, 6, True)]}),
    "bits": ((slice(1),), {"bits": True}),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ALIKE)
def test_pixels_are_those_of_the_normal_reader(tmp_path, scene, kind, channels):
    (bands,), options = ALIKE[kind]
    options = dict(options)
    rng = np.random.default_rng(0)
    pixels = np.concatenate([scene, rng.integers(0, 256, scene.shape)], -1)[..., bands]
    deep, bits = options.pop("deep", False), options.pop("bits", False)
    pixels = pixels * 256 + 200 if deep else pixels > 99 if bits else pixels
    pixels = pixels.astype(np.uint16 if deep else bool if bits else np.uint8)
    options.setdefault("photometric", "rgb" if pixels.shape[-1] > 2 else "minisblack")
    path = str(tmp_path / "x.tif")
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if "alpha" in kind or "grey, " in kind:
        options["planarconfig"] = "contig"
    tile = {} if bits else {"tile": (64, 64)}
    tifffile.imwrite(path, pixels, **tile, **options)
    if kind in ("cmyk", "turned", "bits"):
        with pytest.raises(UserError, match="x.tif: has .*save it"):
            LargeTiff(path, channels, None)
        return
    source = LargeTiff(path, channels, None)
    expected = read_image(path, channels)
    np.testing.assert_array_equal(source.rows(0, 333), expected)
    np.testing.assert_array_equal(source.rows(60, 70), expected[60:70])
    source.close()


def test_an_alpha_after_bands_without_names(tmp_path, scene):
    """As GDAL writes four bands: grey, two more, and an alpha."""
    alpha = np.full((*scene.shape[:2], 1), 51, np.uint8)
    path, kinds = str(tmp_path / "x.tif"), ["unspecified", "unspecified", "unassalpha"]
    tifffile.imwrite(
        path, np.concatenate([scene, alpha], -1), photometric="minisblack",
        planarconfig="contig", extrasamples=kinds,
    )  # fmt: skip
    source = LargeTiff(path, 3, None)
    expected = 255 - (255 - scene.astype(float)) * 51 / 255
    np.testing.assert_allclose(source.rows(0, 333), expected, atol=1)
    source.close()


def test_values_of_which_white_is_unknown(tmp_path, scene, capsys):
    path, out = str(tmp_path / "x.tif"), tmp_path / "out"
    for kind in (np.float32, np.int16):
        pixels = scene.astype(kind)
        tifffile.imwrite(path, pixels, photometric="rgb")
        with pytest.raises(UserError, match="x.tif: has values of .*give --range"):
            predict_files([path], MODEL, out, native=True)
        with pytest.raises(UserError, match="x.tif: a TIFF file with .*--native"):
            predict_files([path], MODEL, out)
        source = LargeTiff(path, 3, (0, 255))
        np.testing.assert_array_equal(source.rows(3, 9), scene[3:9])
        source.close()
    pixels = scene.astype(np.float32)
    pixels[5, 5] = np.nan
    tifffile.imwrite(path, pixels, photometric="rgb")
    with pytest.raises(UserError, match="x.tif: pixels that are no number"):
        predict_files([path], MODEL, out, native=True, value_range=(0, 255))
    deep = scene.astype(np.uint16) * 16
    tifffile.imwrite(path, deep, photometric="rgb", extratags=GEO)
    predict_files([path], MODEL, out, native=True)
    assert "are little of the range 0 to 65535" in capsys.readouterr().out


def test_options_that_are_not_for_strips(tmp_path, scene):
    path = str(tmp_path / "x.tif")
    tifffile.imwrite(path, scene, photometric="rgb", extratags=GEO)
    with pytest.raises(UserError, match="x.tif: labelled in strips, .* --tta"):
        predict_files([path], MODEL, tmp_path / "out", native=True, views=("flip",))
    for settings in (Settings(samples=2), Settings(uncertainty=True)):
        with pytest.raises(UserError, match="x.tif: labelled in strips"):
            large.label_large(Predictor(MODEL), path, {}, INFO, settings)


def test_what_is_large(tmp_path, scene, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", scene, photometric="rgb")
    tifffile.imwrite(tmp_path / "g.tif", scene, photometric="rgb", extratags=GEO)
    Image.fromarray(scene).save(tmp_path / "a.png")
    names = ("a.tif", "g.tif", "a.png", "none.tif")
    found = [is_large(str(tmp_path / name)) for name in names]
    assert found == [False, True, False, False]
    monkeypatch.setattr(large, "IN_FLIGHT", 333 * 467 - 1)
    assert is_large(str(tmp_path / "a.tif"))


def test_several_threads_read_one_file(tmp_path):
    scene = draw_scene(11, 0, 900, 1100)[0]
    tifffile.imwrite(tmp_path / "a.tif", scene, photometric="rgb", tile=(64, 64))
    spans = [(0, 688), (112, 800), (208, 900)] * 4
    source = LargeTiff(str(tmp_path / "a.tif"), 3, None)
    with closing(source), ThreadPoolExecutor(4) as pool:
        for span, rows in zip(
            spans, pool.map(lambda span: source.rows(*span), spans), strict=True
        ):
            np.testing.assert_array_equal(rows, scene[slice(*span)])


def test_labels_are_those_of_the_whole_image(tmp_path, small_tiles, capsys):
    path, scene = tmp_path / "map.tif", draw_scene(11, 0, 900, 1100)[0]
    tifffile.imwrite(path, scene, photometric="rgb", tile=(64, 64), extratags=GEO)
    predict_files([str(path)], MODEL, tmp_path / "out", native=True)
    assert "map_labels.tif: " in capsys.readouterr().out
    predictor = Predictor(MODEL, native=True)
    assert len(predictor.tiles(900, 1100)) > 5
    expected = predictor.labels(scene)
    with tifffile.TiffFile(tmp_path / "out/map_labels.tif") as file:
        page = file.pages[0]
        np.testing.assert_array_equal(page.asarray(), expected)
        for code, _, _, value, _ in GEO:
            assert page.tags[code].value == value
        assert tuple(page.colormap[:, 3] // 257) == INFO.colours[3]
    with Image.open(tmp_path / "out/map_labels.tif") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), expected)
    tinted = tifffile.imread(tmp_path / "out/map_overlay.tif").astype(int)
    whole = np.asarray(large.tinted(scene, expected, INFO), int)
    assert tinted.shape == whole.shape and np.abs(tinted - whole).mean() < 8
    with tifffile.TiffFile(tmp_path / "out/map_overlay.tif") as file:
        assert file.pages[0].tags[33550].value == GEO[0][3]
    # Not again.
    predict_files([str(path)], MODEL, tmp_path / "out", native=True)
    assert "0 labelled, 1 done before" in capsys.readouterr().out


def test_faults_have_their_line(tmp_path, scene, monkeypatch):
    path = tmp_path / "map.tif"
    tifffile.imwrite(path, scene, photometric="rgb", extratags=GEO, compression="zlib")
    out = tmp_path / "out"
    with pytest.raises(UserError, match="probabilities cannot be written"):
        predict_files(
            [str(path)], MODEL, out, native=True, outputs=("labels", "probabilities")
        )
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : 2 * len(data) // 3] = bytes(
        2 * len(data) // 3 - len(data) // 3
    )
    path.write_bytes(data)
    with pytest.raises(UserError, match="map.tif: damaged TIFF"):
        predict_files([str(path)], MODEL, out, native=True)
    assert not list(out.rglob("*.tif"))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(UserError, match="pip install tifffile"):
        predict_files([str(path)], MODEL, out, native=True)


@pytest.mark.slow
def test_268_megapixels_within_2_gib(tmp_path, scene):
    """16,384 x 16,384, written in tiles, too."""
    side, path = 16_384, tmp_path / "huge.tif"
    block = np.tile(scene, (2, 2, 1))[:512, :512]
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            (block for _ in range((side // 512) ** 2)), shape=(side, side, 3),
            dtype=np.uint8, tile=(512, 512), photometric="rgb", compression="zlib",
        )  # fmt: skip
    words = ["--native", "--model", MODEL, "--output", tmp_path / "out"]
    command = [sys.executable, ROOT / "predict.py", path, *words]
    refused = subprocess.run(map(str, command), capture_output=True, text=True)
    assert refused.returncode == 2 and f"--max-pixels {side**2}" in refused.stderr
    command.append(f"--max-pixels={side**2}")
    subprocess.run(list(map(str, command)), check=True)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert most < 2 * 2**20, f"{most} KiB"


@pytest.mark.parametrize("kinds", [(1,), (4,), (5, 1, 1), (4, 1, 5), (0,), (1, 2)])
def test_smaller_copies_and_masks_beside_a_picture_do_not_count(
    tmp_path, scene, kinds, monkeypatch
):
    """As in files that GDAL has added overviews to; 0 and 2 are pictures."""
    path, several = tmp_path / "cog.tif", bool({0, 2} & {*kinds})
    with tifffile.TiffWriter(path) as file:
        file.write(scene, photometric="rgb", tile=(64, 64), extratags=GEO)
        for kind in kinds:
            small = scene[::4, ::4].copy()
            small = small[..., 0] > 99 if kind & 4 else small
            colours = "minisblack" if kind & 4 else "rgb"
            file.write(small, photometric=colours, subfiletype=kind)
    assert is_large(str(path)) != several
    if several:
        with pytest.raises(UserError, match="several pictures: save each"):
            LargeTiff(str(path), 3, None)
        return
    predict_files([str(path)], MODEL, tmp_path / "out", native=True)
    expected = Predictor(MODEL, native=True).labels(scene)
    for name in ("labels", "overlay"):
        with tifffile.TiffFile(tmp_path / f"out/cog_{name}.tif") as file:
            [page] = file.pages
            assert page.shape[:2] == scene.shape[:2]
            for code, _, _, value, _ in GEO:
                assert page.tags[code].value == value
            if name == "labels":
                np.testing.assert_array_equal(page.asarray(), expected)
    tifffile.imwrite(tmp_path / "plain.tif", scene, photometric="rgb")
    with tifffile.TiffWriter(tmp_path / "plain.tif", append=True) as file:
        file.write(scene[::2, ::2].copy(), photometric="rgb", subfiletype=1)
    assert not is_large(str(tmp_path / "plain.tif"))
    monkeypatch.setattr(large, "IN_FLIGHT", 333 * 467 - 1)
    assert is_large(str(tmp_path / "plain.tif"))


@pytest.mark.slow
@pytest.mark.parametrize("native, gib", [(False, 1.5), (True, 2)])
def test_a_photo_of_108_megapixels(tmp_path, native, gib):
    """Alone it takes seconds if it is scaled, and minutes if it is not."""
    photo = tmp_path / "large.jpg"
    draw_photo(photo, 108)
    words = [photo, "--model", MODEL, "--output", tmp_path / "out"]
    most = peak([*map(str, words), *["--native"] * native]).memory
    assert most < gib, f"{most} GiB"
