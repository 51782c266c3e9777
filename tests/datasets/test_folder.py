"""`folder`: the layouts people use, and a line for every mistake they make."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.datasets import folder, registry
from segnet_tf.datasets.class_list import default_colours
from segnet_tf.datasets.dataset import MissingSplit
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError

CLASSES = "background 0 0 0\nleaf 0 200 0\nvein, 250 250 0\nvoid 255 255 255\n"
COLOURS = np.array([(0, 0, 0), (0, 200, 0), (250, 250, 0)], np.uint8)


def labels_of(number: int, shape=(6, 8)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 3, shape, np.uint8)


def save(path: Path, pixels, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)


def grey_rgb(number: int, shape=(6, 8)) -> np.ndarray:
    return np.full((*shape, 3), number, np.uint8)


def as_palette(labels: np.ndarray) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette(bytes(range(200, 209)))  # nothing like the classes' colours
    return image


def build(
    root: Path, stems=range(10), images="images", masks="masks", draw=None
) -> Path:
    """A folder whose image n is filled with the value n, and whose mask n is random."""
    for number, stem in enumerate(stems):
        save(root / images / f"{stem}.png", grey_rgb(number))
        save(root / masks / f"{stem}.png", (draw or (lambda m: m))(labels_of(number)))
    (root / "classes.txt").write_text(CLASSES, encoding="utf-8")
    return root


def refusal(root, split="train") -> str:
    with pytest.raises(UserError) as caught:
        for _ in registry.load("folder", split, root):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda labels: labels, id="grey"),
        pytest.param(as_palette, id="palette"),
        pytest.param(lambda labels: COLOURS[labels], id="rgb"),
    ],
)
def test_masks_of_every_kind(draw, tmp_path):
    build(tmp_path, draw=draw)
    for split in ("train", "val"):
        loaded = folder.load(split, tmp_path)
        for name, (image, labels) in zip(loaded.names, loaded, strict=True):
            number = int(Path(name).stem)
            assert_array_equal(image, grey_rgb(number))
            assert_array_equal(labels, labels_of(number))
            assert labels.dtype == image.dtype == np.uint8
    info = loaded.info
    assert info.classes == ("background", "leaf", "vein")
    assert info.colours == tuple(map(tuple, COLOURS.tolist()))
    assert (info.name, info.ignore_label, loaded.name) == ("folder", 255, "val")


def test_a_fifth_is_val_and_the_names_decide(tmp_path):
    build(tmp_path, stems=[f"shot {n}" for n in range(20)])
    train, val = (folder.load(split, tmp_path).names for split in ("train", "val"))
    assert len(val) == 4 and sorted(train + val) == sorted(set(train) | set(val))
    assert len(train) == 16
    assert val == folder.load("val", tmp_path).names
    # Not simply the first or last by name.
    assert set(val) not in (set(sorted(train + val)[:4]), set(sorted(train + val)[-4:]))
    # The names alone decide: in another folder, with other suffixes, it is the same.
    other = build(tmp_path / "other", stems=[f"shot {n}" for n in range(20)])
    for path in sorted((other / "images").iterdir(), reverse=True):
        path.rename(path.with_suffix(".PNG"))
    moved = folder.load("val", other).names
    assert [Path(n).stem for n in moved] == [Path(n).stem for n in val]


@pytest.mark.parametrize("layout", ["{kind}/{split}", "{split}/{kind}"])
def test_splits_in_folders(layout, tmp_path):
    places = {
        split: [layout.format(kind=kind, split=split) for kind in ("images", "masks")]
        for split in ("train", "test")
    }
    build(tmp_path, ["a", "b"], *places["train"])
    build(tmp_path, ["c"], *places["test"])
    assert folder.load("train", tmp_path).names == ("a.png", "b.png")
    assert folder.load("test", tmp_path).names == ("c.png",)
    assert "no split 'val'; it has train, test" in refusal(tmp_path, "val")


def test_a_list_of_names_is_a_split(tmp_path):
    build(tmp_path, ["a", "b b", "c"])
    listing = tmp_path / "mine.txt"
    listing.write_text("/elsewhere/c.png\n\nb b\n")
    loaded = folder.load(str(listing), tmp_path)
    assert loaded.names == ("c.png", "b b.png") and loaded.name == "mine"
    assert_array_equal(loaded.read(0)[1], labels_of(2))
    listing.write_text("d.png\n")
    assert f"{listing}: names d.png" in refusal(tmp_path, str(listing))
    listing.write_text("\n")
    assert "names no images" in refusal(tmp_path, str(listing))
    assert "no split 'dev'" in refusal(tmp_path, "dev")


def test_a_list_that_was_written_on_windows(tmp_path):
    build(tmp_path, ["a", "b", "c"])
    listing = tmp_path / "mine.txt"
    listing.write_bytes(b"images\\c.png\r\nC:\\my leaves\\images\\a.png\r\n")
    assert folder.load(str(listing), tmp_path).names == ("c.png", "a.png")


def test_what_is_no_image_is_passed_over(tmp_path):
    build(tmp_path, ["a", "b"])
    for name in (".DS_Store", "._a.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "images" / name).write_bytes(b"x")
    save(tmp_path / "masks" / "spare.png", labels_of(0))
    assert len(folder.load("train", tmp_path)) + len(folder.load("val", tmp_path)) == 2


def test_stems_are_compared_as_characters_not_bytes(tmp_path):
    build(tmp_path, ["gru\u0308n", "blau"])
    (tmp_path / "masks" / "gru\u0308n.png").rename(tmp_path / "masks" / "gr\u00fcn.png")
    assert len(folder.load("train", tmp_path)) == 1


def test_void_in_every_kind_of_mask(tmp_path):
    build(tmp_path, ["a", "b"], "images/train", "masks/train")
    grey = labels_of(0)
    grey[0] = 255
    rgb = COLOURS[labels_of(1)]
    rgb[0] = 255
    save(tmp_path / "masks/train/a.png", grey)
    save(tmp_path / "masks/train/b.png", rgb)
    for _, labels in folder.load("train", tmp_path):
        assert_array_equal(labels[0], 255)
        assert labels[1:].max() == 2


def test_classes_without_colours_get_some(tmp_path):
    build(tmp_path)
    names = "# mine\nbackground\n\ntraffic light\nclass 2\n"
    (tmp_path / "classes.txt").write_text("\ufeff" + names, encoding="utf-8")
    info = folder.load("train", tmp_path).info
    assert info.classes == ("background", "traffic light", "class 2")
    # The first colours of PASCAL VOC.
    assert info.colours == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert len(set(default_colours([str(n) for n in range(255)]))) == 255


# --- mistakes: what is done to a good folder, and what the line must say -------------


def colour_everything(root, colours):
    for number in range(10):
        save(
            root / "masks" / f"{number}.png", colours[labels_of(number) % len(colours)]
        )


def black_and_white(root, kind="L"):
    for number in range(10):
        mask = Image.fromarray((labels_of(number) > 0).astype(np.uint8) * 255)
        save(root / "masks" / f"{number}.png", mask.convert(kind))
    (root / "classes.txt").write_text("background\nleaf\n")


def one_id_too_high(root):
    mask = labels_of(3)
    mask[2, 2] = 4  # 3 is void's
    save(root / "masks" / "3.png", mask)


def several_masks(root):
    for path in list((root / "masks").iterdir()):
        save(path.with_name(f"{path.stem}_id.png"), labels_of(0))
        path.rename(path.with_name(f"{path.stem}_mask.png"))


def empty(root, name):
    for path in list((root / name).iterdir()):
        path.unlink()


MISTAKES = {
    "size": (
        lambda root: save(root / "masks/3.png", labels_of(3, (8, 6))),
        ["masks/3.png: 6x8, but 3.png is 8x6"],
    ),
    "id out of range": (one_id_too_high, ["masks/3.png: class id 4", "0 to 2"]),
    "0 and 255": (black_and_white, ["masks/", ".png: only 0 and 255", "0 and 1"]),
    "0 and 255 as rgb": (
        lambda root: black_and_white(root, "RGB"),
        [".png: only 0 and 255", "classes.txt"],
    ),
    "missing mask": (
        lambda root: (root / "masks/3.png").unlink(),
        ["images/3.png: has no mask", "masks/3.png"],
    ),
    "two missing masks": (
        lambda root: [(root / f"masks/{n}.png").unlink() for n in (3, 5)],
        ["images/3.png: has no mask", "and 1 more"],
    ),
    "several masks of each image": (
        several_masks,
        ["masks: has several masks of each image", "_mask", "_id", "--mask-suffix"],
    ),
    "no image": (
        lambda root: empty(root, "images"),
        ["images: no images in it with masks in"],
    ),
    "no mask at all": (
        lambda root: empty(root, "masks"),
        ["images: no images in it with masks in"],
    ),
    "text called png": (
        lambda root: (root / "images/3.png").write_text("hello"),
        ["images/3.png: not an image"],
    ),
    "damaged mask": (
        lambda root: (root / "masks/3.png").write_bytes(
            (root / "masks/3.png").read_bytes()[:-30]
        ),
        ["masks/3.png: damaged"],
    ),
    "duplicate image": (
        lambda root: save(root / "images/3.jpg", grey_rgb(3)),
        ["images/3.png: same stem as 3.jpg"],
    ),
    "duplicate mask": (
        lambda root: save(root / "masks/3.tif", labels_of(3)),
        ["masks/3.tif: same stem as 3.png"],
    ),
    "jpeg mask": (
        lambda root: [
            save(root / "masks/3.JPG", labels_of(3), format="JPEG"),
            (root / "masks/3.png").unlink(),
        ],
        ["masks/3.JPG: JPEG changes the ids"],
    ),
    "jpeg mask under another name": (
        lambda root: save(root / "masks/3.png", labels_of(3), format="JPEG"),
        ["masks/3.png: JPEG changes the ids"],
    ),
    "unknown colours": (
        lambda root: colour_everything(root, COLOURS + np.uint8(1)),
        ["masks/", ".png: colour (", "not in the colour table"],
    ),
    "colours and none in classes.txt": (
        lambda root: [
            colour_everything(root, COLOURS),
            (root / "classes.txt").write_text("background\nleaf\nvein\n"),
        ],
        ["masks/", "no colour table"],
    ),
    "no classes.txt": (
        lambda root: (root / "classes.txt").unlink(),
        ["classes.txt: no such file"],
    ),
    "empty classes.txt": (
        lambda root: (root / "classes.txt").write_text("# nothing\n"),
        ["classes.txt: 0 classes"],
    ),
    "some colours": (
        lambda root: (root / "classes.txt").write_text("a 1 2 3\nb\n"),
        ["classes.txt: line 2", "'b' has no colour", "a colour, or none"],
    ),
    "colour too high": (
        lambda root: (root / "classes.txt").write_text("a 1 2 300\n"),
        ["classes.txt: line 1, 'a 1 2 300'"],
    ),
    "class twice": (
        lambda root: (root / "classes.txt").write_text("a\nb\na\n"),
        ["classes.txt: line 3, 'a'"],
    ),
    "colour twice": (
        lambda root: (root / "classes.txt").write_text("a 1 2 3\nb 1 2 3\n"),
        ["classes.txt: line 2"],
    ),
    "ids from 1 in the list": (
        lambda root: (root / "classes.txt").write_text("1: ground\n2: car\n"),
        [".png: class id 0, but classes.txt has the ids 1, 2", "--ignore 0"],
    ),
    "ids from 1 in the masks": (
        lambda root: [
            (root / "classes.txt").write_text("a\nb\nc\n"),
            *(
                save(root / f"masks/{n}.png", labels_of(n) + np.uint8(1))
                for n in range(10)
            ),
        ],
        [".png: class id 3", "if ids count from 1"],
    ),
    "ids with a gap": (
        lambda root: (root / "classes.txt").write_text("0 a\n# no 1\n2 b # so\n"),
        [".png: class id 1, but classes.txt has the ids 0, 2"],
    ),
    "classes.txt not text": (
        lambda root: (root / "classes.txt").write_bytes(b"\xff\xfe\0a"),
        ["save it as UTF-8"],
    ),
    "no images folder": (
        lambda root: (root / "images").rename(root / "pictures"),
        ["has no folder images/"],
    ),
    "no masks folder": (
        lambda root: (root / "masks").rename(root / "truth"),
        ["images: no images in it with masks in", "--masks"],
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_every_mistake_gets_a_line(kind, tmp_path):
    build(tmp_path)
    spoil, words = MISTAKES[kind]
    # All images in train, so that the spoilt one is in the split that is read.
    spoil(tmp_path)
    split = tmp_path / "all.txt"
    split.write_text("".join(f"{number}\n" for number in range(10)))
    message = refusal(tmp_path, str(split))
    assert str(tmp_path) in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("kind", ["L", "1", "RGB"])
def test_both_ways_out_that_black_and_white_masks_are_told(kind, tmp_path):
    build(tmp_path)
    black_and_white(tmp_path, "L" if kind == "1" else kind)  # 1 bit has no 255
    assert "save the ids 0 and 1, or write their colours after" in refusal(tmp_path)
    black_and_white(tmp_path, kind)
    (tmp_path / "classes.txt").write_text("background 0 0 0\nleaf 255 255 255\n")
    by_colour = [labels for _, labels in folder.load("train", tmp_path)]
    for path in (tmp_path / "masks").iterdir():
        save(path, (np.asarray(Image.open(path).convert("L")) > 0).astype(np.uint8))
    assert "leave the colours out" in refusal(tmp_path)
    (tmp_path / "classes.txt").write_text("background\nleaf\n")
    by_id = [labels for _, labels in folder.load("train", tmp_path)]
    assert_array_equal(by_colour, by_id)
    assert set(np.unique(by_id)) == {0, 1}


def test_a_black_and_white_palette_asks_for_rgb(tmp_path):
    build(tmp_path)
    black_and_white(tmp_path, "P")  # whose indices are 0 and 255
    (tmp_path / "classes.txt").write_text("background 0 0 0\nleaf 255 255 255\n")
    assert "index 255 has the colour of class 1" in refusal(tmp_path)


def test_black_and_white_masks_beside_other_colours(tmp_path):
    build(tmp_path)
    black_and_white(tmp_path)
    (tmp_path / "classes.txt").write_text("background 0 0 0\nleaf 9 99 9\n")
    assert "or RGB masks in the colours of classes.txt" in refusal(tmp_path)


@pytest.mark.parametrize("kind", ["L", "RGB"])
def test_a_white_void_leaves_grey_masks_their_ids(kind, tmp_path):
    def draw(labels):
        return Image.fromarray(np.where(labels == 1, 255, labels)).convert(kind)

    build(tmp_path, draw=draw)
    (tmp_path / "classes.txt").write_text("a\nb\nc\nvoid 255 255 255\n")
    train = folder.load("train", tmp_path)
    for index, name in enumerate(train.names):
        labels = labels_of(int(Path(name).stem))
        assert_array_equal(train.read(index)[1], np.where(labels == 1, 255, labels))


def test_one_class_and_void_is_no_mistake(tmp_path):
    build(tmp_path, draw=lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8))
    (tmp_path / "classes.txt").write_text("leaf\n")
    assert set(np.unique(folder.load("val", tmp_path).read(0)[1])) == {0, 255}


def test_one_black_mask_among_good_ones_is_no_mistake(tmp_path):
    build(tmp_path)
    mask = np.zeros((6, 8), np.uint8)
    mask[0] = 255
    save(tmp_path / "masks" / "3.png", mask)
    assert len(folder.load("train", tmp_path)) + len(folder.load("val", tmp_path)) == 10


def test_what_is_wrong_with_all_is_said_at_once(tmp_path):
    build(tmp_path)
    for path in (tmp_path / "masks").iterdir():
        save(path, labels_of(0, (5, 5)))
    with pytest.raises(UserError, match="5x5, but"):
        folder.load("train", tmp_path)


def test_too_little_to_split(tmp_path):
    build(tmp_path, ["a"])
    assert "1 image(s) give no 'val'" in refusal(tmp_path, "val")
    build(tmp_path, ["a", "b", "c"])
    assert "no 'test'" in refusal(tmp_path, "test")


def test_a_split_that_is_not_there_is_told_from_a_mistake(tmp_path):
    build(tmp_path, ["a"], "images/train", "masks/train")
    with pytest.raises(MissingSplit, match="no split 'val'; it has train"):
        folder.load("val", tmp_path)
    with pytest.raises(MissingSplit, match="no 'test'"):
        folder.load("test", build(tmp_path / "unsplit"))


@pytest.mark.parametrize("place", ["images/valid", "valid/images", "images/Val"])
def test_other_names_of_a_split(place, tmp_path):
    build(tmp_path, ["a"], "images/train", "masks/train")
    build(tmp_path, ["b"], place, place.replace("images", "masks"))
    assert folder.load("val", tmp_path).names == ("b.png",)
    assert folder.load("train", tmp_path).names == ("a.png",)


def test_a_split_whose_masks_are_elsewhere(tmp_path):
    build(tmp_path, ["a"], "images/train", "masks/train")
    build(tmp_path, ["b"], "images/val", "masks/other")
    # Without this line, training would go on without validation.
    assert "images/val: has images, but there are no labels" in refusal(tmp_path)
    (tmp_path / "images/val").rename(tmp_path / "images/test")
    assert len(folder.load("train", tmp_path)) == 1
    with pytest.raises(MissingSplit, match="no split 'test'"):
        folder.load("test", tmp_path)


def test_two_folders_of_one_split(tmp_path):
    build(tmp_path, ["a"], "images/val", "masks/val")
    build(tmp_path, ["b"], "images/valid", "masks/valid")
    assert "are both val" in refusal(tmp_path, "val")


def test_folders_of_images_that_are_no_splits(tmp_path):
    build(tmp_path, ["a"], "images/monday", "masks/monday")
    assert "of the folders in it, only train, val, test are read" in refusal(tmp_path)


def test_no_folder_given_or_there(tmp_path):
    assert "--data-dir" in refusal(None)
    assert "no such folder" in refusal(tmp_path / "nowhere")


# --- names that differ, and what is left out -----------------------------------------


def whole(root) -> dict[str, np.ndarray]:
    """Name of the image -> labels, in all splits."""
    splits = [registry.load("folder", split, root) for split in ("train", "val")]
    return {
        name: labels
        for split in splits
        for name, (_, labels) in zip(split.names, split, strict=True)
    }


@pytest.mark.parametrize(
    ("image", "mask", "said"),
    [
        ("image_{:03}", "mask_{:03}", True),
        ("IMG{:03}", "label{:03}", True),
        ("{}_rgb", "{}_labels", True),
        ("street {} left", "street {} left gt", False),
        ("{:03}", "seg-{:03}", True),
        ("photo_{:03}", "{:03}", True),
        ("A{}", "a{}", False),
        ("A{}", "a{}_MASK", False),
    ],
)
def test_names_that_differ_in_a_word_or_in_case(image, mask, said, tmp_path):
    build(tmp_path, [image.format(number) for number in range(10)])
    for number in range(10):
        path = tmp_path / "masks" / f"{image.format(number)}.png"
        path.rename(path.with_name(f"{mask.format(number)}.png"))
    found = whole(tmp_path)
    assert len(found) == 10
    for number in range(10):
        labels = found[f"{image.format(number)}.png"]
        assert_array_equal(labels, labels_of(number))
    remarks = registry.load("folder", "train", tmp_path).remarks()
    line = f"names differ: {mask.format(0)}.png is the mask of {image.format(0)}.png"
    assert (line in remarks) == said


@pytest.mark.parametrize(
    ("image", "mask"), [("aachen_{:03}", "bonn_{:03}"), ("left{}", "right{}")]
)
def test_names_that_differ_in_any_word_are_not_taken_for_the_same(
    image, mask, tmp_path
):
    build(tmp_path, [image.format(number) for number in range(10)])
    for number in range(10):
        path = tmp_path / "masks" / f"{image.format(number)}.png"
        path.rename(path.with_name(f"{mask.format(number)}.png"))
    message = refusal(tmp_path)
    assert "has no mask" in message and f"is it {mask.format(0)[:4]}" in message


def test_names_that_differ_in_case_alone_stay_apart(tmp_path):
    build(tmp_path, ["a1", "A1", "b1"])
    assert {name: labels.tolist() for name, labels in whole(tmp_path).items()} == {
        f"{stem}.png": labels_of(number).tolist()
        for number, stem in enumerate(["a1", "A1", "b1"])
    }


def test_one_missing_mask_among_names_that_differ(tmp_path):
    build(tmp_path, [f"image_{number}" for number in range(10)])
    for path in list((tmp_path / "masks").iterdir()):
        path.rename(path.with_name(path.name.replace("image", "mask")))
    (tmp_path / "masks/mask_3.png").unlink()
    assert "image_3.png: has no mask" in refusal(tmp_path)
    assert "masks/mask_3.png" in refusal(tmp_path)


def test_label_studios_brush_masks(tmp_path):
    build(tmp_path, range(10))
    for path in list((tmp_path / "masks").iterdir()):
        path.rename(path.with_name(f"task-{path.stem}-annotation-1-by-1-tag-a-0.png"))
    assert "is Label Studio's, one file for each label: export COCO" in refusal(
        tmp_path
    )


def left_out(root) -> list[str]:
    return list(registry.load("folder", "train", root).remarks()[1:])


def test_what_is_left_out_is_counted(tmp_path):
    build(tmp_path, ["a", "b", "c"], "images/train", "masks/train")
    build(tmp_path, ["d"], "images/val", "masks/val")
    rest = left_out(tmp_path)
    assert not any("image" in line for line in rest)
    save(tmp_path / "masks/train/e.png", labels_of(0))
    save(tmp_path / "masks/val/f.png", labels_of(0))
    save(tmp_path / "images/loose.png", grey_rgb(0))
    save(tmp_path / "images/Train2/x.png", grey_rgb(0))
    save(tmp_path / "images/train/more/y.png", grey_rgb(0))
    save(tmp_path / "images/.thumbnails/y.png", grey_rgb(0))
    save(tmp_path / "predictions/z.png", grey_rgb(0))
    (tmp_path / "images/notes.txt").write_text("no image")
    images = tmp_path / "images"
    assert [line for line in left_out(tmp_path) if line not in rest] == [
        "2 masks have no image, such as e.png",
        f"3 images in other folders are left out: {images}, {images / 'Train2'}, "
        f"{images / 'train/more'}",
    ]


def test_pages_that_are_left_out(tmp_path):
    build(tmp_path, ["a", "b", "c"])
    before = left_out(tmp_path)
    pages = [Image.fromarray(grey_rgb(number)) for number in range(2)]
    small = Image.fromarray(grey_rgb(0, (3, 4)))
    for stem in "abc":
        (tmp_path / f"images/{stem}.png").unlink()
        pages[0].save(
            tmp_path / f"images/{stem}.tif", save_all=True, append_images=[pages[1]]
        )
    (line,) = [line for line in left_out(tmp_path) if line not in before]
    assert line.startswith("2 TIFF files have several pages, of which the first one")
    # Overviews, as maps have them, are the same picture.
    for stem in "abc":
        small.encoderinfo = {"tiffinfo": {254: 1}}
        pages[0].save(
            tmp_path / f"images/{stem}.tif", save_all=True, append_images=[small]
        )
    assert left_out(tmp_path) == before


def test_a_class_list_that_is_named(tmp_path, monkeypatch):
    data = build(tmp_path / "data")
    (data / "classes.txt").rename(data / "names.csv")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def classes(name):
        split = folder.load("train", data, reading=Reading(classes=name))
        return split.info.classes, split.remarks()[0]

    names, remark = classes("names.csv")
    assert names == ("background", "leaf", "vein")
    assert f"classes from {data / 'names.csv'}" in remark
    (here / "other.csv").write_text("ground\nleaf\nvein\n")
    assert classes("other.csv")[0] == classes(str(here / "other.csv"))[0]
    assert classes("other.csv")[0][0] == "ground"
    (here / "names.csv").write_text("ground\nleaf\nvein\n")
    with pytest.raises(UserError, match="names.csv differ: give the whole path"):
        classes("names.csv")
    assert classes(str(data / "names.csv"))[0] == names
    with pytest.raises(UserError, match="none.csv: no such file"):
        classes("none.csv")


def test_a_class_list_around_the_data(tmp_path):
    inner = build(tmp_path / "outer/inner")
    (inner / "classes.txt").rename(tmp_path / "outer/class_dict.csv")
    found = folder.load("train", tmp_path / "outer")
    assert found.info.classes == ("background", "leaf", "vein")
    message = refusal(inner)
    assert f"is it {tmp_path / 'outer/class_dict.csv'}? Name it with --cl" in message
    (tmp_path / "outer/class_dict.csv").rename(inner / "masks/classes.txt")
    assert folder.load("train", inner).info.classes == found.info.classes


def test_images_and_masks_of_one_name_in_one_folder(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.jpg", grey_rgb(number))
        save(tmp_path / f"{number}.png", labels_of(number))
    assert "an end of their own, such as leaf_mask.png" in refusal(tmp_path)
