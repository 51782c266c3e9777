"""Layouts as data sets are downloaded in: recognised, named, read without a change."""

import base64
import csv
import io
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, ImageDraw

from segnet_tf.datasets import folder, registry
from segnet_tf.datasets.annotations import draw_labelme, labelme_classes
from segnet_tf.datasets.dataset import MissingSplit
from segnet_tf.datasets.finding import find
from segnet_tf.datasets.layouts import LAYOUTS
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError

SHAPE = (12, 16)
COLOURS = np.array([(0, 0, 0), (0, 200, 0), (250, 250, 0)], np.uint8)
NAMES = ("ground", "leaf", "stem")


def labels_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 3, SHAPE, np.uint8)


def put(path: Path, pixels, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path, **options)


def photo(path: Path, number: int) -> None:
    put(path, np.full((*SHAPE, 3), number, np.uint8))


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def class_dict(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "r", "g", "b"])
        writer.writerows(
            [name, *colour] for name, colour in zip(NAMES, COLOURS, strict=True)
        )


def plain(root, images, masks, end="", classes="classes.txt"):
    """Pictures 0 and 1 in train, 2 in val; masks of ids."""
    for number, split in enumerate(["train", "train", "val"]):
        photo(root / images.format(split) / f"p{number}.png", number)
        put(root / masks.format(split) / f"p{number}{end}.png", labels_of(number))
    text(root / classes, "\n".join(NAMES))


def kaggle(root):
    for number, split in enumerate(["train", "train", "val", "test"]):
        photo(root / "CamVid" / split / f"p{number}.png", number)
        put(
            root / "CamVid" / f"{split}_labels" / f"p{number}_L.png",
            COLOURS[labels_of(number)],
        )
    class_dict(root / "CamVid" / "class_dict.csv")


def fast_ai(root):
    for number in range(3):
        photo(root / "images" / f"p{number}.png", number)
        put(root / "labels" / f"p{number}_P.png", labels_of(number))
    text(root / "codes.txt", "\n".join(NAMES))
    text(root / "valid.txt", "p2.png\n")


def voc(root):
    for number in range(4):
        photo(root / "JPEGImages" / f"p{number}.png", number)
    for number in range(3):  # the last one has no mask, and no list names it
        mask = Image.fromarray(labels_of(number))
        mask.putpalette(COLOURS.tobytes())
        path = root / "SegmentationClass" / f"p{number}.png"
        path.parent.mkdir(exist_ok=True)
        mask.save(path)
    lists = root / "ImageSets" / "Segmentation"
    text(lists / "train.txt", "p0\np1\n")
    text(lists / "val.txt", "p2\n")
    text(lists / "trainval.txt", "p0\np1\np2\n")


def cityscapes(root):
    ids = np.array([7, 11, 26], np.uint8)
    for number, place in enumerate(["train/aachen", "train/bonn", "val/ulm"]):
        city = place.split("/")[1]
        name = f"{city}_00000{number}_000019"
        photo(root / "leftImg8bit" / place / f"{name}_leftImg8bit.png", number)
        masks = root / "gtFine" / place
        pixels = ids[labels_of(number)]
        pixels[0] = 1  # ego vehicle, which is not scored
        put(masks / f"{name}_gtFine_labelIds.png", pixels)
        put(masks / f"{name}_gtFine_instanceIds.png", pixels)
        put(masks / f"{name}_gtFine_color.png", COLOURS[labels_of(number)])
    # The labels of test are not public.
    photo(root / "leftImg8bit/test/berlin/berlin_0_leftImg8bit.png", 9)


def train_ids(root):
    cityscapes(root)
    ids = np.array([0, 2, 13], np.uint8)
    for path in list((root / "gtFine").rglob("*_labelIds.png")):
        number = int(path.name.split("_")[1])
        pixels = ids[labels_of(number)]
        pixels[0] = 255
        put(path.with_name(path.name.replace("labelIds", "labelTrainIds")), pixels)
        path.unlink()


def beside(root, place="{}", end="", mask_end="_mask"):
    for number, split in enumerate(["train", "train", "val"]):
        photo(root / place.format(split) / f"p{number}{end}.jpg", number)
        put(root / place.format(split) / f"p{number}{mask_end}.png", labels_of(number))
    text(root / "classes.txt", "\n".join(NAMES))


