"""Labels of several classes that a model settles before the training."""

import json
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from experiments import settle
from segnet_tf import datasets
from segnet_tf.errors import UserError

MODEL_CLASSES = ("Road", "Person", "Rider", "Car", "Pole", "Sign")
OWN = ("way", "living", "thing", "car")
LABELS = {"way": "Road", "living": ["Person", "Rider"], "thing": ["Sign", "Pole"]}


def test_each_pixel_gets_the_best_of_its_own_classes():
    random = np.random.default_rng(0)
    labels = random.choice([0, 1, 2, 3, 255], (13, 17)).astype(np.uint8)
    scores = random.random((13, 17, len(MODEL_CLASSES)))
    choices = settle.Choices.of(OWN, LABELS, ["living", "thing"], MODEL_CLASSES)
    assert choices.classes == ("Person", "Rider", "Pole", "Sign", "way", "car")
    found = choices.mask(labels, scores)
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label == 255:
            assert found[place] == 255
            continue
        names = LABELS.get(OWN[label])
        if isinstance(names, list):
            best = max(names, key=lambda name: scores[place][MODEL_CLASSES.index(name)])
        else:
            best = OWN[label]
        assert choices.classes[found[place]] == best
    assert set(found.ravel()) == {0, 1, 2, 3, 4, 5, 255}


class Scorer:
    """Sees a rider in the left half and a person in the right one."""

    info = SimpleNamespace(classes=MODEL_CLASSES)

    def probabilities(self, image):
        scores = np.zeros((*image.shape[:2], len(MODEL_CLASSES)))
        half = image.shape[1] // 2
        scores[:, :half, 2], scores[:, half:, 1] = 1, 1
        return scores


@pytest.fixture
def coarse(tmp_path) -> Path:
    """A mix of a set whose splits have pictures of one name, and whose id 9 is void."""
    source = tmp_path / "data/coarse"
    for split, kind in product(("train", "val"), ("images", "masks")):
        (source / kind / split).mkdir(parents=True)
    (source / "classes.txt").write_text("misleading\n" + "\n".join(OWN))
    (tmp_path / "data/right.txt").write_text("\n".join(OWN) + "\nnothing\n")
    for split in ("train", "val"):
        pixels = np.full((6, 8, 3), 50 if split == "train" else 90, np.uint8)
        labels = np.full((6, 8), 1, np.uint8)
        labels[0], labels[1] = 4, 3
        Image.fromarray(pixels).save(source / f"images/{split}/a.png")
        Image.fromarray(labels).save(source / f"masks/{split}/a.png")
    mix = tmp_path / "data/mix.json"
    reading = {"classes": "right.txt", "ignore": "nothing"}
    entry = {"dataset": "folder", "data_dir": "coarse", "share": 3, "labels": LABELS}
    other = {"dataset": "synthetic", "labels": {}}
    content = {"classes": MODEL_CLASSES, "sets": [{**entry, "reading": reading}, other]}
    content["sets"][0]["labels"] = {**LABELS, "car": "Car"}
    mix.write_text(json.dumps(content))
    return mix


def settled(mix, out, monkeypatch, *labels):
    monkeypatch.setattr(settle, "Predictor", lambda path: Scorer())
    monkeypatch.setattr("sys.argv", ["settle", str(mix), *labels, f"--out={out}"])
    settle.main()


def test_the_settled_set_takes_the_place_of_the_other(coarse, tmp_path, monkeypatch):
    out = tmp_path / "settled"
    settled(coarse, out, monkeypatch, "living")
    for split, grey in (("train", 50), ("val", 90)):
        loaded = datasets.load("folder", split, str(out))
        assert loaded.info.classes == ("Person", "Rider", "way", "thing", "car")
        ((image, labels),) = loaded
        assert (image == grey).all(), "each split has its own picture"
        assert (labels[0] == 255).all() and (labels[1] == 4).all()
        assert (labels[2:, :4] == 1).all() and (labels[2:, 4:] == 0).all()
    content = json.loads((out / "mix.json").read_text())
    content["sets"].pop()
    (out / "mix.json").write_text(json.dumps(content))
    mixed = datasets.load("mix", "train", str(out / "mix.json"))
    assert mixed.shares == ((1, 3),)
    assert mixed.groups == ((4, 5),), "Pole or Sign stays open"
    ((_, labels),) = mixed
    assert (labels[2:, :4] == MODEL_CLASSES.index("Rider")).all()
    assert (labels[1] == MODEL_CLASSES.index("Car")).all()


def test_refusals(coarse, tmp_path, monkeypatch):
    for name in ("way", "car", "dog"):
        with pytest.raises(UserError, match=f"no set gives {name} several classes"):
            settled(coarse, tmp_path / "out", monkeypatch, name)
    monkeypatch.setattr(Scorer.info, "classes", ("Road", "Person"))
    with pytest.raises(UserError, match="does not know 'Rider'.* Road, Person"):
        settled(coarse, tmp_path / "out", monkeypatch, "living")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("")
    with pytest.raises(UserError, match="out: is not empty"):
        settled(coarse, tmp_path / "out", monkeypatch, "living")


def test_a_set_without_val_has_none(coarse, tmp_path, monkeypatch):
    for kind in ("images", "masks"):
        (tmp_path / f"data/coarse/{kind}/val/a.png").unlink()
        (tmp_path / f"data/coarse/{kind}/val").rmdir()
    settled(coarse, tmp_path / "settled", monkeypatch, "living")
    assert (tmp_path / "settled/train.txt").exists()
    assert not (tmp_path / "settled/val.txt").exists()
