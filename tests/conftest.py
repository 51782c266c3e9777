"""Shared by all tests: quiet TensorFlow, CamVid where it is, generated scenes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).parent.parent

# A script's background ignores Ctrl-C, and processes that tests start would inherit it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def camvid_dir() -> str:
    """The CamVid folder, where this machine has it."""
    folder = os.environ.get("SEGNET_TF_CAMVID")
    if not folder:
        pytest.skip("SEGNET_TF_CAMVID is not set: no CamVid here")
    return folder


@pytest.fixture
def run_command():
    """Runs a top-level script as a user would, in a folder of the test's own."""

    def run(*arguments, cwd, check=True) -> subprocess.CompletedProcess:
        script, *rest = map(str, arguments)
        command = [sys.executable, str(ROOT / script), *rest]
        # A user without the package installed runs the scripts from the clone.
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        result = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True
        )
        if check and result.returncode:
            pytest.fail(f"{command} exited {result.returncode}:\n{result.stderr}")
        return result

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """Draws a picture into the current folder, which is empty before."""
    from PIL import Image

    from segnet_tf.datasets.synthetic import draw_scene

    monkeypatch.chdir(tmp_path)

    def make(name: str, index: int = 0, size=(60, 80), **options) -> str:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        Image.fromarray(draw_scene(3, index, *size)[0]).save(name, **options)
        return name

    return make