def roboflow(root):
    for number, split in enumerate(["train", "train", "valid"]):
        name = f"p{number}_png.rf.0f{number}"
        photo(root / split / f"{name}.jpg", number)
        put(root / split / f"{name}_mask.png", labels_of(number))
        text(
            root / split / "_classes.csv",
            "Pixel Value, Class\n"
            + "".join(f"{index}, {name}\n" for index, name in enumerate(NAMES)),
        )


MADE = {
    "images/ and masks/": lambda root: plain(root, "images/{}", "masks/{}"),
    "images/ and masks/, around": lambda root: plain(root, "{}/images", "{}/masks"),
    "images/ and masks/, a suffix": lambda root: plain(
        root, "Images/{}", "Masks/{}", "_mask"
    ),
    "images/ and annotations/": lambda root: plain(root, "images/{}", "annotations/{}"),
    "Kaggle's CamVid": kaggle,
    "images/ and labels/": fast_ai,
    "Pascal VOC": voc,
    "keras-segmentation": lambda root: plain(
        root, "images_prepped_{}", "annotations_prepped_{}"
    ),
    "Cityscapes": cityscapes,
    "Cityscapes' train ids": train_ids,
    "Roboflow's masks": roboflow,
    "masks beside their images": beside,
    "masks beside their images, in images/": lambda root: beside(
        root, "images/{}", mask_end="_gt"
    ),
    "DeepGlobe": lambda root: beside(root, "{}", end="_sat"),
}


def numbers(split) -> list[int]:
    return [int(image[0, 0, 0]) for image, _ in split]


def listing(root: Path) -> dict[str, bytes]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", MADE)
def test_a_layout_is_recognised_and_read(kind, tmp_path):
    MADE[kind](tmp_path)
    before = listing(tmp_path)
    train = registry.load("folder", "train", tmp_path)
    val = registry.load("folder", "val", tmp_path)
    assert (numbers(train), numbers(val)) == ([0, 1], [2])
    for number, (_, labels) in zip([0, 1, 2], [*train, *val], strict=True):
        expected = labels_of(number)
        if kind.startswith("Cityscapes"):
            # Road, building and car are the classes 0, 2 and 13 of the 19.
            expected = np.array([0, 2, 13], np.uint8)[expected]
            expected[0] = 255
        assert_array_equal(labels, expected)
    names = train.info.classes
    assert (
        names[:3] == NAMES
        or len(names)
        == {"Pascal VOC": 21, "Cityscapes": 19, "Cityscapes' train ids": 19}[kind]
    )
    remark = train.remarks()[0]
    assert f"layout {kind.split(',')[0]}" in remark and "classes from" in remark
    assert listing(tmp_path) == before, "nothing is written into the data"


def test_cityscapes_without_ids(tmp_path):
    cityscapes(tmp_path)
    for path in list((tmp_path / "gtFine").rglob("*_labelIds.png")):
        path.unlink()
    with pytest.raises(UserError, match="end in _gtFine_labelIds or _gtFine_labelTr"):
        folder.load("train", tmp_path)


def test_cities_without_masks(tmp_path):
    """Those of another city, of the same number, are not taken."""
    cityscapes(tmp_path)
    (tmp_path / "gtFine/train/bonn").rename(tmp_path / "gtFine/val/bonn")
    with pytest.raises(UserError, match="train/bonn: has images, but there are no"):
        folder.load("train", tmp_path)


def test_kaggles_test_split(tmp_path):
    kaggle(tmp_path)
    assert numbers(registry.load("folder", "test", tmp_path)) == [3]


def test_colours_of_the_class_list_are_drawn(tmp_path):
    kaggle(tmp_path)
    info = folder.load("train", tmp_path).info
    assert info.colours == tuple(map(tuple, COLOURS.tolist()))


def test_folders_that_are_named(tmp_path):
    plain(tmp_path, "in/deep", "out", "-gt", classes="names/list.csv")
    with pytest.raises(UserError, match="--images and --masks"):
        folder.load("train", tmp_path)
    reading = Reading(
        images="in/deep", masks="out", classes=str(tmp_path / "names/list.csv")
    )
    found = [folder.load(s, tmp_path, reading=reading) for s in ("train", "val")]
    assert sorted(numbers(found[0]) + numbers(found[1])) == [0, 1, 2]
    exact = folder.load(
        "train",
        tmp_path,
        reading=Reading("in/deep", "out", "-gt", reading.classes),
    )
    assert exact.names == found[0].names
    with pytest.raises(UserError, match="no such folder"):
        folder.load("train", tmp_path, reading=Reading(images="nowhere"))
    with pytest.raises(UserError, match="has no mask .*p0_x.png"):
        folder.load("train", tmp_path, reading=Reading("in/deep", "out", "_x",
            reading.classes))  # fmt: skip


