"""Mixes: labels of different grain as one data set, and files with faults."""

import json
import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from segnet_tf.commands import data
from segnet_tf.datasets import registry
from segnet_tf.datasets.dataset import MissingSplit, typical_size
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import load_model, read_labels
from segnet_tf.training import trainer
from segnet_tf.training.config import TrainConfig

FINE = ("soil", "stem", "leaf", "fruit")
COARSE = ("ground", "plant", "tool")
LABELS = {"ground": "soil", "plant": ["leaf", "stem", "fruit"], "tool": "void"}


def folder(root, classes, count: int, size=(48, 40), splits=("train", "val")) -> None:
    """A data set whose masks show every class and void."""
    root.mkdir()
    (root / "classes.txt").write_text("\n".join(classes) + "\n")
    for split in splits:
        for place in ("images", "masks"):
            (root / place / split).mkdir(parents=True)
        for index in range(count):
            ids = np.arange(size[0] * size[1]).reshape(size[::-1]) % (len(classes) + 1)
            ids = np.where(ids == len(classes), 255, ids).astype(np.uint8)
            grey = (40 * np.minimum(ids, 5)).astype(np.uint8)
            Image.fromarray(grey).save(root / f"images/{split}/{index}.png")
            Image.fromarray(ids).save(root / f"masks/{split}/{index}.png")


@pytest.fixture
def mix(tmp_path):
    """Writes mix.json, with some keys changed, and gives its path."""
    folder(tmp_path / "fine", FINE, 3)
    folder(tmp_path / "coarse", COARSE, 5, size=(32, 36), splits=("train",))

    def write(fine=None, coarse=None, **changes):
        sets = [
            {"dataset": "folder", "data_dir": "fine", "share": 3, **(fine or {})},
            {
                "dataset": "folder",
                "data_dir": "coarse",
                "labels": LABELS,
                **(coarse or {}),
            },
        ]
        path = tmp_path / "mix.json"
        path.write_text(json.dumps({"sets": sets, **changes}))
        return path

    return write


def test_the_sets_follow_each_other_in_the_ids_of_the_mix(mix, tmp_path):
    path = mix()
    train = registry.load("mix", "train", path)
    assert train.info.name == "mix" and train.info.classes == FINE
    assert train.groups == ((1, 2, 3),)
    assert train.labels.classes == (*FINE, "stem or leaf or fruit")
    assert train.shares == ((3, 3), (5, 1))
    assert train.names == (
        *(f"fine/{index}.png" for index in range(3)),
        *(f"coarse/{index}.png" for index in range(5)),
    )
    fine = registry.load("folder", "train", tmp_path / "fine")
    coarse = registry.load("folder", "train", tmp_path / "coarse")
    for index in range(3):
        for one, other in zip(train.read(index), fine.read(index), strict=True):
            assert_array_equal(one, other)
    # ground, plant, tool, void -> soil, the group, void, void
    table = np.full(256, 255)
    table[:2] = 0, 4
    for index in range(5):
        image, labels = coarse.read(index)
        assert_array_equal(train.read(3 + index)[0], image)
        found = train.read(3 + index)[1]
        assert found.dtype == np.uint8
        assert_array_equal(found, table[labels])
    assert train.sources == (*fine.sources, *coarse.sources)


def test_a_set_without_the_split_is_left_out_and_named(mix, capsys):
    val = registry.load("mix", "val", mix())
    assert len(val) == 3 and val.shares == ((3, 3),)
    assert "left out of 'val'" in capsys.readouterr().out
    with pytest.raises(MissingSplit, match="no set has a split 'test'"):
        registry.load("mix", "test", mix())
    nothing = mix(coarse={"splits": {"train": "test"}})
    with pytest.raises(MissingSplit):
        registry.load("mix", "train", nothing)


