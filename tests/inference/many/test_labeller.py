"""Runs after runs into one folder: what counts as done, and what is never written
over; files that change, vanish or cannot be written."""

import errno
import io
import json
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from labelled import MODEL, animation, content, run, table
from PIL import Image

from segnet_tf.commands import predict
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.inference.many import labeller, record
from segnet_tf.inference.many.inventory import Inventory, lines
from segnet_tf.inference.many.reading import Picture
from segnet_tf.inference.many.record import Record
from segnet_tf.inference.many.results import Results
from segnet_tf.inference.many.sources import Source


def test_the_last_run_with_a_name_counts(photo):
    photo("a/x.png", 1)
    photo("b/x.png", 2)
    alone = {}
    for index, settings in enumerate(({}, {"views": ("flip",)}, {"opacity": 0.9})):
        run("a/x.png", output=f"alone{index}", **settings)
        alone[index] = content(f"alone{index}/x_overlay.png")
    run("a/x.png")
    for index, settings in ((1, {"views": ("flip",)}), (2, {"opacity": 0.9}), (0, {})):
        run("a/x.png", **settings)
        assert content("out/x_overlay.png") == alone[index]
    run("b/x.png")
    assert content("out/x_overlay.png") == alone[0]
    assert [row["picture"] for row in table()] == [
        os.path.abspath("b/x.png"),
        os.path.abspath("a/x.png"),
    ]


def test_a_picture_is_in_the_table_once(photo):
    photo("x.png")
    run("x.png")
    photo("x.jpg", 1)
    run("x.png", "x.jpg")
    assert sorted(row["result"] for row in table()) == ["x", "x.jpg"]
    run("x.png", "x.png", ".", "./.")
    assert sorted(row["result"] for row in table()) == ["x", "x.jpg"]


def test_a_file_that_changes_meanwhile_is_done_again(photo, monkeypatch, capsys):
    photo("x.png")
    write = Results.write

    def slow(self, prediction):
        time.sleep(0.01)
        photo("x.png", 5)
        return write(self, prediction)

    with monkeypatch.context() as patched:
        patched.setattr(Results, "write", slow)
        run("x.png")
    assert "x.png: changed while it was labelled" in capsys.readouterr().out
    run("x.png")
    assert "done before" not in capsys.readouterr().out
    run("x.png")
    assert "1 done before" in capsys.readouterr().out


def test_a_file_that_vanishes_stops_no_other(photo, monkeypatch):
    photo("x.png")
    photo("y.png", 1)
    write = Results.write

    def deleting(self, prediction):
        if os.path.exists("x.png"):
            os.remove("x.png")
        return write(self, prediction)

    monkeypatch.setattr(Results, "write", deleting)
    run("x.png", "y.png")
    assert len(table()) == 2


@pytest.mark.parametrize(
    "names, settings",
    [
        (["x.mp4", "x_overlay.mp4"], {}),
        (["x.avi", "x_overlay.mkv"], {}),
        (["x.tif", "x_labels.tif"], {"native": True}),
        (["x.png", "x_uncertainty.npy"], {"samples": 2, "uncertainty": True}),
        (["x.gif", "x_frames/0001_labels.png"], {}),
    ],
)
def test_inputs_are_not_written_over(photo, monkeypatch, names, settings):
    monkeypatch.setattr(labeller, "find_model", lambda *_: MODEL)
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(b"mine")
    with pytest.raises(UserError, match="is an input and would be overwritten"):
        run(*names, output=".", **settings)
    assert [content(name) for name in names] == [b"mine"] * 2


def test_frames_lie_beside_their_file(photo, capsys):
    animation("walk.gif")
    photo("cv1.png")
    assert run("walk.gif", "cv1.png", output=".") == 0
    assert os.path.exists("cv1_labels.png")
    assert sorted(os.listdir("walk_frames")) == [
        f"000{index}_{name}.png" for index in (0, 1) for name in ("labels", "overlay")
    ]
    animation("A/walk.gif", 2)
    photo("B/walk_frames/0000.png", 3)
    assert run("A", "B") == 0
    assert len(table()) == 3
    assert len([1 for *_, files in os.walk("out") for f in files if "labels" in f]) == 3


@pytest.mark.parametrize("name", ["index.html", "classes.csv"])
def test_files_of_others_stay(photo, name):
    photo("x.png")
    os.makedirs("web")
    with open(f"web/{name}", "w") as file:
        file.write("<!doctype html><title>My site</title>")
    with pytest.raises(UserError, match=f"web/{name}: is not from this command"):
        run("x.png", output="web")
    assert "My site" in content(f"web/{name}").decode()
    os.remove(f"web/{name}")
    run("x.png", output="web")
    run("x.png", output="web")


