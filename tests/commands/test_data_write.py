"""`data --write` and exports leave the files of others alone."""

import json

import pytest
from PIL import Image

from segnet_tf.commands import data
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.export.tflite import export_tflite


@pytest.fixture
def mine(tmp_path):
    """A folder of two images whose names make trouble."""
    for name in ("i1", "i1_truth"):
        for kind, mode in (("images", "RGB"), ("masks", "L")):
            path = tmp_path / "mine" / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (32, 32)).save(path)
    (tmp_path / "mine" / "classes.txt").write_text("leaf\n")
    return tmp_path / "mine"


def test_nothing_is_written_into_the_data(mine):
    before = {path: path.read_bytes() for path in mine.rglob("*.png")}
    for place in (mine, mine / "masks", mine / "new"):
        with pytest.raises(UserError, match="would lie in the folder of the data.*wri"):
            data.main(["folder", "--data-dir", str(mine), "--write", str(place)])
    assert {path: path.read_bytes() for path in mine.rglob("*.png")} == before


def test_two_pictures_of_one_name(mine, tmp_path):
    for name in ("i1", "i1_truth"):
        for kind in ("images", "masks"):
            place = mine / kind / "train"
            place.mkdir(exist_ok=True)
            (mine / kind / f"{name}.png").rename(place / f"{name}.png")
    words = ["folder", "--data-dir", str(mine), "--split", "train", "--count", "2"]
    with pytest.raises(UserError, match="i1_truth.png: two of the pictures"):
        data.main([*words, "--write", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_an_export_beside_anothers_labels(tmp_path):
    from networks import network

    model, path = network("segnet_basic"), tmp_path / "m.tflite"
    (tmp_path / "labels.json").write_text('{"mine": 1}')
    with pytest.raises(UserError, match="labels.json: would be overwritten"):
        export_tflite(model, path, INFO, (32, 48))
    assert (tmp_path / "labels.json").read_text() == '{"mine": 1}'
    assert not path.exists()
    (tmp_path / "labels.json").unlink()
    for _ in range(2):
        export_tflite(model, path, INFO, (32, 48))
    assert json.loads((tmp_path / "labels.json").read_text())["classes"]
    assert path.stat().st_size > 1000
