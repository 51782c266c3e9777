"""One Predictor over every form of a model; .tflite files without TensorFlow."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from networks import network
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.export.describe import describe
from segnet_tf.export.savedmodel import export_savedmodel
from segnet_tf.export.tflite import export_tflite
from segnet_tf.inference import model_file
from segnet_tf.inference.model_file import find_model, save_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.inference.runtimes import open_runtime
from segnet_tf.inference.tflite_metadata import read_metadata
from segnet_tf.inference.tiling import padded, plan


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same small SegNet in every form; its step is 8."""
    folder = tmp_path_factory.mktemp("forms")
    model = network("segnet")
    save_model(model, folder / "model.keras", INFO)
    export_savedmodel(model, folder / "savedmodel" / "1", INFO)
    for result in ("logits", "probabilities", "labels"):
        export_tflite(model, folder / f"{result}.tflite", INFO, (32, 48), result=result)
    export_tflite(model, folder / "odd.tflite", INFO, (45, 61))
    return folder


def test_the_keras_model_of_a_keras_file_alone(files):
    model = Predictor(files / "model.keras").keras_model()
    assert model.output_shape[-1] == 11
    with pytest.raises(UserError, match="logits.tflite: no .keras file"):
        Predictor(files / "logits.tflite").keras_model()


FORMS = pytest.mark.parametrize(
    "form", ["logits.tflite", "model.keras", "savedmodel/1"]
)


@pytest.fixture(scope="module")
def scene():
    """Noise: in even areas the corners of a window differ by rounding alone."""
    return np.random.default_rng(9).integers(0, 256, (72, 104, 3), np.uint8)


@pytest.fixture(scope="module")
def expected(files, scene):
    """Logits of the Keras model itself."""
    from segnet_tf.inference.model_file import load_model

    model = load_model(files / "model.keras")
    return model(scene[None].astype(np.float32), training=False).numpy()[0]


@FORMS
def test_every_form_says_the_same(form, files, scene, expected):
    predictor = Predictor(files / form)
    assert predictor.info == INFO
    labels = predictor.labels(scene)
    assert labels.dtype == np.uint8 and labels.shape == scene.shape[:2]
    assert (labels == expected.argmax(-1)).mean() > 0.999
    probabilities = predictor.probabilities(scene)
    assert probabilities.dtype == np.float32
    exponentials = np.exp(expected - expected.max(-1, keepdims=True))
    softmax = exponentials / exponentials.sum(-1, keepdims=True)
    assert_allclose(probabilities, softmax, atol=1e-3)
    if form == "savedmodel/1":
        with pytest.raises(UserError, match="gives probabilities, no logits"):
            predictor.logits(scene)
    else:
        tolerance = 1e-3 * np.ptp(expected)
        assert_allclose(predictor.logits(scene), expected, atol=tolerance)


def test_files_that_give_less(files, scene, expected):
    labels = Predictor(files / "labels.tflite")
    assert (labels.labels(scene) == expected.argmax(-1)).mean() > 0.999
    with pytest.raises(UserError, match="gives labels, no probabilities"):
        labels.probabilities(scene)
    with pytest.raises(UserError, match="gives probabilities, no logits"):
        Predictor(files / "probabilities.tflite").logits(scene)