def test_classes_are_the_first_sets_even_if_it_is_left_out(mix):
    both = {"splits": {"val": "train"}}
    val = registry.load(
        "mix", "val", mix(fine={"splits": {"val": "test"}}, coarse=both)
    )
    assert val.shares == ((5, 1),) and val.info.classes == FINE


def test_a_list_of_names_can_be_a_split(mix, tmp_path):
    (tmp_path / "two.txt").write_text("4\n1\n")
    path = mix(coarse={"splits": {"val": "two.txt"}})
    val = registry.load("mix", "val", path)
    assert val.names[-2:] == ("coarse/4.png", "coarse/1.png")


def test_classes_of_its_own(mix):
    path = mix(
        classes=["soil", "green"],
        fine={"labels": {"stem": "green", "leaf": "green", "fruit": "green"}},
        coarse={"labels": {**LABELS, "plant": "green", "tool": ["soil", "green"]}},
    )
    train = registry.load("mix", "train", path)
    assert train.info.classes == ("soil", "green")
    # A label that may be any class is void.
    assert train.groups == ()
    found = set(np.unique([labels.ravel()[:100] for _, labels in train]))
    assert found == {0, 1, 255}


def test_a_group_is_there_once_and_grey_is_possible(mix):
    labels = {**LABELS, "ground": ["fruit", "stem", "leaf"]}
    train = registry.load("mix", "train", mix(coarse={"labels": labels}), channels=1)
    assert train.groups == ((1, 2, 3),)
    assert train.info.channels == 1 and train.read(4)[0].shape == (36, 32, 1)


def test_a_set_has_its_own_way_of_reading(mix, tmp_path):
    (tmp_path / "names.txt").write_text("0 floor\n1 plant\n2 tool\n")
    labels = {"plant": ["leaf", "stem"], "tool": "fruit"}
    reading = {"ignore": "0", "classes": "names.txt"}
    path = mix(coarse={"reading": reading, "labels": labels})
    train = registry.load("mix", "train", path)
    table = np.full(256, 255)
    table[1:3] = 4, 3
    coarse = registry.load("folder", "train", tmp_path / "coarse")
    assert_array_equal(train.read(3)[1], table[coarse.read(0)[1]])
    assert any(line == "void: floor (id 0)" for line in train.remarks())
    for wrong, words in [
        ({"ignored": "0"}, "set 2: reading: no key 'ignored'"),
        ({"ignore": 0}, "set 2: reading: ignore: 0 is not of type text"),
        ({"tolerance": -1}, "set 2: reading: tolerance: -1"),
    ]:
        with pytest.raises(UserError, match=words):
            registry.load("mix", "train", mix(coarse={"reading": wrong}))


