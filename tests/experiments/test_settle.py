"""Labels of several classes that a model settles before the training."""

import json

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

    def probabilities(self, image):
        scores = np.zeros((*image.shape[:2], len(MODEL_CLASSES)))
        half = image.shape[1] // 2
        scores[:, :half, 2], scores[:, half:, 1] = 1, 1
        return scores


def test_the_settled_set_is_a_folder_that_trains(tmp_path):
    source = tmp_path / "coarse"
    for kind in ("images", "masks"):
        (source / kind).mkdir(parents=True)
    (source / "classes.txt").write_text("\n".join(OWN))
    pixels = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    for name in ("a", "b"):
        Image.fromarray(pixels).save(source / f"images/{name}.png")
        Image.fromarray(np.full((6, 8), 1, np.uint8)).save(source / f"masks/{name}.png")
    for name, own in (("train", "a"), ("val", "b")):
        (source / f"{name}.txt").write_text(f"{own}\n")
    mix = tmp_path / "mix.json"
    entry = {"dataset": "folder", "data_dir": "coarse", "labels": LABELS}
    mix.write_text(json.dumps({"classes": MODEL_CLASSES, "sets": [entry]}))
    choices = settle.Choices.of(OWN, LABELS, ["living"], MODEL_CLASSES)
    out = tmp_path / "settled"
    settle.write_set(mix, entry, choices, Scorer(), out)
    for split in ("train", "val"):
        loaded = datasets.load("folder", split, str(out))
        assert loaded.info.classes == ("Person", "Rider", "way", "thing", "car")
        ((image, labels),) = loaded
        np.testing.assert_array_equal(image, pixels)
        assert (labels[:, :4] == 1).all() and (labels[:, 4:] == 0).all()


def test_only_labels_of_several_classes_can_be_settled(tmp_path):
    mix = tmp_path / "mix.json"
    mix.write_text(json.dumps({"sets": [{"dataset": "folder", "labels": LABELS}]}))
    assert settle.entry_of(mix, ["living"])["dataset"] == "folder"
    for name in ("way", "car", "dog"):
        with pytest.raises(UserError, match=f"no set gives {name} several classes"):
            settle.entry_of(mix, [name])