@FORMS
@pytest.mark.parametrize("size", [(1, 1), (45, 61), (8, 100), (64, 33)])
def test_any_size(form, size, files):
    image = draw_scene(9, 1, 64, 100)[0][: size[0], : size[1]]
    labels = Predictor(files / form).labels(image)
    assert labels.shape == size
    if form.endswith(".tflite"):
        whole = padded(image, -(-size[0] // 8) * 8, -(-size[1] // 8) * 8)
        again = Predictor(files / form).labels(whole)
        assert_array_equal(labels, again[: size[0], : size[1]])


@FORMS
@pytest.mark.parametrize("size", [(200, 136), (203, 131)])
def test_tiled_equals_untiled(form, size, files, monkeypatch):
    image = draw_scene(9, 2, *size)[0]
    predictor = Predictor(files / form)
    whole, whole_labels = predictor.probabilities(image), predictor.labels(image)
    tiles = []

    def planned(*arguments, **options):
        tiles.extend(plan(*arguments, **options, budget=8 * 120 * 100))
        return tiles

    monkeypatch.setattr("segnet_tf.inference.predictor.plan", planned)
    tiled = predictor.probabilities(image)
    assert len(tiles) > 1
    tiles.clear()
    assert_array_equal(predictor.labels(image), whole_labels)
    if form.endswith(".tflite"):
        assert_array_equal(tiled, whole)
    else:
        # TensorFlow sums in another order for another size.
        assert_allclose(tiled, whole, atol=1e-4)


def test_a_file_of_one_size_takes_no_other(files, scene):
    predictor = Predictor(files / "odd.tflite")
    assert predictor.labels(scene[:45, :61]).shape == (45, 61)
    message = "72x104: this file takes 45x61 .height x width. only.*multiples of 8"
    with pytest.raises(UserError, match=message):
        predictor.labels(scene)


def test_what_a_path_stands_for(files, tmp_path, monkeypatch):
    assert find_model(files / "labels.tflite") == files / "labels.tflite"
    assert find_model(files) == files / "model.keras"
    assert find_model(files / "savedmodel" / "1") == files / "savedmodel" / "1"
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(model_file, "SHIPPED_MODEL", shipped)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no model: train one"):
        find_model()
    for index, name in enumerate(("old", "new")):
        run = tmp_path / "runs" / name / "model.keras"
        run.parent.mkdir(parents=True)
        run.touch()
        os.utime(run, (index, index))
    assert find_model().resolve() == run
    (shipped / "model.keras").touch()
    assert find_model() == shipped / "model.keras"
    (shipped / "model.tflite").touch()
    assert find_model() == shipped / "model.tflite"
    assert find_model(forms=("model.keras",)) == shipped / "model.keras"
    assert model_file.__file__.startswith(str(ROOT / "segnet_tf"))


def test_shipped_models_have_names(tmp_path, monkeypatch):
    names = {"camvid", "synthetic"}
    assert names <= set(model_file.shipped_names())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "camvid").mkdir()
    for name in names:
        folder = ROOT / "saved_models" / f"segnet_lite_{name}"
        assert find_model(name) == folder / "model.tflite"
        assert find_model(name, forms=("model.keras",)) == folder / "model.keras"
    with pytest.raises(UserError, match="mars: no model there: .*camvid.*synthetic"):
        find_model("mars")


def test_shipped_model_lies_beside_the_package():
    assert model_file.SHIPPED_MODEL == ROOT / "saved_models" / "segnet_lite_streets"


def test_released_memory_comes_again_and_the_model_is_still_the_same(files, tmp_path):
    path, image = tmp_path / "model.tflite", draw_scene(9, 3, 40, 56)[0]
    shutil.copy(files / "logits.tflite", path)
    runtime = open_runtime(path)
    expected = runtime.run(image)
    path.write_bytes(b"another file by now")
    for _ in range(2):
        runtime.release()
        assert_array_equal(runtime.run(image), expected)


def test_memory_is_released_after_tiles_alone(files, monkeypatch):
    predictor, released = Predictor(files / "logits.tflite"), []
    monkeypatch.setattr(
        predictor,
        "_runtime",
        replace(predictor._runtime, release=lambda: released.append(1)),
    )
    image = draw_scene(9, 2, 200, 136)[0]
    predictor.labels(image)
    assert not released
    monkeypatch.setattr(
        "segnet_tf.inference.predictor.plan",
        lambda *arguments, **options: plan(*arguments, **options, budget=8 * 120 * 100),
    )
    predictor.labels(image)
    assert released


# --- The command, with TensorFlow out of reach ---------------------------------------


@pytest.fixture
def without_tensorflow(tmp_path):
    """Runs predict.py where importing TensorFlow and its company fails."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("tensorflow", "keras", "tensorflow_datasets", "matplotlib"):
        text = f"raise AssertionError('{name} was imported')\n"
        (stubs / f"{name}.py").write_text(text)

    def run(script, *arguments):
        return subprocess.run(
            [sys.executable, str(ROOT / script), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(stubs)},
            capture_output=True,
            text=True,
        )

    return run


def test_predict_needs_no_tensorflow(files, scene, tmp_path, without_tensorflow):
    Image.fromarray(scene).save(tmp_path / "street.png")
    flags = ("--model", files / "logits.tflite", "--threads", 1)
    result = without_tensorflow("predict.py", "street.png", *flags)
    assert result.returncode == 0, result.stderr
    labels = np.asarray(Image.open(tmp_path / "predictions" / "street_labels.png"))
    assert_array_equal(labels, Predictor(files / "logits.tflite").labels(scene))
    assert (tmp_path / "predictions" / "street_overlay.png").is_file()
    # The stubs do what they are there for.
    result = without_tensorflow("predict.py", "street.png", "--model", files)
    assert "keras was imported" in result.stderr


def cut_off(path):
    return path.read_bytes()[:-3000]


def foreign(path):
    """The flatbuffer alone, as other programs write it."""
    with zipfile.ZipFile(path) as archive:
        begin = min(entry.header_offset for entry in archive.infolist())
    return path.read_bytes()[:begin]


def with_other_metadata(path, change):
    """The same flatbuffer, with something else said about it."""
    with zipfile.ZipFile(path) as archive:
        labels = json.loads(archive.read("labels.json"))
    change(labels)
    content = io.BytesIO(foreign(path))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("labels.json", json.dumps(labels))
    return content.getvalue()


def of_a_strange_output(labels):
    labels["output"] = "depths"


def of_fewer_classes(labels):
    del labels["classes"][-1], labels["colours"][-1]


MISTAKES = {
    "cut off": ("cut.tflite", [], "cut.tflite: names no classes: damaged, or not"),
    "foreign": ("foreign.tflite", [], "foreign.tflite: names no classes"),
    "not a model": ("street.png", [], "no model that can be run: name a .tflite"),
    "missing": ("nothing.tflite", [], "nothing.tflite: no model there"),
    "one size": ("odd.tflite", [], "72x104: this file takes 45x61"),
    "threads": ("logits.tflite", ["--threads", "0"], "0 threads: must be 1 to 1024"),
    "more": ("logits.tflite", ["--threads", "9999"], "9999 threads: must be 1 to 1024"),
    "output": (
        "output.tflite",
        [],
        "output.tflite: its labels.json is damaged (output: 'depths')",
    ),
    "depth": ("depth.tflite", [], "its tensors are not those of logits for 10 classes"),
    "folder": ("empty", [], "empty: no model there: name a model file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_get_one_line(mistake, files, scene, tmp_path, without_tensorflow):
    name, flags, message = MISTAKES[mistake]
    source = files / "logits.tflite"
    (tmp_path / "cut.tflite").write_bytes(cut_off(source))
    (tmp_path / "foreign.tflite").write_bytes(foreign(source))
    for other, change in (
        ("output", of_a_strange_output),
        ("depth", of_fewer_classes),
    ):
        path = tmp_path / f"{other}.tflite"
        path.write_bytes(with_other_metadata(source, change))
    (tmp_path / "empty").mkdir()
    Image.fromarray(scene).save(tmp_path / "street.png")
    model = name if (tmp_path / name).exists() else files / name
    result = without_tensorflow("predict.py", "street.png", "--model", model, *flags)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    lines = [line for line in result.stderr.splitlines() if "INFO" not in line]
    assert len(lines) == 1
    assert not (tmp_path / "predictions").exists()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"image_size": [0, 0]}'])
def test_damaged_labels_of_a_savedmodel(files, tmp_path, content):
    folder = tmp_path / "1"
    shutil.copytree(files / "savedmodel" / "1", folder)
    (folder / "assets.extra" / "labels.json").write_text(content)
    with pytest.raises(UserError, match="labels.json is damaged"):
        open_runtime(folder)


def test_export_refuses_before_tensorflow_is_imported(
    files, tmp_path, without_tensorflow
):
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "foreign.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    int8 = ("--quantize", "int8", "--calibration", "empty")
    for flags, message in (
        (("--model", files, *int8), "empty: no images there to calibrate with"),
        (("--model", files, "--quantize", "int8"), "100 images or more, not 0"),
        (("--model", "foreign.keras"), "foreign.keras: does not name its classes"),
    ):
        result = without_tensorflow("export.py", *flags, "--output", "m.tflite")
        assert result.returncode == 2
        assert message in result.stderr and result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("m*"))


def test_describe(files, tmp_path, without_tensorflow):
    result = without_tensorflow("export.py", "--describe", files / "logits.tflite")
    assert result.returncode == 0, result.stderr
    size = (files / "logits.tflite").stat().st_size
    for fact in (
        f"{size:,} bytes",
        "uint8 (1, 32, 48, 3), value = 1 * (stored - 0)",
        "0 to 255, nothing subtracted",
        "multiples of 8",
        "float32 (1, 32, 48, 11), not quantised",
        "0 Sky         #808080",
        "CONV_2D",
        "in 1 piece(s)",
    ):
        assert fact in result.stdout
    assert "exactly this size" in describe(files / "odd.tflite")
    (tmp_path / "foreign.tflite").write_bytes(foreign(files / "logits.tflite"))
    text = describe(tmp_path / "foreign.tflite")
    assert "uint8 (1, 32, 48, 3)" in text and "0 to 255" in text
    assert "none named: not an export of segnet_tf" in text and "CONV_2D" in text
    (tmp_path / "cut.tflite").write_bytes(cut_off(files / "logits.tflite"))
    with pytest.raises(UserError, match="LiteRT cannot run it"):
        describe(tmp_path / "cut.tflite")


def test_files_know_their_receptive_field(files):
    metadata = read_metadata(files / "logits.tflite")
    assert metadata.receptive_field.step == metadata.multiple == 8
    assert metadata.receptive_field.channels == 11
    assert metadata == type(metadata).from_dict(metadata.as_dict())
    # Files of earlier versions do not have it: they are run whole.
    old = metadata.as_dict()
    del old["footprint"]
    assert type(metadata).from_dict(old).receptive_field is None