def test_the_suffix_chooses_among_several_masks(tmp_path):
    fast_ai(tmp_path)
    for number in range(3):
        put(tmp_path / "labels" / f"p{number}_X.png", labels_of(number + 5))
    with pytest.raises(UserError, match="_P and in _X: choose with --mask-suffix"):
        folder.load("train", tmp_path)
    reading = Reading(masks="labels", mask_suffix="_X")
    for split in ("train", "val"):
        for image, labels in folder.load(split, tmp_path, reading=reading):
            assert_array_equal(labels, labels_of(int(image[0, 0, 0]) + 5))


def unsplit(root, count=10):
    for number in range(count):
        photo(root / "images" / f"p{number}.png", number)
        put(root / "masks" / f"p{number}.png", labels_of(number))
    text(root / "classes.txt", "\n".join(NAMES))


def loaded(root) -> dict[str, list[int]]:
    found = {}
    for split in ("train", "val", "test"):
        try:
            found[split] = sorted(numbers(folder.load(split, root)))
        except MissingSplit:
            pass
    return found


def test_lists_of_the_splits(tmp_path):
    unsplit(tmp_path)
    text(tmp_path / "val.txt", "p1.png\np2\n")
    assert loaded(tmp_path) == {"train": [0, 3, 4, 5, 6, 7, 8, 9], "val": [1, 2]}
    text(tmp_path / "test.txt", "images\\p0.png\n")
    assert loaded(tmp_path) == {
        "train": [3, 4, 5, 6, 7, 8, 9],
        "val": [1, 2],
        "test": [0],
    }
    (tmp_path / "val.txt").unlink()
    text(tmp_path / "train.txt", "p5\np6\n")
    assert loaded(tmp_path) == {
        "train": [5, 6], "val": [1, 2, 3, 4, 7, 8, 9], "test": [0],
    }  # fmt: skip
    (tmp_path / "train.txt").unlink()
    found = loaded(tmp_path)
    assert 0 not in found["train"] + found["val"] and len(found["val"]) == 2
    text(tmp_path / "trainval.txt", "".join(f"p{n}\n" for n in range(5, 10)))
    found = loaded(tmp_path)
    assert sorted(found["train"] + found["val"]) == [5, 6, 7, 8, 9]


def test_lists_that_contradict(tmp_path):
    unsplit(tmp_path)
    everything = "".join(f"p{n}\n" for n in range(10))
    text(tmp_path / "val.txt", everything)
    with pytest.raises(UserError, match="the lists leave no image to train"):
        folder.load("train", tmp_path)
    text(tmp_path / "valid.txt", "p1\n")
    with pytest.raises(UserError, match="valid.txt both list val"):
        folder.load("train", tmp_path)


@pytest.mark.parametrize("name", ["photos/", "./photos", "photos [2020]", "absolute"])
def test_ways_to_name_a_folder(name, tmp_path):
    unsplit(tmp_path)
    (tmp_path / "images").rename(tmp_path / name.strip("./").replace("absolute", "x"))
    given = str(tmp_path / "x") if name == "absolute" else name
    split = folder.load("train", tmp_path, reading=Reading(images=given))
    assert len(split) == 8


def test_class_files_that_differ_or_have_another_name(tmp_path):
    MADE["Roboflow's masks"](tmp_path)
    text(tmp_path / "valid/_classes.csv", "Pixel Value, Class\n0, a\n1, b\n2, c\n")
    with pytest.raises(UserError, match="_classes.csv differ: choose with --classes"):
        folder.load("train", tmp_path)
    voc(tmp_path / "voc")
    text(tmp_path / "voc/our-classes.txt", "\n".join(NAMES))
    with pytest.raises(UserError, match="our-classes.txt: a list of classes. Name it"):
        folder.load("train", tmp_path / "voc")
    reading = Reading(classes=str(tmp_path / "voc/our-classes.txt"))
    named = folder.load("train", tmp_path / "voc", reading=reading)
    assert named.info.classes == NAMES
    (tmp_path / "voc/our-classes.txt").rename(tmp_path / "voc/Class_Names.txt")
    assert folder.load("train", tmp_path / "voc").info.classes == NAMES


