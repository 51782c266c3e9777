"""The check of a data set: its figures by hand, and every flaw planted in a folder."""

import io
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from docs.leaves import write_leaves
from segnet_tf import datasets
from segnet_tf.commands import data as command
from segnet_tf.datasets import folder
from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.errors import UserError
from segnet_tf.evaluation import data_check as check
from segnet_tf.evaluation import oddities

INFO = DatasetInfo(
    "toy", ("sky", "road", "car"), ((0, 0, 255), (99, 99, 99), (255, 0, 0))
)


def toy(masks: list, name="train", shade=0, shape=(40, 50)) -> Split:
    """A split whose mask n is made of rows with the given ids."""

    def read(index):
        rows = np.resize(np.array(masks[index], np.uint8), shape[0])
        labels = np.repeat(np.sort(rows)[:, None], shape[1], axis=1)
        image = np.full((*shape, 3), shade + index, np.uint8)
        image[0] = 200
        return image, labels

    return Split(INFO, name, tuple(f"{n}.png" for n in range(len(masks))), read)


def test_figures_by_hand():
    found = check.examine(toy([[0, 1], [0, 0, 0, 1], [0, 255], [1]]))
    half, full = 1000, 2000
    assert_array_equal(
        found.counts, [[half, half, 0], [1500, 500, 0], [half, 0, 0], [0, full, 0]]
    )
    assert_array_equal(found.pixels, [full] * 4)
    assert found.sizes == {(50, 40): 4} and found.unreadable == ()
    lines = "\n".join(check.report([found]))
    assert "train: 4 of 4 images readable, 50x40\n" in lines
    # sky 3,500 of 7,000 labelled pixels, in images of 6,000: frequency 7/12; road the
    # same; void 1,000 of all 8,000.
    rows = {
        line.split()[0]: line.split() for line in lines.splitlines() if line.strip()
    }
    assert rows["sky"][1:] == ["0", "#0000ff", "50.00%", "3", "1.000"]
    assert rows["road"][1:] == ["1", "#636363", "50.00%", "3", "1.000"]
    assert rows["car"][1:] == ["2", "#ff0000", "0.00%", "0", "0.000"]
    assert rows["void,"][-1] == "12.50%"


def test_suspicions():
    train = check.examine(toy([[0, 1], [255], [0, 255], [1]]))
    val = check.examine(toy([[0, 1, 2]], name="val", shade=2))
    lines = check.suspicions([train, val])
    assert "train: all void, nothing to learn from: 1.png" in lines
    assert "train: only ids 0 and 255, as in a black-and-white mask: 2.png" in lines
    assert "train: one class fills the mask: 3.png" in lines
    # Image 2 of train and image 0 of val have the same shade.
    assert "the same picture more than once: train/2.png = val/0.png" in lines
    assert "train: no pixel of car" in lines
    assert len(lines) == 5


def test_a_sound_set_raises_no_suspicion():
    found = check.examine(toy([[0, 1], [1, 2]]))
    assert check.suspicions([found]) == [] and found.odd == {}


def test_small_and_flat_images_are_odd():
    found = check.examine(toy([[0, 1]], shape=(20, 50)))
    assert found.odd == {"smaller than 32 pixels": ("0.png",)}
    split = toy([[0, 1]])
    flat = Split(
        INFO, "train", ("a",), lambda n: (split.read(n)[0] * 0, split.read(n)[1])
    )
    assert check.examine(flat).odd == {"the image is one flat colour": ("a",)}


def test_goes_on_after_a_faulty_file():
    good = toy([[0, 1]] * 4)

    def read(index):
        if index in (0, 2):
            raise UserError(f"{index}.png: damaged")
        return good.read(index)

    found = check.examine(Split(INFO, "train", good.names, read))
    assert found.unreadable == ("0.png: damaged", "2.png: damaged")
    assert found.names == ["1.png", "3.png"] and found.counts.shape == (2, 3)
    check.sample_sheet(found)  # must not try the faulty ones again


def test_long_lists_are_cut():
    (line,) = check.suspicions([check.examine(toy([[0], [1], [2]] * 3))])
    assert line.endswith("0.png, 1.png, 2.png, 3.png, 4.png and 4 more")


