"""Settings, terminals and pipes that other programs left behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet_tf.console import cli, surroundings
from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.inference.model_file import SHIPPED_MODELS

ROOT = Path(__file__).parents[2]
MODEL = SHIPPED_MODELS / "segnet_lite_synthetic" / "model.tflite"


def run(code_or_arguments, cwd, **variables) -> subprocess.CompletedProcess:
    """Runs Python with these environment variables added."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    environment = {key: value for key, value in environment.items() if value}
    arguments = code_or_arguments
    if isinstance(arguments, str):
        arguments = ["-c", arguments]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
    )


def predict(name: str, folder: Path, **variables) -> subprocess.CompletedProcess:
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(folder / name)
    return run([ROOT / "predict.py", name, "--model", MODEL], folder, **variables)


DRAW = """
from segnet_tf.console import cli
def draw():
    from segnet_tf.evaluation.plots import draw_curves
    draw_curves([{"epoch": 1, "loss": 1.0, "mean_iou": 0.5}], "curves.png")
cli.run(draw, "draw")
"""


@pytest.mark.parametrize("backend", ["nonsense", "module://no.such.backend", "TkAgg"])
def test_a_notebooks_backend_of_matplotlib(backend, tmp_path):
    result = run(DRAW, tmp_path, MPLBACKEND=backend)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "curves.png").stat().st_size > 1000


BUILD = """
from segnet_tf.console import cli
from segnet_tf.console.quiet import import_tensorflow
def build():
    import_tensorflow()
    import keras
    from segnet_tf.models import SegNetBasic
    logits = SegNetBasic(filters=4)(keras.ops.zeros((1, 32, 48, 3)))
    print(keras.config.backend(), logits.shape, logits.dtype.name)
cli.run(build, "build")
"""


def keras_json(folder: Path, **changes) -> str:
    content = {"backend": "jax", "floatx": "float16", "epsilon": 1e-7}
    content["image_data_format"] = "channels_first"
    (folder / "keras.json").write_text(json.dumps({**content, **changes}))
    return str(folder)


def test_keras_settings_of_another_framework(tmp_path):
    home = keras_json(tmp_path)
    result = run(BUILD, tmp_path, KERAS_HOME=home, KERAS_BACKEND="torch")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "tensorflow (1, 32, 48, 11) float32"


@pytest.mark.slow
def test_a_value_that_keras_does_not_know(tmp_path):
    result = run(BUILD, tmp_path, KERAS_HOME=keras_json(tmp_path, floatx="float8"))
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "keras.json: has a value that Keras does not know" in result.stderr


def test_variables_that_would_shorten_a_training(monkeypatch):
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    monkeypatch.setenv("KERAS_MAX_STEPS_PER_EPOCH", "1")
    cli.run(lambda: None, "train")
    assert not {"KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"} & set(os.environ)


def test_a_protobuf_that_there_is_no_more(monkeypatch):
    """`=cpp` was an answer to errors of older packages; TensorFlow fails with it."""
    monkeypatch.setenv("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "cpp")
    cli.run(lambda: None, "train")
    assert "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION" not in os.environ


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"KERAS_BACKEND": "jax"}, "not installed"),
        pytest.param({"KERAS_HOME": "here"}, "channels_first", marks=pytest.mark.slow),
    ],
)
def test_the_package_itself_says_what_it_needs(variables, words, tmp_path):
    keras_json(tmp_path, backend="tensorflow", floatx="float32")
    variables = {
        key: str(tmp_path) if value == "here" else value
        for key, value in variables.items()
    }
    result = run("import segnet_tf.layers", tmp_path, **variables)
    last = result.stderr.strip().splitlines()[-1]
    assert result.returncode == 1 and last.startswith("ImportError: ") and words in last


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_the_letters(encoding, tmp_path):
    result = predict("路 straße.png", tmp_path, PYTHONIOENCODING=encoding)
    assert result.returncode == 0, result.stderr
    assert ": " in result.stdout
    assert (tmp_path / "predictions/路 straße_labels.png").is_file()


@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_pipe_whose_reader_has_gone(lines, tmp_path):
    """Few lines are written at the end only."""
    say = f"cli.run(lambda: [print('x' * 99) for _ in range({lines})], 'say')"
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [sys.executable, "-c", f"from segnet_tf.console import cli; {say}"],
        stdout=write,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    os.close(write)
    assert process.communicate()[1] == ""
    assert process.returncode == 141


def test_a_current_folder_that_has_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    result = subprocess.run(
        ["sh", "-c", 'rmdir ../gone && exec "$@"', "sh", sys.executable]
        + [str(ROOT / "predict.py"), "x.png"],
        cwd=gone,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "the current folder has been deleted" in result.stderr


def test_no_home_and_no_folder_for_temporary_files(tmp_path, monkeypatch):
    result = predict("a.png", tmp_path, HOME="", TMPDIR=str(tmp_path / "none"))
    assert result.returncode == 0, result.stderr

    def none(*_, **__):
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    with notices_kept_back():
        os.write(2, b"notice\n")


def test_output_that_is_no_stream(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    surroundings.settle()


@pytest.mark.slow
def test_ctrl_c_at_any_moment(tmp_path):
    """From the first of our lines on: Python itself takes its first 0.1 s."""
    flags = "--dataset synthetic --train-split train:8 --val-split val:2 --epochs 1"
    for number in range(16):
        process = subprocess.Popen(
            [sys.executable, ROOT / "train.py", *flags.split()]
            + ["--output", tmp_path / str(number)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.2 + number * 0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 130), (number, errors)
        assert "Traceback" not in errors