def test_ids_that_voc_does_not_have(tmp_path):
    voc(tmp_path)
    put(tmp_path / "SegmentationClass/p2.png", labels_of(2) + np.uint8(21))
    with pytest.raises(UserError, match="class id 23, but the class list of Pascal"):
        folder.load("val", tmp_path)


def test_two_layouts_at_once(tmp_path):
    plain(tmp_path, "images/{}", "masks/{}")
    plain(tmp_path, "images/{}", "annotations/{}")
    with pytest.raises(UserError, match="fits several layouts .*--images"):
        find(tmp_path)


def test_no_list_of_classes(tmp_path):
    MADE["keras-segmentation"](tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(UserError, match="classes.txt: no such file: .*--classes"):
        folder.load("train", tmp_path)


def test_all_missing_masks_are_listed(tmp_path):
    plain(tmp_path, "images/{}", "masks/{}")
    for number in (5, 6):
        photo(tmp_path / "images/train" / f"p{number}.png", number)
    split = registry.load("folder", "train", tmp_path, faulty=True)
    assert len(split.faults) == 2 and len(split) == 4
    for index, name in enumerate(split.names):
        if name in ("p5.png", "p6.png"):
            with pytest.raises(UserError, match=f"{name}: has no mask"):
                split.read(index)
    with pytest.raises(UserError, match="p5.png: has no mask.*and 1 more"):
        registry.load("folder", "train", tmp_path)


# --- annotations ---------------------------------------------------------------------


def squares(number: int) -> list[tuple[str, list[tuple[int, int]]]]:
    """A leaf and, inside it, a smaller stem: names and corners."""
    left = 1 + number
    leaf = [(left, 1), (left + 8, 1), (left + 8, 9), (left, 9)]
    stem = [(left + 2, 3), (left + 5, 3), (left + 5, 6), (left + 2, 6)]
    return [("stem", stem), ("leaf", leaf)]


def drawn(
    number: int, names=("background", "leaf", "stem"), rest: int = 0
) -> np.ndarray:
    """The labels of `squares` as Pillow draws them, corners included."""
    mask = Image.new("L", SHAPE[::-1], rest)
    for name, corners in reversed(squares(number)):
        ImageDraw.Draw(mask).polygon(corners, fill=names.index(name))
    return np.asarray(mask)


def labelme(root, place="{}"):
    for number, split in enumerate(["train", "train", "val"]):
        path = root / place.format(split) / f"p{number}.png"
        photo(path, number)
        shapes = [
            {"label": name, "points": corners, "shape_type": "polygon"}
            for name, corners in squares(number)
        ]
        content = {"shapes": shapes, "imageWidth": SHAPE[1], "imageHeight": SHAPE[0]}
        text(path.with_suffix(".json"), json.dumps(content))


@pytest.mark.parametrize("place", ["{}", "images/{}", "{}/images"])
def test_labelme(place, tmp_path):
    labelme(tmp_path, place)
    photo(tmp_path / place.format("train") / "not labelled yet.png", 9)
    train = registry.load("folder", "train", tmp_path)
    assert numbers(train) == [0, 1] and train.info.classes == (
        "background",
        "leaf",
        "stem",
    )
    for number, (_, labels) in enumerate(train):
        assert_array_equal(labels, drawn(number))
    assert "1 images without labels are left out" in train.remarks()


@pytest.mark.parametrize("name", ["annotations", "labels"])
def test_labelme_in_a_folder_of_its_own(name, tmp_path):
    labelme(tmp_path, "images")
    (tmp_path / name).mkdir()
    for path in list((tmp_path / "images").glob("*.json")):
        path.rename(tmp_path / name / path.name)
    for split in ("train", "val"):
        for image, labels in registry.load("folder", split, tmp_path):
            assert_array_equal(labels, drawn(int(image[0, 0, 0])))


def test_labelme_with_a_list(tmp_path):
    labelme(tmp_path)
    text(tmp_path / "labels.txt", "__ignore__\n_background_\nstem\nleaf\n")
    split = registry.load("folder", "val", tmp_path)
    assert split.info.classes == ("_background_", "stem", "leaf")
    assert_array_equal(split.read(0)[1], drawn(2, ("background", "stem", "leaf")))
    text(tmp_path / "labels.txt", "_background_\nstem\n")
    with pytest.raises(UserError, match="p2.json: label 'leaf' is no class"):
        registry.load("folder", "val", tmp_path)


def test_other_shapes_of_labelme(tmp_path):
    labelme(tmp_path)
    path = tmp_path / "val/p2.json"
    content = json.loads(path.read_text())
    content["shapes"] = [
        {"label": "leaf", "points": [[9, 8], [2, 3]], "shape_type": "rectangle"},
        {"label": "stem", "points": [[13, 5], [13, 7]], "shape_type": "circle"},
    ]
    path.write_text(json.dumps(content))
    labels = registry.load("folder", "val", tmp_path).read(0)[1]
    assert (labels[3:9, 2:10] == 1).all() and (labels == 1).sum() == 48
    assert labels[5, 13] == 2 and 9 <= (labels == 2).sum() <= 21
    memory = io.BytesIO()
    own = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
    Image.fromarray(own).save(memory, "PNG")
    mask = {
        "label": "stem",
        "points": [[14, 10], [16, 11]],  # one column beyond the image
        "shape_type": "mask",
        "mask": base64.b64encode(memory.getvalue()).decode(),
    }
    path.write_text(json.dumps({**content, "shapes": [mask]}))
    labels = registry.load("folder", "val", tmp_path).read(0)[1]
    assert_array_equal(labels[10:, 14:], 2 * own[:, :2])
    assert (labels > 0).sum() == 2
    wide = {**mask, "points": [[5, 5], [15, 11]]}
    path.write_text(json.dumps({**content, "shapes": [wide]}))
    with pytest.raises(UserError, match="a mask of 3x2 pixels between points 11x7"):
        registry.load("folder", "val", tmp_path)
    path.write_text(json.dumps({**content, "shapes": [{**mask, "mask": "iVBO"}]}))
    with pytest.raises(UserError, match="p2.json: a mask is no readable PNG"):
        registry.load("folder", "val", tmp_path)
    content["shapes"][0]["shape_type"] = "line"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="p2.json: 'leaf' is a line of 2 point"):
        registry.load("folder", "val", tmp_path)
    path.write_text("{}")
    with pytest.raises(UserError, match="p2.json: no labelme annotations"):
        registry.load("folder", "val", tmp_path)