@pytest.mark.parametrize("shape", [(40, 50), (900, 3), (3, 900)])
def test_the_sheet_shows_images_labels_and_legend(shape):
    found = check.examine(toy([[0, 1, 2]] * 5, shape=shape))
    sheet = np.asarray(check.sample_sheet(found, samples=4, width=100))
    # Two pictures a panel, two panels a row, and the legend to the right.
    assert sheet.shape[1] > 2 * 204 and sheet.shape[0] < 2 * (150 + 22) + 1
    colours = {tuple(colour) for colour in sheet[:, 430:].reshape(-1, 3).tolist()}
    assert set(INFO.colours) <= colours
    if shape == (40, 50):
        # Below the caption: the image's shade, then the tinted labels, top to bottom.
        assert_array_equal(sheet[60, 50], [0, 0, 0])
        hues = [sheet[row, 150].astype(int) for row in (25, 60, 95)]
        for hue, colour in zip(hues, INFO.colours, strict=True):
            assert np.abs(hue - 0.75 * np.array(colour)).max() < 5


# --- the command ---------------------------------------------------------------------


@pytest.fixture
def leaves(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "leaves" / kind).mkdir(parents=True)
    for number in range(10):
        mask = np.kron(rng.integers(0, 3, (4, 5)), np.ones((10, 10))).astype(np.uint8)
        image = rng.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"leaves/images/{number}.png")
        Image.fromarray(mask).save(tmp_path / f"leaves/masks/{number}.png")
    (tmp_path / "leaves/classes.txt").write_text("ground\nleaf\nvein\n")
    monkeypatch.setitem(datasets.DATASETS, "folder", folder.load)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "leaves"


def run(*arguments) -> int:
    try:
        command.main([*map(str, arguments)])
    except SystemExit as exit:
        return exit.code
    return 0


def test_checks_a_sound_folder(leaves, monkeypatch, capsys):
    assert run("folder", "--data-dir", leaves) == 0
    out = capsys.readouterr().out
    assert "train: 8 of 8 images readable, 50x40" in out
    assert "val: 2 of 2 images readable, 50x40" in out
    assert "not there:\n  folder: " in out and "no 'test'" in out
    assert "cannot be used" not in out and "suspicious" not in out
    with Image.open("folder-samples.png") as sheet:
        assert sheet.width > 1000


def test_names_faulty_files_and_exits_with_1(leaves, monkeypatch, capsys):
    mask = leaves / "masks" / "3.png"
    mask.write_bytes(mask.read_bytes()[:-30])
    sheet = leaves.parent / "out" / "sheet.png"
    assert run("folder", "--data-dir", leaves, "--sheet", sheet) == 1
    out = capsys.readouterr().out
    assert f"cannot be used:\n  {mask}: damaged" in out and "9 of" not in out
    assert sheet.is_file()


def by_hand(leaves, **numbers_of) -> None:
    """Moves images and masks of these numbers into folders of these names."""
    for split, numbers in numbers_of.items():
        for kind in ("images", "masks"):
            (leaves / kind / split).mkdir()
            for number in numbers:
                path = leaves / kind / f"{number}.png"
                path.rename(leaves / kind / split / path.name)


@pytest.mark.parametrize("name", ["valid", "validation", "Val"])
def test_a_split_under_another_name_is_no_absent_split(
    name, leaves, monkeypatch, capsys
):
    by_hand(leaves, train=range(8), **{name: (8, 9)})
    assert run("folder", "--data-dir", leaves) == 0
    out = capsys.readouterr().out
    assert "train: 8 of 8 images readable" in out
    assert "val: 2 of 2 images readable" in out
    assert "not there:\n  folder: " in out and "no split 'test'" in out


def test_a_faulty_split_is_no_absent_split(leaves, monkeypatch, capsys):
    by_hand(leaves, train=range(6), val=(6, 7), test=(8, 9))
    (leaves / "masks" / "val" / "7.png").unlink()
    assert run("folder", "--data-dir", leaves) == 1
    out = capsys.readouterr().out
    assert f"cannot be used:\n  {leaves / 'images/val/7.png'}: has no mask" in out
    assert "train: 6 of 6" in out and "test: 2 of 2" in out and "not there" not in out


def test_an_absent_split_is_no_fault(leaves, monkeypatch, capsys):
    by_hand(leaves, train=range(10))
    assert run("folder", "--data-dir", leaves) == 0
    assert capsys.readouterr().out.count("it has train") == 2