def test_the_typical_size_goes_by_the_shares(mix):
    shares = ({"share": 1}, {"share": 3})
    fine, coarse = shares
    assert typical_size(registry.load("mix", "train", mix(coarse, fine))) == (40, 48)
    assert typical_size(registry.load("mix", "train", mix(fine, coarse))) == (36, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sets": []}, "sets: is empty"),
        ({"sets": {}}, "sets: must be a list"),
        ({"sets": [3]}, "set 1: must be an object"),
        ({"sets": [{"data_dir": "fine"}]}, "set 1: dataset is missing"),
        ({"sets": [{"dataset": "mix"}]}, "a mix has no mix"),
        ({"sets": [{"dataset": "nothing"}]}, "no data set 'nothing'"),
        ({"classes": "camvid"}, "classes: must be a list"),
        ({"classes": ["a", "a"]}, "classes: must be a name or a list of different"),
        ({"kind": 3}, "no key 'kind': it takes classes, sets"),
        ({"fine": {"share": 0}}, "set 1: share: 0, must be 1 to 1000"),
        ({"fine": {"share": 10**9}}, "set 1: share: 1000000000, must be 1 to 1000"),
        ({"classes": [f"c{n}" for n in range(300)]}, "classes: 300 names, at most 255"),
        ({"classes": ["a" * 101]}, "a name has 1 to 100 characters"),
        ({"classes": ["\x1b[2J"]}, "a name has 1 to 100 characters"),
        ({"fine": {"share": 1.5}}, "set 1: share: must be a whole number"),
        ({"fine": {"share": True}}, "set 1: share: must be a whole number"),
        ({"fine": {"weight": 1}}, "set 1: no key 'weight'"),
        ({"fine": {"splits": {"val": 3}}}, "set 1: splits: 3 is no text"),
        ({"coarse": {"labels": {"weed": "leaf"}}}, "no label 'weed': it has ground"),
        (
            {"coarse": {"labels": {"plant": "tree"}}},
            "label 'ground': no class 'ground'",
        ),
        (
            {"coarse": {"labels": {**LABELS, "plant": ["leaf", "tree"]}}},
            "label 'plant': no class 'tree': give it one of soil, stem",
        ),
        ({"coarse": {"labels": {**LABELS, "plant": []}}}, "set 2: labels: plant: must"),
        ({"coarse": {"labels": {**LABELS, "plant": 7}}}, "set 2: labels: plant: must"),
    ],
)
def test_faults_are_named(mix, changes, message):
    with pytest.raises(UserError, match=message) as error:
        registry.load("mix", "train", mix(**changes))
    assert "mix.json" in str(error.value) or "nothing" in message
    assert "\n" not in str(error.value)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="--data-dir mix.json"):
        registry.load("mix", "train")
    with pytest.raises(UserError, match="mix.json: no such file"):
        registry.load("mix", "train", tmp_path / "mix.json")
    (tmp_path / "mix.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="mix.json: not readable as JSON"):
        registry.load("mix", "train", tmp_path / "mix.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UserError, match="pipe.json: no such file"):
        registry.load("mix", "train", tmp_path / "pipe.json")
    (tmp_path / "mix.json").write_text("{")
    with pytest.raises(UserError, match="mix.json: not readable as JSON"):
        registry.load("mix", "train", tmp_path / "mix.json")


def deepen(root, most: int) -> None:
    """Gives the images of a set more than 8 bits: values from 0 to `most`."""
    for path in root.rglob("images/*/*.png"):
        with Image.open(path) as image:
            ramp = np.linspace(0, most, image.width * image.height)
            pixels = ramp.reshape(image.height, image.width).astype(np.uint16)
        Image.fromarray(pixels).save(path)


def brightest(split) -> list[int]:
    return [int(image.max()) for image, _ in split]


def test_a_mix_of_8_and_12_bits_has_the_range_of_the_latter(mix, tmp_path):
    path = mix()
    plain = registry.load("mix", "train", path)
    deepen(tmp_path / "coarse", 4000)
    assert plain.info.value_range is None
    train = registry.load("mix", "train", path)
    assert train.info.value_range == (0, 4095)
    # Only the folder "coarse" was scaled.
    for index in range(3):
        assert_array_equal(train.read(index)[0], plain.read(index)[0])
    alone = registry.load("folder", "train", tmp_path / "coarse")
    assert_array_equal(train.read(3)[0], alone.read(0)[0])


def test_sets_of_more_than_8_bits_are_scaled_alike(mix, tmp_path, capsys):
    path = mix()
    deepen(tmp_path / "fine", 4000)
    deepen(tmp_path / "coarse", 2000)
    assert registry.load("folder", "train", tmp_path / "coarse").info.value_range == (
        0, 2047
    )  # fmt: skip
    train = registry.load("mix", "train", path)
    assert train.info.value_range == (0, 4095)
    peaks = [round(most * 255 / 4095) for most in (4000, 2000)]
    assert brightest(train) == 3 * [peaks[0]] + 5 * [peaks[1]]
    # Another split, which lacks the brighter set, is scaled as the first one.
    reading = registry.scaled_alike("mix", Reading(), train.info.value_range)
    val = registry.load("mix", "val", path, reading=reading)
    assert val.info.value_range == (0, 4095)
    assert "scaled apart" not in "".join(train.remarks())
    # A range for one of them is for all of them.
    train = registry.load("mix", "train", mix(fine={"reading": {"range": "0-8000"}}))
    assert train.info.value_range == (0, 8000)
    assert brightest(train)[3:] == 5 * [round(2000 * 255 / 8000)]


def test_sets_that_no_range_fits_are_scaled_apart_or_refused(mix, tmp_path):
    deepen(tmp_path / "fine", 200)
    deepen(tmp_path / "coarse", 60_000)
    with pytest.raises(UserError, match="fine: uses values of 0 to 255, which do not"):
        registry.load("mix", "train", mix())
    ranges = [{"reading": {"range": text}} for text in ("0-255", "0-65535")]
    train = registry.load("mix", "train", mix(*ranges))
    assert train.info.value_range is None, "no range is true for both"
    assert min(brightest(train)) > 100
    (line,) = (each for each in train.remarks() if "apart" in each)
    assert "fine by 0 to 255, coarse by 0 to 65535: a model stores no range" in line


def test_where_two_sets_have_ranges_the_third_needs_one(mix, tmp_path):
    folder(tmp_path / "third", FINE, 2)
    for name in ("fine", "coarse", "third"):
        deepen(tmp_path / name, 4000)
    path = mix({"reading": {"range": "0-4095"}}, {"reading": {"range": "0-5000"}})
    content = json.loads(path.read_text())
    content["sets"].append({"dataset": "folder", "data_dir": "third"})
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="third: other sets are scaled by ranges of"):
        registry.load("mix", "train", path)


def test_only_what_is_scaled_when_it_is_read_gets_the_range_of_others():
    assert registry.scaled_alike("packed", Reading(), (0, 4095)) == Reading()
    assert registry.scaled_alike("mix", Reading(), (0, 1)).value_range == (0, 1)
    with pytest.raises(UserError, match="ignore: is for --dataset folder, not for mix"):
        registry.load("mix", "train", "mix.json", reading=Reading(ignore="0"))


@pytest.mark.parametrize("packs", [False, True])
def test_a_set_of_12_bits_is_checked_and_trained(packs, mix, tmp_path, monkeypatch):
    """The range of the training split once was refused for the validation split."""
    monkeypatch.chdir(tmp_path)
    deepen(tmp_path / "fine", 4000)
    path = tmp_path / "mix.json"
    path.write_text(json.dumps({"sets": [{"dataset": "folder", "data_dir": "fine"}]}))
    data.main(["mix", "--data-dir", str(path)])
    dataset, place = "mix", str(path)
    if packs:
        data.main(["mix", "--data-dir", str(path), "--pack", "pack"])
        dataset, place = "packed", "pack"
    config = TrainConfig.of(dataset=dataset, data_dir=place)
    train = trainer._split(config, "train", config.folder)
    val = trainer._validation_split(config, train.info)
    assert val is not None and val.info.value_range == train.info.value_range
    assert train.info.value_range == (0, 4095)


def test_a_network_learns_from_a_mix(mix, tmp_path):
    """Two epochs through a whole run: streams, loss, validation, scores."""
    config = TrainConfig.of(
        dataset="mix",
        data_dir=str(mix()),
        model="segnet_lite",
        encoder_weights="none",
        crop=(32, 32),
        batch_size=4,
        epochs=2,
    )
    run = trainer.train(config, str(tmp_path / "run"))
    scores = json.loads((run / "metrics.json").read_text())
    assert scores["dataset"] == "mix" and scores["images"] == 3
    assert set(scores["per_class_iou"]) == set(FINE)
    model = load_model(run / "model.keras")
    assert model.output_shape[-1] == len(FINE)
    labels = read_labels(run / "model.keras")
    assert labels is not None and labels.classes == FINE