def coco(root, images, file):
    """One file a split; p0 in polygons, p1 in lists of runs, p2 in coded runs."""
    coco_mask = pytest.importorskip("pycocotools.mask")
    files = {}
    for number, split in enumerate(["train", "train", "val"]):
        path = root / images.format(split) / f"p{number}.png"
        photo(path, number)
        content = files.setdefault(
            root / file.format(split),
            {
                "images": [],
                "annotations": [],
                # Ids with gaps, in no order.
                "categories": [{"id": 7, "name": "stem"}, {"id": 3, "name": "leaf"}],
            },
        )
        content["images"].append(
            {"id": number, "file_name": path.name, "height": 12, "width": 16}
        )
        for name, corners in squares(number):
            flat = [[value for corner in corners for value in corner]]
            runs = coco_mask.merge(coco_mask.frPyObjects(flat, *SHAPE))
            pixels = coco_mask.decode(runs)
            column = pixels.reshape(-1, order="F").astype(int)
            ends = np.flatnonzero(np.diff(column)) + 1
            counts = np.diff([0, *ends, column.size]).tolist()
            if column[0]:
                counts.insert(0, 0)
            kinds = [
                flat,
                {"size": list(SHAPE), "counts": counts},
                {"size": list(SHAPE), "counts": runs["counts"].decode()},
            ]
            content["annotations"].append(
                {
                    "image_id": number,
                    "category_id": {"stem": 7, "leaf": 3}[name],
                    "segmentation": kinds[number],
                }
            )
    for path, content in files.items():
        text(path, json.dumps(content))
    return files