def test_nothing_to_check(leaves, monkeypatch):
    with pytest.raises(UserError, match="no data set 'flowers'"):
        run("flowers", "--data-dir", leaves)
    (leaves / "classes.txt").unlink()
    with pytest.raises(UserError, match="classes.txt: no such file"):
        run("folder", "--data-dir", leaves)
    assert not (leaves.parent / "folder-samples.png").exists()


def test_every_missing_and_broken_mask_is_listed(leaves, capsys):
    by_hand(leaves, train=range(8), val=(8, 9))
    for number in (1, 3):
        (leaves / f"masks/train/{number}.png").unlink()
    for number in (4, 8):
        (leaves / f"masks/{'val' if number > 7 else 'train'}/{number}.png").write_text(
            "x"
        )
    assert run("folder", "--data-dir", leaves) == 1
    out = capsys.readouterr().out
    assert out.count("has no mask") == 2 and out.count("not an image") == 2
    assert "train: 5 of 8" in out and "val: 1 of 2" in out


def test_the_table_that_was_understood(leaves, capsys):
    text = "name,r,g,b\nground,1,2,3\nVoid,9,9,9\nvein,0,255,16\n"
    (leaves / "classes.txt").write_text(text)
    assert run("folder", "--data-dir", leaves) == 0
    out = capsys.readouterr().out
    assert "leaves: layout images/ and masks/, classes from classes.txt\n" in out
    assert "void: Void (id 1)\n" in out
    rows = [line.split()[:3] for line in out.splitlines()]
    assert ["ground", "0", "#010203"] in rows and ["vein", "2", "#00ff10"] in rows
    assert run("folder", "--data-dir", leaves, "--ignore", "ground") == 0
    out = capsys.readouterr().out
    assert "void: Void (id 1), ground (id 0)\n" in out
    assert ["vein", "2", "#00ff10", "100.00%"] in [
        line.split()[:4] for line in out.splitlines()
    ]


def test_suspicious_pixels(leaves, capsys):
    """Nearly black pictures, soft edges, one class nearly everywhere."""
    for number in range(10):
        mask = np.zeros((40, 50), np.uint8)
        mask[:, 25:] = 2
        small = Image.fromarray(mask).resize((25, 20), Image.Resampling.NEAREST)
        soft = small.resize((50, 40), Image.Resampling.BILINEAR)
        soft.save(leaves / f"masks/{number}.png")
        image = Image.open(leaves / f"images/{number}.png")
        image.point(lambda value: value // 16).save(leaves / f"images/{number}.png")
    assert run("folder", "--data-dir", leaves) == 0
    out = capsys.readouterr().out
    assert "the image is nearly black, 99 % of it below 24 of 255: 0.png" in out
    assert "along edges, ids between those on both sides" in out


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ([[1] * 49 + [2]] * 40, "only 'ground', the first class, is missing"),
        ([[0] * 500 + [1] + [2]] * 40, "99.60% of the pixels are ground"),
    ],
)
def test_suspicious_shares(mask, words, leaves, capsys):
    for number in range(10):
        pixels = np.array(mask, np.uint8)
        Image.fromarray(pixels).save(leaves / f"masks/{number}.png")
        noise = np.random.default_rng(number).integers(0, 256, pixels.shape, np.uint8)
        Image.fromarray(noise).save(leaves / f"images/{number}.png")
    assert run("folder", "--data-dir", leaves) == 0
    assert words in capsys.readouterr().out


def test_12_bits(leaves, capsys):
    for number in range(10):
        values = np.random.default_rng(number).integers(0, 4000, (40, 50))
        Image.fromarray(values.astype(np.uint16)).save(leaves / f"images/{number}.png")
    assert run("folder", "--data-dir", leaves) == 0
    out = capsys.readouterr().out
    assert "more than 8 bits: 0 is black, 4095 is white\n" in out
    assert "suspicious" not in out
    assert run("folder", "--data-dir", leaves, "--range", "0-65535") == 0
    out = capsys.readouterr().out
    assert "nearly black" in out
    assert "train: its images use 0 to 4095, but are scaled by 0 to 65535" in out


