"""What comes along in saved_models/: whole, in agreement, as good as its card says."""

import json
import zipfile

import numpy as np
import pytest
from conftest import ROOT

from segnet_tf import datasets
from segnet_tf.commands.export import output_path
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.evaluation.evaluate import evaluate
from segnet_tf.export.describe import describe
from segnet_tf.inference.model_file import load_model
from segnet_tf.inference.predictor import Predictor

FOLDERS = sorted(path for path in (ROOT / "saved_models").iterdir() if path.is_dir())
SIZES = {
    "segnet_lite_camvid": (352, 480),
    "segnet_lite_streets": (352, 480),
    "segnet_lite_synthetic": (192, 256),
}
each = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def files_of(folder) -> list[str]:
    """The Keras model first, then what was exported of it."""
    names = ["model.keras", "model.tflite", "model_int8.tflite"]
    return names[:2] if folder.name == "segnet_lite_synthetic" else names


def scores_of(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_there_are_three():
    assert [folder.name for folder in FOLDERS] == list(SIZES)


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


@each
def test_keras_model_is_small_and_uncompiled(folder):
    path = folder / "model.keras"
    assert path.stat().st_size < 8 * 2**20
    with zipfile.ZipFile(path) as archive:
        # Loading does not compile here, so that the file has to be asked.
        assert not json.loads(archive.read("config.json")).get("compile_config")
    model = load_model(path)
    assert model.count_params() < 1.5e6
    pools = [layer for layer in model.layers if "WithArgmax" in type(layer).__name__]
    unpools = [layer for layer in model.layers if "Unpool" in type(layer).__name__]
    assert len(pools) == len(unpools) == 4


@each
def test_files_agree_with_the_keras_model(folder):
    # Of a size that the files need not pad, which changes labels at the border.
    image, _ = draw_scene(5, 0, *SIZES[folder.name])
    predictors = [Predictor(folder / name) for name in files_of(folder)]
    expected, *others = (predictor.labels(image) for predictor in predictors)
    assert len(np.unique(expected)) > 3
    for labels, least in zip(others, (0.999, 0.9), strict=False):
        assert (labels == expected).mean() > least


@each
def test_files_and_labels_json_name_the_same_classes(folder):
    told = json.loads((folder / "labels.json").read_text())
    for name in files_of(folder):
        info = Predictor(folder / name).info
        assert list(info.classes) == told["classes"]
        assert [list(colour) for colour in info.colours] == told["colours"]


@each
def test_reports_passed_and_card_has_the_scores(folder):
    for name in files_of(folder)[1:]:
        assert json.loads((folder / f"{name}.json").read_text())["passed"] is True
    card = (folder / "README.md").read_text()
    lines = card.splitlines()
    scores = scores_of(folder)
    means = [percent(scores[name]) for name in ("class_accuracy", "global_accuracy")]
    ends = {
        "**all**": "C {}, G {} | **{}** | {} |".format(
            *means, percent(scores["mean_iou"]), percent(scores["boundary_f1"])
        )
    }
    for name, iou in scores["per_class_iou"].items():
        boundary = scores["per_class_boundary_f1"][name]
        ends[name] = f" | {percent(iou)} | {percent(boundary)} |"
    for name, end in ends.items():
        # Below, a class may have a row of another table.
        row = next(line for line in lines if line.startswith(f"| {name} |"))
        assert row.endswith(end)
    for name in files_of(folder):
        assert f"| `{name}` |" in card
        assert f" {(folder / name).stat().st_size:,} " in card


def test_readme_has_their_scores():
    readme = (ROOT / "README.md").read_text()
    for folder in FOLDERS:
        rows = [line for line in readme.splitlines() if line.startswith("|")]
        [row] = [row for row in rows if f"{folder.name}/README" in row]
        scores = scores_of(folder)
        boundary = percent(scores["boundary_f1"])
        assert f"| {percent(scores['mean_iou'])} (boundary F1 {boundary}) |" in row


@each
def test_exports_of_them_go_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, name in (("tflite", "model_int8.tflite"), ("savedmodel", "savedmodel/1")):
        path = output_path(kind, None, "int8", folder / "model.keras")
        assert path.resolve() == tmp_path / name
    source = tmp_path / "runs" / "mine" / "model.keras"
    assert output_path("tflite", None, "none", source).parent == source.parent


@each
def test_files_say_at_what_size_things_should_stand(folder):
    height, width = json.loads((folder / "labels.json").read_text())["image_size"]
    for name in files_of(folder):
        assert Predictor(folder / name).info.image_size == (height, width)
    told = describe(folder / "model.tflite")
    assert f"trained on images of {height}x{width}" in told


def test_synthetic_scores_are_reached():
    folder = ROOT / "saved_models" / "segnet_lite_synthetic"
    split = datasets.load("synthetic", "val")
    found = evaluate(load_model(folder / "model.keras"), split).scores
    assert found.mean_iou == pytest.approx(scores_of(folder)["mean_iou"], abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["segnet_lite_camvid", "segnet_lite_streets"])
def test_camvid_scores_are_reached(name, camvid_dir):
    folder = ROOT / "saved_models" / name
    split = datasets.load("camvid", "val", camvid_dir)
    found = evaluate(load_model(folder / "model.keras"), split).scores
    assert found.mean_iou == pytest.approx(scores_of(folder)["mean_iou"], abs=2e-3)
    assert found.mean_iou > 0.67 and found.per_class_iou[2] > 0.15