@pytest.mark.parametrize(
    ("images", "file"),
    [
        ("{}", "{}/_annotations.coco.json"),
        ("{}2017", "annotations/instances_{}2017.json"),
        ("{}2014", "annotations/instances_{}2014.json"),
        ("{}", "annotations/instances_{}.json"),
        ("images/{}2017", "annotations/instances_{}2017.json"),
        ("images/{}", "annotations/instances_{}.json"),
        ("images/default", "annotations/instances_default.json"),
        ("images", "annotations/instances_default.json"),
        ("images", "result.json"),
        ("images", "annotations.json"),
        ("images", "coco.json"),
        (".", "annotations.json"),
    ],
)
def test_coco(images, file, tmp_path):
    coco(tmp_path, images, file)
    splits = [registry.load("folder", split, tmp_path) for split in ("train", "val")]
    found = dict(
        zip(
            [name for split in splits for name in split.names],
            [labels for split in splits for _, labels in split],
            strict=True,
        )
    )
    assert splits[0].info.classes == ("background", "leaf", "stem")
    for number in range(3):
        # COCO's polygons end half a pixel before Pillow's.
        expected = drawn(number)
        labels = found[f"p{number}.png"]
        assert (labels == expected).mean() > 0.8
        assert labels[4, number + 4] == 2 and labels[2, number + 2] == 1
        assert labels[10].max() == 0


def renamed_in(path: Path, rename) -> None:
    """Gives the images of a COCO file other names."""
    content = json.loads(path.read_text())
    for one in content["images"]:
        one["file_name"] = rename(one["file_name"])
    path.write_text(json.dumps(content))


FILE_NAMES = {
    "as it is": "{}",
    "with the folder": "images/{}",
    "from here": "./images/{}",
    "of Windows": "images\\{}",
    "of a Windows server": "..\\..\\label-studio\\media\\upload\\4\\{}",
    "of a server": "/data/upload/1/{}",
}


@pytest.mark.parametrize("kind", FILE_NAMES)
def test_names_in_coco_files(kind, tmp_path):
    coco(tmp_path, "images", "result.json")

    def found() -> dict[int, np.ndarray]:
        splits = [folder.load(split, tmp_path) for split in ("train", "val")]
        return {int(im[0, 0, 0]): labels for split in splits for im, labels in split}

    plainly = found()
    renamed_in(tmp_path / "result.json", FILE_NAMES[kind].format)
    assert found().keys() == plainly.keys()
    # Deeper in the folder, and in another case.
    (tmp_path / "images/a/b").mkdir(parents=True)
    for path in list((tmp_path / "images").glob("*.png")):
        path.rename(tmp_path / "images/a/b" / path.name.upper())
    moved = found()
    assert len(moved) == 3
    for number, labels in moved.items():
        assert_array_equal(labels, plainly[number])
        assert labels[4, number + 4] == 2


def test_names_in_coco_files_that_are_of_several_images(tmp_path):
    coco(tmp_path, "images", "result.json")
    file = tmp_path / "result.json"
    renamed_in(file, lambda name: f"upload/b/{name}")
    for folder_name in ("a", "b"):
        for number in range(3):
            photo(tmp_path / "images" / folder_name / f"p{number}.png", 50 + number)
    # images/p0.png, images/a/p0.png, and the one that has the folder of the name, too.
    assert min(numbers(registry.load("folder", "train", tmp_path))) >= 50
    for number in range(3):
        (tmp_path / "images" / f"p{number}.png").unlink()
    renamed_in(file, lambda name: name.replace("/b/", "/c/"))
    with pytest.raises(UserError, match="'upload/c/p0.png' may be .*a/p0.png or .*b/"):
        registry.load("folder", "train", tmp_path)
    renamed_in(file, lambda name: "c/p0.png" if "p1" in name else "b/p0.png")
    with pytest.raises(UserError, match="an image is there twice"):
        registry.load("folder", "train", tmp_path)


def test_two_names_of_one_image(tmp_path):
    coco(tmp_path, "images", "result.json")
    names = {"p0.png": "1/p0.png", "p1.png": "2/p0.png", "p2.png": "p2.png"}
    renamed_in(tmp_path / "result.json", names.get)
    with pytest.raises(UserError, match="'1/p0.png' and '2/p0.png' can both only be"):
        registry.load("folder", "train", tmp_path)


