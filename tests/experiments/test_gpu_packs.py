"""What a GPU gets to train from, and what comes back. PyTorch is not needed for it."""

import io
import json

import numpy as np
from PIL import Image

from experiments.gpu import pack, unpack
from segnet_tf import datasets, load_model
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.building import build
from segnet_tf.training.config import TrainConfig


def scenes(folder):
    """Four pictures of 32x48, two of them for validation."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index in range(4):
        image, labels = draw_scene(0, index, 32, 48)
        Image.fromarray(image).save(folder / f"images/{index}.png")
        Image.fromarray(labels).save(folder / f"masks/{index}.png")
    (folder / "classes.txt").write_text("\n".join(f"class{n}" for n in range(11)))
    (folder / "train.txt").write_text("0\n1\n")
    (folder / "val.txt").write_text("2\n3\n")


def jobs(folder) -> dict:
    options = {
        "dataset": "folder",
        "data_dir": str(folder),
        "crop": (32, 48),
        "batch_size": 2,
        "epochs": 3,
    }
    lite = {**options, "model": "segnet_lite", "logit_adjustment": 0.5}
    return {
        "first": {"options": lite, "score": "val", "keep": True},
        "second": {"options": {**lite, "epochs": 5}, "rank": 1},
        "other": {"options": {**options, "model": "segnet_basic"}, "keep": True},
    }


def test_pictures_and_weights_travel_once_and_come_back(tmp_path, monkeypatch):
    scenes(tmp_path / "scenes")
    asked, packed, back = (tmp_path / name for name in ("jobs.json", "pack", "out"))
    asked.write_text(json.dumps(jobs(tmp_path / "scenes")))
    monkeypatch.setattr("sys.argv", ["pack", str(asked), f"--out={packed}"])
    pack.main()
    records = {
        own["name"]: own for own in json.loads((packed / "jobs.json").read_text())
    }
    first, second, other = (records[name] for name in ("first", "second", "other"))
    assert first["kind"] == second["kind"] != other["kind"]
    assert (first["steps"], second["steps"]) == (3, 5)
    assert first["weights"] == second["weights"] and first["parts"] == second["parts"]
    assert len(first["score"]) == 2 and not second["score"]

    split = datasets.load("folder", "train", str(tmp_path / "scenes"))
    for kind, place in (("images", 0), ("labels", 1)):
        found = contents(packed / f"{kind}0.npz")
        assert len(found) == 4, "each once, those of validation among them"
        for keys, pair in zip(first["parts"][0], split, strict=True):
            np.testing.assert_array_equal(found[keys[place]], pair[place])

    back.mkdir()
    with np.load(packed / "weights.npz") as weights:
        for name in ("first", "other"):
            own = records[name]["weights"].items()
            values = {path: weights[key] + 0.5 for path, key in own}
            np.savez(back / f"{name}.npz", **values)
            check = unpacked(packed, back, tmp_path / "runs", name, monkeypatch)
            assert_same(check, values, records[name])


def contents(path) -> dict:
    with np.load(path) as file:
        parts = np.split(file["contents"], file["ends"][:-1])
        return {
            name: np.array(Image.open(io.BytesIO(part.tobytes())))
            for name, part in zip(file["names"].tolist(), parts, strict=True)
        }


def unpacked(packed, back, runs, name, monkeypatch):
    monkeypatch.setattr("sys.argv", ["unpack", str(packed), str(back), str(runs)])
    unpack.main()
    assert not (runs / "second").exists()
    return load_model(runs / name / "model.keras")


def assert_same(model, values: dict, record: dict) -> None:
    weights = np.array([own or 1.0 for own in record["class_weights"]])
    shift = record["options"]["logit_adjustment"] * np.log(weights)
    for layer in model.layers:
        for weight in layer.weights:
            expected = values[f"{layer.name}/{weight.name}"]
            if layer.name == "classifier" and weight.name == "bias":
                expected = expected - shift
            np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-6)


def test_a_plan_names_every_layer_and_weight():
    for name in ("segnet_lite", "segnet_basic"):
        config = TrainConfig.of(dataset="synthetic", model=name)
        model = build(config, 3)
        layers, weights = pack.plan(model)
        assert [step["name"] for step in layers] == [own.name for own in model.layers]
        assert len(weights) == len(model.weights)
        assert NETWORKS[name].encoder in {step["name"] for step in layers}
