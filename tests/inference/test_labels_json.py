"""labels.json as input from anywhere: one schema for all four forms of a model."""

import json
import os
import pickle
import resource
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.export.tflite import export_tflite
from segnet_tf.inference import labels_json
from segnet_tf.inference.model_file import SHIPPED_MODELS, read_labels, save_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.inference.tflite_metadata import read_metadata

GOOD = {
    **asdict(replace(INFO, image_size=(64, 96))),
    "output": "logits",
    "size": [64, 96],
    "multiple": 16,
    "footprint": {"step": 16, "margin": 99, "channels": 11},
}
NAMES = [f"class {number}" for number in range(300)]

BAD = {
    "no object": [],
    "no name": {"name": None},
    "a long name": {"name": "x" * 101},
    "no classes": {"classes": []},
    "classes as text": {"classes": "road"},
    "a class name of a megabyte": {"classes": ["x" * 10**6, *INFO.classes[1:]]},
    "a class name with a line break": {"classes": ["a\nb", *INFO.classes[1:]]},
    "a class name that clears the screen": {"classes": ["\x1b[2J", *INFO.classes[1:]]},
    "a class that is a number": {"classes": [1, *INFO.classes[1:]]},
    "a class twice": {"classes": ["a"] * 11},
    "256 classes": {"classes": NAMES[:256], "colours": [[0, 0, 0]] * 256},
    "a colour too few": {"colours": [[0, 0, 0]] * 10},
    "a colour of 999": {"colours": [[999, 0, 0]] * 11},
    "a colour of -1": {"colours": [[-1, 0, 0]] * 11},
    "a colour of 1.5": {"colours": [[1.5, 0, 0]] * 11},
    "a colour of two numbers": {"colours": [[1, 0]] * 11},
    "an ignore label of 256": {"ignore_label": 256},
    "an ignore label that is true": {"ignore_label": True},
    "2 channels": {"channels": 2},
    "channels as text": {"channels": "3"},
    "an image of 10^6 squared": {"image_size": [10**6, 10**6]},
    "an image of 60,000 squared": {"image_size": [60_000, 60_000]},
    "an image of no height": {"image_size": [0, 4]},
    "an image of one number": {"image_size": 360},
    "a range that falls": {"value_range": [5, 1]},
    "a range without end": {"value_range": [0, float("inf")]},
    "a range of nan": {"value_range": [float("nan"), 1]},
}
BAD_FOR_TFLITE = {
    "a footprint of step 0": {"footprint": {"step": 0, "margin": 9, "channels": 4}},
    "a margin of 10^9": {"footprint": {"step": 8, "margin": 10**9, "channels": 4}},
    "a margin of -50": {"footprint": {"step": 8, "margin": -50, "channels": 4}},
    "a footprint that is a list": {"footprint": [1, 2, 3]},
    "an unknown output": {"output": "colours"},
    "no output": {"output": None},
    "a size of three": {"size": [1, 2, 3]},
    "a multiple of 0": {"multiple": 0},
    "a multiple of 1.5": {"multiple": 1.5},
}


def changed(changes) -> str:
    if not isinstance(changes, dict):
        return json.dumps(changes)
    return json.dumps({**GOOD, **changes})


def test_the_good_one_is_read():
    labels = labels_json.parsed(json.dumps(GOOD))
    assert labels_json.dataset_info(labels) == replace(INFO, image_size=(64, 96))
    assert labels_json.receptive_field(labels).margin == 99
    assert labels_json.receptive_field({}) is None
    older = {k: v for k, v in labels.items() if k not in ("channels", "image_size")}
    assert labels_json.dataset_info(older) == INFO


@pytest.mark.parametrize("kind", BAD)
def test_what_is_refused(kind):
    with pytest.raises(ValueError) as caught:
        labels_json.dataset_info(labels_json.parsed(changed(BAD[kind])))
    message = str(caught.value)
    assert message.isprintable() and len(message) < 200


@pytest.mark.parametrize(
    "text",
    ["{", "nothing", "[" * 100_000, '{"a":' * 100_000, " " * (2**20 + 1)],
    ids=["half", "words", "deep lists", "deep objects", "blanks"],
)
def test_what_is_no_object(text):
    with pytest.raises(ValueError):
        labels_json.parsed(text)


@pytest.mark.parametrize("count", [1, 2, 254, 255])
def test_so_many_classes_are_accepted(count, tmp_path):
    info = DatasetInfo("many", tuple(NAMES[:count]), ((1, 2, 3),) * count)
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.Conv2D(count, 1)(images))
    save_model(model, tmp_path / "m.keras", info)
    assert read_labels(tmp_path / "m.keras").num_classes == count


@pytest.mark.parametrize("count", [0, 256, 257, 300])
def test_so_many_classes_are_refused(count):
    """`Predictor.labels` gives bytes: class 299 would come out as 43."""
    with pytest.raises(ValueError, match=f"{count} classes, must be 1 to 255"):
        DatasetInfo("many", tuple(NAMES[:count]), ((1, 2, 3),) * count)


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    from networks import network

    path = tmp_path_factory.mktemp("lite") / "m.tflite"
    export_tflite(network("segnet_basic"), path, INFO, (64, 96))
    return path


