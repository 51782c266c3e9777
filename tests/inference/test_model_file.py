"""Model files: atomic, self-describing, refused in one line when they are not ours."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT

from segnet_tf.datasets import camvid
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.errors import UserError
from segnet_tf.files import replacing, write_json
from segnet_tf.inference.labels_json import dataset_info
from segnet_tf.inference.model_file import load_model, read_labels, save_model
from segnet_tf.models import SegNetBasic


def test_shipped_file_has_no_optimizer_slots(tmp_path):
    model = SegNetBasic(filters=16)
    model.compile("adam", "mse")
    model.fit(np.zeros((1, 16, 16, 3)), np.zeros((1, 16, 16, 11)), verbose=0)
    compiled, shipped = tmp_path / "compiled.keras", tmp_path / "shipped.keras"
    model.save(compiled)
    save_model(model, shipped, camvid.INFO)
    assert shipped.stat().st_size < 0.5 * compiled.stat().st_size
    assert model.optimizer is not None, "saving must leave the model compiled"


def test_a_plain_keras_file_loads_but_names_no_classes(tmp_path):
    path = tmp_path / "plain.keras"
    SegNetBasic(filters=8).save(path)
    assert load_model(path).output_shape[-1] == 11
    assert read_labels(path) is None


@pytest.mark.parametrize("reader", [load_model, read_labels])
def test_what_is_no_model_is_refused(tmp_path, reader):
    text = tmp_path / "text.keras"
    text.write_text("hello")
    for path, message in ((text, "not a .keras"), (tmp_path / "no.keras", "no such")):
        with pytest.raises(UserError, match=message):
            reader(path)


def test_a_foreign_archive_is_refused(tmp_path):
    path = tmp_path / "foreign.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(UserError, match="foreign.keras"):
        load_model(path)


def test_a_file_with_code_in_it_is_refused(tmp_path):
    path = tmp_path / "code.keras"
    inputs = keras.Input((2,))
    outputs = keras.layers.Lambda(lambda x: x * 2)(inputs)
    keras.Model(inputs, outputs).save(path)
    with pytest.raises(UserError, match="code.keras"):
        load_model(path)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"mean_iou": 1})
    before = path.read_text()
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of")
        raise RuntimeError
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path], "and nothing beside it"


def of_size(stored) -> str:
    return json.dumps({**asdict(camvid.INFO), "image_size": stored})


SIZES = [[0, 0], [360], "ab", [-3, 4], [3.5, 4], 360]


@pytest.mark.parametrize("stored", SIZES)
def test_a_damaged_size_is_refused(stored):
    with pytest.raises(ValueError):
        dataset_info(json.loads(of_size(stored)))


@pytest.mark.parametrize("content", ["{", "{}", "[]", *map(of_size, SIZES)])
def test_damaged_labels_are_one_line(content, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.json", content)
    with pytest.raises(UserError, match="labels.json is damaged"):
        read_labels(path)


# --- Files of before the package had folders -----------------------------------------

OLD = sorted((Path(__file__).parent / "written_before").glob("*.keras"))
"""Written by commit 0f33449, whose layers lay in other modules; logits.npz holds every
fourth row and column of what they gave for scene 0 of seed 5, 33x47."""

LOAD_ALONE = """
import sys
import numpy as np
import segnet_tf.layers
import keras
for path in sys.argv[1:]:
    keras.models.load_model(path, compile=False)
"""


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_an_old_file_loads_and_says_the_same(path):
    image = draw_scene(5, 0, 33, 47)[0][None].astype(np.float32)
    with np.load(path.with_name("logits.npz")) as stored:
        expected = stored[path.stem]
    found = load_model(path)(image, training=False).numpy()[:, ::4, ::4]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert read_labels(path).image_size == (33, 47)


NEWER = {"FastDepthwiseConv2D"}
"""Layers that were not there when the old files were written."""


def test_the_old_files_hold_every_layer_that_was_registered():
    import segnet_tf.layers

    text = "".join(zipfile.ZipFile(path).read("config.json").decode() for path in OLD)
    for name in set(segnet_tf.layers.__all__) - NEWER - {"POOLING_MODES"}:
        assert f'"{name}"' in text, name


def test_plain_keras_needs_the_layers_alone():
    """In a new process, since this one has registered them already."""
    command = [sys.executable, "-c", LOAD_ALONE, *map(str, OLD)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, capture_output=True)


def test_a_layer_that_nobody_registers_is_named(tmp_path):
    """Of a class that the loading process does not have."""

    @keras.saving.register_keras_serializable("elsewhere")
    class Gate(keras.layers.Layer):
        def call(self, x):
            return x

    image = keras.Input((None, None, 3))
    keras.Model(image, Gate()(image)).save(tmp_path / "m.keras")
    code = (
        "import segnet_tf\n"
        "try:\n    segnet_tf.load_model('m.keras')\n"
        "except ValueError as error:\n    print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    ).stdout
    assert said.startswith("m.keras: has a layer 'Gate' that is not known here")
    assert said.count("\n") == 1