def turn(path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(path) as image:
        image.save(path, exif=exif)


def test_photos_that_their_cameras_turned(leaves, capsys):
    said = "turned by the photo's EXIF tag: was the mask drawn on the turned photo?"
    turn(leaves / "images/3.png", 1)
    assert run("folder", "--data-dir", leaves) == 0
    assert said not in capsys.readouterr().out
    for number in (0, 1):
        turn(leaves / f"images/{number}.png", 3)
    turn(leaves / "masks/1.png", 3)
    for kind in ("images", "masks"):  # a square, turned by a quarter
        path = leaves / kind / "2.png"
        with Image.open(path) as image:
            image.crop((0, 0, 40, 40)).save(path)
    turn(leaves / "images/2.png", 6)
    assert run("folder", "--data-dir", leaves) == 0
    out = capsys.readouterr().out
    found = [line.split(": ")[-1] for line in out.splitlines() if said in line]
    # The mask of 1 is turned as well.
    assert sorted(", ".join(found).split(", ")) == ["0.png", "2.png"]


@pytest.mark.parametrize("quality", [75, 90])
def test_masks_of_few_ids_that_were_jpegs(quality, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = "labels change more at the borders of blocks of 8 pixels than elsewhere"
    write_leaves(tmp_path / "leaves", 8, 80, 60)
    assert run("folder", "--data-dir", "leaves") == 0
    assert said not in capsys.readouterr().out
    for path in (tmp_path / "leaves/masks").iterdir():
        memory = io.BytesIO()
        with Image.open(path) as mask:
            ids = np.where(np.asarray(mask) == 255, 0, np.asarray(mask))
        Image.fromarray(ids.astype(np.uint8)).save(memory, "JPEG", quality=quality)
        with Image.open(memory) as spoilt:
            spoilt.save(path)
    assert run("folder", "--data-dir", "leaves") == 0
    assert f"train: {said}" in capsys.readouterr().out


def test_long_edges_on_the_borders_of_blocks_are_no_jpeg():
    labels = np.zeros((480, 640), np.uint8)
    labels[240:] = 1  # 240 is a multiple of 8
    labels[:, 3:5] = labels[:, 99:105] = 2
    blocks = oddities.Blocks()
    for _ in range(5):
        blocks = blocks.with_mask(labels)
    assert blocks.on_grid[1] > 0.18 * blocks.changes[1] > 90
    assert not blocks.show()


def test_ids_of_the_files_are_called_so(leaves, capsys):
    (leaves / "classes.txt").write_text("0 ground\n1 leaf\n2 vein\n")
    assert run("folder", "--data-dir", leaves) == 0
    assert "beside the names: ids in the masks, colours" in capsys.readouterr().out
    entry = {"dataset": "folder", "data_dir": "leaves"}
    mix = {"sets": [entry], "classes": ["vein", "ground", "leaf"]}
    (leaves.parent / "mix.json").write_text(json.dumps(mix))
    assert run("mix", "--data-dir", "mix.json") == 0
    out = capsys.readouterr().out
    assert "vein" in out and "beside the names: ids, colours" in out


@pytest.mark.parametrize(
    ("sheet", "words"),
    [
        ("s.txt", "end its name in .png"),
        ("leaves/s.png", "would lie in the folder of the data"),
    ],
)
def test_sheets_that_cannot_be(sheet, words, leaves):
    with pytest.raises(UserError, match=words):
        run("folder", "--data-dir", leaves, "--sheet", sheet)


def test_the_data_folder_stays_as_it_is(leaves, monkeypatch):
    monkeypatch.chdir(leaves)
    with pytest.raises(UserError, match="name another place with --sheet"):
        run("folder", "--data-dir", ".")


def test_a_range_is_for_deep_images(leaves, capsys):
    assert run("folder", "--data-dir", leaves, "--range", "0-10") == 0
    out = capsys.readouterr().out
    assert "more than 8 bits" not in out
    assert "--range 0-10: no use, as the images have 8 bits" in out
    assert run("folder", "--data-dir", leaves) == 0
    assert "--range" not in capsys.readouterr().out


def test_pictures_can_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ("--write", "out", "--split=test", "--count=2")
    assert run("synthetic", *flags) == 0
    assert capsys.readouterr().out.split() == ["out/test_000.png", "out/test_001.png"]
    image, labels = datasets.load("synthetic", "test").read(1)
    with Image.open("out/test_001.png") as written:
        assert_array_equal(np.asarray(written), image)
    with Image.open("out/test_001_truth.png") as written:
        assert_array_equal(np.asarray(written), labels)
    with pytest.raises(UserError, match="--count: 101, must be 1 to 100, the number"):
        run("synthetic", *flags[:3], "--count=101")
    assert not list(tmp_path.glob("*.png")), "nothing was checked"