def test_images_that_the_annotations_name_in_vain(tmp_path):
    coco(tmp_path, "images", "result.json")
    (tmp_path / "images/p0.png").unlink()
    photo(tmp_path / "images/p7.png", 7)
    photo(tmp_path / "images/more/p8.png", 8)
    found = [
        registry.load("folder", split, tmp_path, faulty=True)
        for split in ("train", "val")
    ]
    faults = [line for split in found for line in split.faults]
    assert len(faults) == 1 and "no image 'p0.png' in" in faults[0]
    assert found[0].remarks()[1:] == (
        "1 images without annotations are left out",
        f"1 images in other folders are left out: {tmp_path / 'images/more'}",
    )


def test_annotations_that_are_named(tmp_path):
    coco(tmp_path, "photos", "export/ours.json")
    with pytest.raises(UserError, match="no layout that is known"):
        folder.load("train", tmp_path)
    reading = Reading(images="photos", masks="export/ours.json")
    train = folder.load("train", tmp_path, reading=reading)
    assert len(train) == 2 and train.info.classes == ("background", "leaf", "stem")
    (tmp_path / "export/ours.json").rename(tmp_path / "ours.json")
    with pytest.raises(UserError, match="name it with --masks ours.json"):
        folder.load("train", tmp_path)
    # Without images/, the folder itself is meant.
    assert len(folder.load("train", tmp_path, reading=Reading(masks="ours.json"))) == 2
    with pytest.raises(UserError, match="none.json: no such file"):
        folder.load("train", tmp_path, reading=Reading(masks="none.json"))


def test_two_years_of_one_split(tmp_path):
    for year in ("2014", "2017"):
        coco(tmp_path, "{}" + year, "annotations/instances_{}" + year + ".json")
    with pytest.raises(UserError, match="train2014 and .*train2017 are both train"):
        find(tmp_path)


@pytest.mark.parametrize("far", [1e300, 1e8, float("inf"), float("nan"), -1e6])
def test_labelme_points_that_are_far_away(far, tmp_path):
    labelme(tmp_path)
    path = tmp_path / "val/p2.json"
    content = json.loads(path.read_text())
    content["shapes"][0] = {
        "label": "leaf", "points": [[9, 8], [far, 3]], "shape_type": "circle"
    }  # fmt: skip
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="p2.json: no labelme annotations.*further"):
        registry.load("folder", "val", tmp_path)


def test_a_large_circle_takes_no_longer(tmp_path):
    labelme(tmp_path)
    path = tmp_path / "val/p2.json"
    content = json.loads(path.read_text())
    content["shapes"] = [
        {"label": "leaf", "points": [[5, 5], [1e5, 5]], "shape_type": "circle"},
        {"label": "stem", "points": [[5, 5], [7, 5]], "shape_type": "circle"},
    ]
    path.write_text(json.dumps(content))
    labels = registry.load("folder", "val", tmp_path).read(0)[1]
    assert (
        labels[5, 5] == 2 and labels[-1, -1] == 1 and set(np.unique(labels)) == {1, 2}
    )