def with_labels(source, target, text: str | bytes, kind=zipfile.ZIP_DEFLATED):
    """A copy of a `.tflite` file with another labels.json."""
    with zipfile.ZipFile(source) as archive:
        end = archive.infolist()[0].header_offset
    target.write_bytes(source.read_bytes()[:end])
    with zipfile.ZipFile(target, "a", kind) as archive:
        archive.writestr("labels.json", text)
    return target


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_unpack_all_at_once(kind, lite, tmp_path):
    path = with_labels(lite, tmp_path / "x.tflite", b" " * 10**7, kind)
    with pytest.raises(UserError, match=f"damaged .compression {kind}"):
        Predictor(path)


@pytest.mark.parametrize("kind", {**BAD, **BAD_FOR_TFLITE})
def test_a_tflite_file_is_refused(kind, lite, tmp_path):
    text = changed({**BAD, **BAD_FOR_TFLITE}[kind])
    path = with_labels(lite, tmp_path / "x.tflite", text)
    with pytest.raises(UserError, match="its labels.json is damaged"):
        read_metadata(path)


OTHERS = {
    "labels of a file of logits": {"output": "labels"},
    "12 classes of a file of 11": {
        "classes": NAMES[:12],
        "colours": [[1, 2, 3]] * 12,
    },
    "grey images of a file for RGB": {"channels": 1},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_tflite_file_that_is_not_what_it_says(kind, lite, tmp_path):
    path = with_labels(lite, tmp_path / "x.tflite", changed(OTHERS[kind]))
    with pytest.raises(UserError, match="damaged: its tensors are not those of"):
        Predictor(path)


def test_gigabytes_behind_a_small_file(lite, tmp_path):
    """Half a GiB of blanks takes 0.5 MB in the archive."""
    path = tmp_path / "x.tflite"
    with zipfile.ZipFile(lite) as archive:
        path.write_bytes(lite.read_bytes()[: archive.infolist()[0].header_offset])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("labels.json", "w", force_zip64=True) as entry:
            for _ in range(512):
                entry.write(b" " * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with pytest.raises(UserError, match="its labels.json is damaged"):
        read_metadata(path)
    assert time.perf_counter() - start < 0.5
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 50 * 2**10, "KiB"


def test_every_flipped_bit_of_the_weights_is_noticed(lite, tmp_path):
    data = lite.read_bytes()
    with zipfile.ZipFile(lite) as archive:
        end = archive.infolist()[0].header_offset
    path = tmp_path / "x.tflite"
    rng = np.random.default_rng(0)
    for place in rng.integers(8, end, 60).tolist():
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged: its bytes are not those"):
            read_metadata(path)
    path.write_bytes(data)
    assert read_metadata(path) == read_metadata(lite)


def test_a_file_without_a_checksum_is_read(lite, tmp_path):
    path = with_labels(lite, tmp_path / "x.tflite", changed({}))
    assert Predictor(path).labels(draw_scene(1, 0, 64, 96)[0]).shape == (64, 96)


# --- threads and processes -----------------------------------------------------------

SCENES = [draw_scene(3, index, 32 + 16 * (index % 3), 48)[0] for index in range(6)]


def test_one_predictor_in_eight_threads(lite):
    predictor = Predictor(lite, native=True)
    expected = [predictor.labels(scene) for scene in SCENES]

    def same(call: int) -> bool:
        index = call % len(SCENES)
        return np.array_equal(predictor.labels(SCENES[index]), expected[index])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(same, range(200))) == 200


@pytest.mark.slow
def test_memory_is_flat_over_2000_calls(lite):
    """A service that runs for hours: images of many sizes, one predictor."""
    predictor = Predictor(lite)
    rng, used = np.random.default_rng(0), []
    for _ in range(2000):
        height, width = rng.integers(64, 400, 2)
        predictor.labels(rng.integers(0, 256, (height, width, 3), np.uint8))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        used.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    # The largest size of each half takes the same.
    assert max(used[1000:]) - max(used[:1000]) < 16


def label(predictor: Predictor) -> np.ndarray:
    return predictor.labels(SCENES[0])


FORKED = """
import multiprocessing, sys
import numpy as np
from segnet_tf import Predictor
image = np.zeros((32, 48, 3), np.uint8)
predictor = Predictor(sys.argv[1], native=True)
predictor.labels(image)
with multiprocessing.get_context("fork").Pool(1) as pool:
    try:
        print("shape", pool.apply(predictor.labels, [image]).shape)
    except Exception as error:
        print("refused", error)
"""


def in_a_fork(path) -> str:
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    return done.stdout.splitlines()[-1]


def test_a_forked_process(lite, tmp_path):
    """TensorFlow would wait for ever there."""
    from networks import network

    save_model(network("segnet_basic"), tmp_path / "m.keras", INFO)
    assert in_a_fork(lite) == "shape (32, 48)"
    refused = in_a_fork(tmp_path / "m.keras")
    assert refused.startswith("refused TensorFlow does not compute in a forked")


def test_another_file_copied_over_the_model(lite, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(lite.read_bytes())
    predictor = Predictor(path, native=True)
    expected = predictor.labels(SCENES[0])
    path.write_bytes(b"")
    assert np.array_equal(predictor.labels(SCENES[0]), expected)


def test_a_predictor_can_be_pickled_and_sent(monkeypatch):
    folder = SHIPPED_MODELS / "segnet_lite_synthetic"
    monkeypatch.chdir(folder)
    predictor = Predictor("model.tflite", threads=1, native=True)
    expected = label(predictor)
    monkeypatch.chdir("/")
    again = pickle.loads(pickle.dumps(predictor))
    assert np.array_equal(label(again), expected) and again.info == predictor.info
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert np.array_equal(pool.submit(label, predictor).result(), expected)
