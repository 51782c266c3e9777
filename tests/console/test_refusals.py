"""What the system refuses is one line, and no line changes the terminal."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT

from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.errors import UserError, printable

PICTURE = ROOT / "web" / "street.jpg"


def predict(*words, **more) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "predict.py"), *map(str, words)],
        capture_output="stdout" not in more,
        text=True,
        errors="surrogateescape",
        **more,
    )


def loop(folder: Path) -> Path:
    path = folder / "loop.png"
    path.symlink_to(path)
    return path


@pytest.mark.parametrize(
    "words, says",
    [
        (lambda folder: ["a" * 300 + ".png"], "File name too long"),
        (lambda folder: [PICTURE, "--model", "a" * 300], "File name too long"),
        (lambda folder: [loop(folder)], "loop.png"),
        (lambda folder: [PICTURE, "--output", loop(folder) / "x"], "loop.png"),
    ],
)
def test_names_that_the_system_refuses(words, says, tmp_path):
    done = predict(*words(tmp_path), cwd=tmp_path)

    assert done.returncode == 2 and "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if "error: " in line]
    assert says in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_standard_output_that_is_full(tmp_path):
    with open("/dev/full", "w") as full:
        done = predict(PICTURE, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "standard output: No space left" in done.stderr


@pytest.mark.parametrize("stream, code", [(1, 0), (2, 0)])
def test_streams_that_are_closed(stream, code, tmp_path):
    done = predict(PICTURE, cwd=tmp_path, preexec_fn=lambda: os.close(stream))

    assert done.returncode == code and "Traceback" not in done.stderr
    assert (tmp_path / "predictions" / "street_labels.png").exists()


def test_no_line_holds_control_characters(tmp_path):
    done = predict("no\x1b[31m\r\nX.png", cwd=tmp_path)

    assert done.returncode == 2 and "\x1b" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(r"no\x1b[31m\r\nX.png: no such file")


def test_letters_stay():
    assert printable("Straße 東京 ✓ \udcff") == "Straße 東京 ✓ \udcff"
    assert printable("a\u202eb\x00\x7f\x9b") == r"a\u202eb\x00\x7f\x9b"


def test_threads_take_turns_with_standard_error(capfd):
    """Without a lock one thread would keep another's file as standard error."""

    def once(_):
        with notices_kept_back():
            os.write(2, b"a notice\n")

    before = os.fstat(2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(once, range(400)))
    after = os.fstat(2)
    assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)
    os.write(2, b"still here\n")
    assert capfd.readouterr().err == "still here\n"


def test_a_model_whose_name_is_no_text(tmp_path):
    name = os.fsdecode(b"\xfe.tflite")
    model = ROOT / "saved_models" / "segnet_lite_synthetic" / "model.tflite"
    (tmp_path / name).write_bytes(model.read_bytes())
    done = predict(PICTURE, "--model", name, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "predictions" / "street_labels.png").exists()


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    done = predict("a.png", cwd=tmp_path)

    assert done.returncode == 2
    assert "a.png: is no regular file, but a pipe or a device" in done.stderr


def test_an_error_is_one_line_whatever_it_names():
    error = UserError("a\x1b[2J: no \n such\r file")

    assert str(error) == r"a\x1b[2J: no \n such\r file"
