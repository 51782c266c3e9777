"""`.keras` files that want to run code, or to read other files: all are refused."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras.src.saving import serialization_lib

from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import load_model


def function_of(module: str, name: str) -> dict:
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


def object_of(module: str, kind: str, **config) -> dict:
    return {
        "module": module,
        "class_name": kind,
        "config": config,
        "registered_name": None,
    }


ACTIVATIONS = {
    "os.system": function_of("os", "system"),
    "a process": object_of("subprocess", "Popen", args=["touch", "ran"]),
    "a function of Keras": function_of("keras.config", "enable_unsafe_deserialization"),
    "the same, as a class": object_of("keras.config", "enable_unsafe_deserialization"),
}

LAYERS = {
    "bytecode": object_of(
        "keras.layers",
        "Lambda",
        name="dense",
        function={"class_name": "__lambda__", "config": {"code": "4wEAAAAA"}},
    ),
    "a list in another file": object_of(
        "keras.layers", "StringLookup", name="dense", vocabulary="/etc/hostname"
    ),
    "another SavedModel": object_of(
        "keras.layers", "TFSMLayer", name="dense", filepath="other"
    ),
}


@pytest.fixture
def parts(tmp_path, monkeypatch) -> dict[str, bytes]:
    """The entries of a sound file."""
    monkeypatch.chdir(tmp_path)
    images = keras.Input((4,))
    keras.Model(images, keras.layers.Dense(2, name="dense")(images)).save("m.keras")
    with zipfile.ZipFile("m.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(parts: dict[str, bytes]) -> str:
    with zipfile.ZipFile("x.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return "x.keras"


def with_layer(parts: dict[str, bytes], activation=None, layer=None):
    config = json.loads(parts["config.json"])
    dense = config["config"]["layers"][1]
    dense["config"]["activation"] = activation or "tanh"
    dense.update(layer or {})
    return written({**parts, "config.json": json.dumps(config).encode()})


def test_the_way_to_change_a_file_works(parts):
    assert load_model(with_layer(parts)).layers[1].activation is keras.activations.tanh


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_functions_that_are_no_activations(name, parts, tmp_path):
    with pytest.raises(UserError, match="x.keras"):
        load_model(with_layer(parts, activation=ACTIVATIONS[name]))
    assert not (tmp_path / "ran").exists()
    assert serialization_lib.in_safe_mode() is not False


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_run_or_read_something_else(name, parts):
    with pytest.raises(UserError, match="x.keras"):
        load_model(with_layer(parts, layer=LAYERS[name]))


def test_weights_that_are_a_link_to_another_file(parts, tmp_path):
    with h5py.File("secret.h5", "w") as file:
        file["values"] = np.ones((4, 2), np.float32)
    memory = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(memory, "a") as file:
        variables = file["layers/dense/vars"]
        del variables["0"]
        variables["0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/values")
    with pytest.raises(UserError, match="x.keras"):
        load_model(written({**parts, "model.weights.h5": memory.getvalue()}))