def test_an_output_that_is_no_folder(photo):
    photo("x.png")
    for output in ("x.png", "x.png/deeper"):
        with pytest.raises(UserError, match=r"x.png: is no folder: choose another"):
            run("x.png", output=output)
    os.makedirs("out/.done.jsonl")
    os.makedirs("endless")
    os.symlink("/dev/zero", "endless/.done.jsonl")
    for output in ("out", "endless"):
        with pytest.raises(UserError, match=r".done.jsonl: is no file: move it away"):
            run("x.png", output=output)


def test_lines_that_are_not_whole_are_passed_over(photo, capsys):
    photo("x.png")
    run("x.png")
    _, line = map(json.loads, content("out/.done.jsonl").splitlines())
    with open("out/.done.jsonl", "w") as file:
        for name in line:
            less = {key: value for key, value in line.items() if key != name}
            file.write(json.dumps(less) + "\n")
            file.write(json.dumps({**line, name: [1]}) + "\n")
        file.write("null\n[]\n7\n\xfe\n")
        file.write(json.dumps(line) + "\n")
    run("x.png")
    assert "1 done before" in capsys.readouterr().out and len(table()) == 1


def test_a_record_that_cannot_be_written(photo, tmp_path, monkeypatch):
    class Full(io.RawIOBase):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record.Record, "_opened", lambda self: Full())
    photo("x.png")
    photo("y.png")
    with pytest.raises(UserError, match=r"out/.done.jsonl: cannot be written \(No sp"):
        run("x.png", "y.png")
    short = SimpleNamespace(write=lambda line: len(line) - 1, close=lambda: None)
    monkeypatch.setattr(record.Record, "_opened", lambda self: short)
    with pytest.raises(UserError, match="cannot be written"):
        Record(Inventory(tmp_path), {}).add(
            Picture.at(Source("x.png", "x")), (1, 1), [], []
        )


def test_the_end_of_a_full_disk_keeps_what_is_done(photo, monkeypatch):
    photo("x.png")
    photo("y.png", 1)
    write = Results.write

    def full(self, prediction):
        if prediction.path == "y.png":
            time.sleep(0.3)
            cause = OSError(errno.ENOSPC, "No space left on device")
            raise UserError("y_overlay.png: cannot be written") from cause
        return write(self, prediction)

    monkeypatch.setattr(Results, "write", full)
    # The first one has been told when the disk is full.
    with pytest.raises(UserError, match="y_overlay.png: cannot be written"):
        run("x.png", "y.png")
    assert [row["result"] for row in table()] == ["x"]


def test_one_that_cannot_be_written_stops_no_other(photo, capsys):
    photo("wide.jpg", size=(4, 65_400))
    photo("y.png")
    photo("z.png")
    os.makedirs("out/z_labels.png/full")
    assert run("wide.jpg", "z.png", "y.png") == 2
    said = capsys.readouterr().err
    assert "out/wide_overlay.jpg: a JPEG file has at most 65,500 pixels a side" in said
    assert "out/z_labels.png: cannot be written" in said and "writing-" not in said
    assert os.path.exists("out/y_labels.png")
    assert [row["result"] for row in table()] == ["y"]


def test_nothing_labelled_has_no_page(photo, capsys):
    for name in ("x.png", "y.png"):
        photo(name)
        os.truncate(name, 50)
    assert run("x.png", "y.png") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "0 labelled, 2 could not be labelled"
    )
    assert not os.path.exists("out")


def test_a_name_that_is_no_text(photo):
    photo("x.png")
    name = os.fsdecode(b"\xfe.png")
    try:
        os.rename("x.png", name)
    except OSError:
        pytest.skip("a file system of text alone")
    run(name)
    assert "\\udcfe" in content("out/classes.csv").decode("utf-8")
    *_, row = lines("out")
    assert row["name"] == os.fsdecode(b"\xfe")


def test_uncertainty_belongs_to_the_results(tmp_path):
    results = Results(tmp_path, INFO, uncertainty=True)
    names = {path.name for path in results.files("a.jpg", "a").values()}
    assert {"a_uncertainty.png", "a_uncertainty.npy", "a_overlay.jpg"} < names


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_flags_say_what_they_take(photo, monkeypatch):
    photo("-photos/x.png", size=(40, 43))
    found = {}
    with monkeypatch.context() as patched:
        patched.setattr(
            predict, "predict_files", lambda *_, **settings: found.update(settings) or 0
        )
        predict.main(["x", "--tta", "flip, scale,flip", "--format", ".JPG"])
    assert found["views"] == ("flip", "scale") and found["format"] == "jpg"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    words = ["-photos", "--model", MODEL, "--output", "out", "--max-pixels"]
    with pytest.raises(UserError, match="1,720 pixels, above the limit of 1,719"):
        predict.main([*words, str(40 * 43 - 1)])
    predict.main([*words, str(40 * 43)])
    assert np.asarray(Image.open("out/x_labels.png")).shape == (40, 43)


def test_an_output_without_a_name(photo):
    photo("x.png")
    with pytest.raises(UserError, match="--output: is empty: name a folder"):
        predict.main(["x.png", "--model", MODEL, "--output", ""])
    assert os.listdir() == ["x.png"]