def test_labelme_shapes_take_the_memory_of_their_own_part(tmp_path):
    labelme(tmp_path)
    path = tmp_path / "val/p2.json"
    content = json.loads(path.read_text())
    triangle = {"label": "leaf", "points": [[1, 1], [9, 1], [1, 9]]}
    content |= {"imageWidth": 4096, "imageHeight": 4096, "shapes": [triangle] * 60}
    path.write_text(json.dumps(content))
    classes = labelme_classes([path])
    tracemalloc.start()
    draw_labelme(path, classes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6, "60 shapes of the whole image would be 1 GB"


SHAPES = {
    "a point further away": [[0, 0, 1e300, 0, 0, 1e300]],
    "a point further": [[0, 0, float("nan"), 0, 0, 9]],
    "a polygon of 4 numbers": [[0, 0, 9, 9]],
    "a polygon of 7 numbers": [[0, 0, 9, 9, 9, 0, 1]],
    "not the image's size": {"size": [60000, 60000], "counts": "abc"},
}


@pytest.mark.parametrize("says", SHAPES)
def test_coco_shapes_that_pycocotools_would_die_of(says, tmp_path):
    files = coco(tmp_path, "{}", "{}/_annotations.coco.json")
    path = tmp_path / "train/_annotations.coco.json"
    files[path]["annotations"][0]["segmentation"] = SHAPES[says]
    path.write_text(json.dumps(files[path]))
    with pytest.raises(UserError, match=f"an annotation is wrong .*{says}"):
        registry.load("folder", "train", tmp_path).read(0)


def test_faulty_coco(tmp_path):
    files = coco(tmp_path, "{}", "{}/_annotations.coco.json")
    path = tmp_path / "train/_annotations.coco.json"
    content = files[path]
    content["annotations"][0]["category_id"] = 99
    path.write_text(json.dumps(content))
    split = registry.load("folder", "train", tmp_path)
    with pytest.raises(
        UserError, match="p0.png: an annotation is wrong .no category 99"
    ):
        split.read(0)
    split.read(1)
    content["categories"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="other categories than"):
        registry.load("folder", "train", tmp_path)
    path.write_text("[1, 2]")
    with pytest.raises(UserError, match="no COCO annotations"):
        registry.load("folder", "val", tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        registry.load("folder", "val", tmp_path)


def test_what_coco_files_may_have(tmp_path):
    """Void, a background of its own, blanks; and what has no meaning."""
    files = coco(tmp_path, "images", "annotations.json")
    path = tmp_path / "annotations.json"
    content = files[path]

    def read(**changes):
        path.write_text(json.dumps({**content, **changes}))
        return registry.load("folder", "train", tmp_path)

    names = [{"id": 0, "name": "_Background_"}, {"id": 3, "name": " leaf "}]
    split = read(categories=[*names, {"id": 7, "name": "void"}])
    assert split.info.classes == ("_Background_", "leaf")
    assert set(np.unique(split.read(0)[1])) == {0, 1, 255}
    for changes, words in [
        ({"categories": [*content["categories"], {"id": 7, "name": "x"}]}, "id is"),
        ({"images": content["images"][:2]}, "2 annotations are of images that are not"),
        (
            {"annotations": [{**one, "image_id": str(one["image_id"])}
                             for one in content["annotations"]]},
            "6 annotations are of images",
        ),
        ({"images": [*content["images"], content["images"][0]]}, "an image is there"),
        (
            {"categories": [{"id": n, "name": f"n{n}"} for n in range(300)]},
            "301 classes, at most 255",
        ),
        ({"categories": [{"id": 3, "name": "a\nb"}]}, "can be printed"),
    ]:  # fmt: skip
        with pytest.raises(UserError, match=words) as caught:
            read(**changes)
        assert "\n" not in str(caught.value)
    bare = [{k: v for k, v in one.items() if k != "segmentation"} for one in
            content["annotations"]]  # fmt: skip
    with pytest.raises(UserError, match="has no segmentation"):
        read(annotations=bare)
    reading = Reading(classes="x.txt")
    with pytest.raises(UserError, match="COCO's files name their classes"):
        registry.load("folder", "train", tmp_path, reading=reading)


def test_labelme_lists_must_have_the_background(tmp_path):
    labelme(tmp_path)
    text(tmp_path / "labels.txt", "__ignore__\nleaf\nstem\n")
    with pytest.raises(UserError, match="pixels without a shape are the background"):
        registry.load("folder", "val", tmp_path)
    text(tmp_path / "labels.txt", "leaf\nstem\nBackground\n")
    split = registry.load("folder", "val", tmp_path)
    assert_array_equal(split.read(0)[1], drawn(2, ("leaf", "stem", "background"),
        rest=2))  # fmt: skip


def test_coco_without_pycocotools(tmp_path, monkeypatch):
    coco(tmp_path, "{}", "{}/_annotations.coco.json")
    for name in ("pycocotools", "pycocotools.mask"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(UserError, match="pip install pycocotools"):
        registry.load("folder", "train", tmp_path)


def test_every_row_of_the_table_is_tested():
    tested = {kind.split(",")[0] for kind in MADE} | {
        "labelme",
        "COCO",
        "CVAT's COCO",
        "Label Studio's COCO",
        "Roboflow's COCO",
    }
    assert {layout.name for layout in LAYOUTS} == tested


def test_a_folder_is_not_listed_for_each_row_of_the_table(tmp_path, monkeypatch):
    """That took 85 s for 20,000 files."""
    labelme(tmp_path)
    listed, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: listed.append(self) or iterdir(
        self))  # fmt: skip
    assert find(tmp_path).layout.name == "labelme"
    assert listed.count(tmp_path) < 10
