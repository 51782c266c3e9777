"""Model files: atomic, self-describing, refused in one line when they are not ours."""

import json
import zipfile
from dataclasses import asdict

import keras
import numpy as np
import pytest

from segnet_tf.datasets import DatasetInfo, camvid
from segnet_tf.errors import UserError
from segnet_tf.files import replacing, write_json
from segnet_tf.models import SegNetBasic
from segnet_tf.saving import load_model, read_labels, save_model


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
    with pytest.raises((TypeError, ValueError)):
        DatasetInfo.from_dict(json.loads(of_size(stored)))


@pytest.mark.parametrize("content", ["{", "{}", "[]", *map(of_size, SIZES)])
def test_damaged_labels_are_one_line(content, tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.json", content)
    with pytest.raises(UserError, match="labels.json is damaged"):
        read_labels(path)
