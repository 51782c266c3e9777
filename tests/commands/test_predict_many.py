"""`segnet predict` on many pictures: what stops it, what does not, and what is left."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from segnet_tf.commands.predict import predict_files
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.evaluation.overlays import overlay
from segnet_tf.inference.model_file import SHIPPED_MODEL
from segnet_tf.inference.predictor import Predictor

MODEL = str(SHIPPED_MODEL.with_name("segnet_lite_synthetic"))


@pytest.fixture(scope="module")
def predictor():
    return Predictor(MODEL)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of three photos, one of them in a folder inside."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/sub").mkdir(parents=True)
    for index, name in enumerate(["a.png", "b.jpg", "sub/c.png"]):
        Image.fromarray(draw_scene(3, index, 60, 80)[0]).save(tmp_path / "in" / name)
    return tmp_path / "in"


def files_in(folder) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_a_folder_and_what_is_written(photos, predictor, tmp_path, capsys):
    assert predict_files(["in"], MODEL, tmp_path / "out") == 0
    out = tmp_path / "out"
    assert files_in(out) == {
        ".done.jsonl", ".lock", "a_labels.png", "a_overlay.png", "b_labels.png",
        "b_overlay.jpg", "classes.csv", "index.html", "sub/c_labels.png",
        "sub/c_overlay.png",
    }  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines[:3]] == [
        str(out / f"{name}_overlay{suffix}")
        for name, suffix in (("a", ".png"), ("b", ".jpg"), ("sub/c", ".png"))
    ]  # fmt: skip
    assert lines[3].startswith("3 labelled; look at them in ")
    for name in ("a.png", "sub/c.png"):
        image = read_image(photos / name)
        labels = predictor.labels(image)
        stem = str(out / name.removesuffix(".png"))
        np.testing.assert_array_equal(read_ids(f"{stem}_labels.png"), labels)
        expected = np.asarray(overlay(image, labels, predictor.info))
        np.testing.assert_array_equal(read_image(f"{stem}_overlay.png"), expected)
    with (out / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["result"] for row in rows] == ["a", "b", "sub/c"]
    labels = predictor.labels(read_image(photos / "a.png"))
    for index, name in enumerate(INFO.classes):
        assert float(rows[0][name]) == pytest.approx((labels == index).mean(), abs=1e-6)


def read_ids(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


def test_a_broken_picture_among_others(photos, run_command, tmp_path):
    (photos / "broken\x1b[31m.png").write_bytes(b"no picture")
    words = ("predict.py", "in", "nowhere.png", "--model", MODEL, "--output=out")
    result = run_command(*words, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert "\x1b" not in result.stderr + result.stdout
    assert result.stderr.splitlines() == [
        "skipped: nowhere.png: no such file",
        r"skipped: in/broken\x1b[31m.png: not an image of a known format (PNG, JPEG, "
        "TIFF, WebP, ...), or its beginning is damaged",
        "3 labelled, 2 could not be labelled; look at them in out/index.html",
    ]
    assert len(list((tmp_path / "out").rglob("*_labels.png"))) == 3


@pytest.mark.parametrize("words", [["in/x.png"], ["in"], ["empty"], ["nowhere*.png"]])
def test_a_broken_picture_alone(words, run_command, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "in/x.png").write_bytes(b"no picture")
    words = ("predict.py", *words, "--model", MODEL, "--output=out")
    result = run_command(*words, cwd=tmp_path, check=False)
    assert result.returncode == 2 and not result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith("predict.py: error: ")
    assert not (tmp_path / "out").exists()


def test_a_rerun_does_what_is_left(photos, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"

    def again(*names, **settings) -> list[str]:
        """The results that are new."""
        times = {path: path.stat().st_mtime_ns for path in out.rglob("*_labels.png")}
        time.sleep(0.01)
        predict_files(list(names), MODEL, out, **settings)
        return sorted(
            str(path.relative_to(out))
            for path in out.rglob("*_labels.png")
            if times.get(path) != path.stat().st_mtime_ns
        )

    everything = ["a_labels.png", "b_labels.png", "sub/c_labels.png"]
    assert again("in") == everything
    (out / "index.html").unlink()
    assert again("in") == [] and (out / "index.html").exists()
    assert "0 labelled, 3 done before" in capsys.readouterr().out
    assert again("in", overwrite=True) == everything
    (out / "b_overlay.jpg").unlink()
    assert again("in") == ["b_labels.png"]
    Image.fromarray(draw_scene(3, 9, 60, 80)[0]).save(photos / "a.png")
    assert again("in") == ["a_labels.png"]
    # Another file of that name, and other settings.
    Image.fromarray(draw_scene(3, 8, 60, 80)[0]).save(tmp_path / "a.png")
    assert again("a.png") == [f"{tmp_path.name}/a_labels.png"]
    assert again("in", native=True) == everything
    rows = (out / "classes.csv").read_text().splitlines()
    assert len(rows) == 4, "results of other settings are not in the table"
    # What a killed process left half is passed over.
    journal = out / ".done.jsonl"
    journal.write_text(journal.read_text() + '{"key": "12')
    (out / "a_labels.png").unlink()
    assert again("in", native=True) == ["a_labels.png"]
    assert again("in", native=True) == []


def test_outputs_are_chosen(photos, predictor, tmp_path):
    names = ("labels", "overlay", "contours", "probabilities")
    predict_files(["in/b.jpg"], MODEL, tmp_path, outputs=names, format="png", opacity=0)
    image = read_image(photos / "b.jpg")
    stored = np.load(tmp_path / "b_probabilities.npy")
    assert stored.dtype == np.float16
    np.testing.assert_allclose(stored, predictor.probabilities(image), atol=2e-3)
    shown = read_image(tmp_path / "b_overlay.png")[:60, :80]
    np.testing.assert_array_equal(shown, image)
    outlines = read_image(tmp_path / "b_contours.png")[:60, :80]
    assert 0.05 < (outlines != image).any(axis=-1).mean() < 0.9
    predict_files(["in/a.png"], MODEL, tmp_path, outputs=("labels",), palette="safe")
    assert not (tmp_path / "a_overlay.png").exists()
    colours = Image.open(tmp_path / "a_labels.png").getpalette()
    assert colours[:3] == [0x88, 0xCC, 0xEE]


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"outputs": ("labels", "dreams")}, "--write: no 'dreams': choose from labels"),
        ({"format": "gif"}, "--format: no '.gif'"),
        ({"opacity": 1.5}, "--alpha: 1.5"),
        ({"palette": "neon"}, "--palette: no 'neon'"),
        ({"views": ("turn",)}, "--tta: no 'turn': choose from flip, scale"),
    ],
)
def test_settings_that_cannot_be(photos, tmp_path, settings, says):
    with pytest.raises(UserError, match=says):
        predict_files(["in"], MODEL, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_several_views_are_averaged(photos, predictor, tmp_path):
    image = read_image(photos / "a.png")
    predict_files(
        ["in/a.png"], MODEL, tmp_path, views=("flip",), outputs=("probabilities",)
    )
    turned = np.ascontiguousarray(predictor.scaled(image)[:, ::-1])
    native = Predictor(MODEL, native=True)
    back = native.probabilities(turned)[:, ::-1]
    both = (native.probabilities(predictor.scaled(image)) + back) / 2
    from segnet_tf.inference.resizing import resized_scores

    expected = resized_scores(np.ascontiguousarray(both), image.shape[:2])
    found = np.load(tmp_path / "a_probabilities.npy")
    np.testing.assert_allclose(found, expected, atol=2e-3)
    predict_files(["in/a.png"], MODEL, tmp_path / "6", views=("flip", "scale"))
    six = read_ids(tmp_path / "6/a_labels.png")
    assert 0.5 < (six == predictor.labels(image)).mean() < 1


def test_results_never_lie_on_inputs(photos, tmp_path):
    for names, output in ((["in"], "in"), (["in/a.png", "in/a_labels.png"], "in")):
        Image.new("RGB", (8, 8)).save(photos / "a_labels.png")
        before = files_in(tmp_path)
        with pytest.raises(UserError, match="another --output"):
            predict_files(names, MODEL, tmp_path / output)
        assert files_in(tmp_path) == before


def started(tmp_path, *words) -> subprocess.Popen:
    command = [sys.executable, ROOT / "predict.py", "in", "--model", MODEL, *words]
    return subprocess.Popen(
        [*map(str, command), "--output", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def many(folder, count: int) -> None:
    for index in range(count):
        scene = draw_scene(4, index % 5, 60, 80)[0]
        Image.fromarray(scene).save(folder / f"p{index:03}.jpg")


def halves(folder) -> list[str]:
    """Pictures under their final names that cannot be read whole."""
    found = []
    for path in folder.rglob("*.*"):
        if path.suffix in (".png", ".jpg") and ".writing-" not in str(path):
            with Image.open(path) as image:
                try:
                    image.load()
                except OSError:
                    found.append(str(path))
    return found


@pytest.mark.parametrize(
    "name, says", [("SIGINT", "interrupted"), ("SIGHUP", "terminated")]
)
def test_an_end_is_clean_and_the_rest_is_done_later(photos, tmp_path, name, says):
    number = getattr(signal, name)
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup")
    many(photos, 150)
    process = started(tmp_path)
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    out = tmp_path / "out"
    said, end = filter(None, said.splitlines())
    told = int(said.removesuffix(" done; the same command does the rest"))
    assert end == says and 5 <= told
    done = len(list(out.rglob("*_labels.png")))
    assert told <= done < 153 and not halves(out)
    with (out / "classes.csv").open() as file:
        assert len(list(csv.DictReader(file))) == done
    result, _ = started(tmp_path).communicate(timeout=120)
    assert f"{153 - done} labelled, {done} done before" in result


@pytest.mark.parametrize(
    "moments", [3, pytest.param(50, marks=pytest.mark.slow)], ids="{} kills".format
)
def test_a_kill_leaves_no_half_file(photos, tmp_path, moments):
    many(photos, 40)
    chance = random.Random(moments)
    out = tmp_path / "out"
    for _ in range(moments):
        process = started(tmp_path, "--overwrite")
        time.sleep(0.2 + 0.8 * chance.random())
        process.kill()
        process.communicate()
        assert out.exists() is False or not halves(out)
        journal = out / ".done.jsonl"
        if journal.exists():
            for line in journal.read_text().splitlines()[:-1]:
                if line.startswith('{"key"') and line.endswith("}"):
                    json.loads(line)
    process = started(tmp_path)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert len(list(out.rglob("*_labels.png"))) == 43
    assert not [name for name in os.listdir(out) if name.startswith(".writing-")]


def test_a_bar_on_a_terminal(photos, tmp_path):
    pty = pytest.importorskip("pty")
    termios = pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    # One cannot be read, and one has two frames: six in all.
    (photos / "broken.png").write_bytes(b"no picture")
    frames = [Image.fromarray(draw_scene(3, index, 60, 80)[0]) for index in range(2)]
    frames[0].save(photos / "walk.gif", save_all=True, append_images=frames[1:])
    command = [sys.executable, str(ROOT / "predict.py"), "in", "--model", MODEL]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    out, _ = process.communicate(timeout=60)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert process.returncode == 1
    assert "6/6" in shown and "pictures/s" in shown
    assert "5 labelled, 1 could not be labelled" in shown
