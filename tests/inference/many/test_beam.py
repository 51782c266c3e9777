"""The pipeline labels as a predictor does, goes on, and says what it left out."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.errors import UserError
from segnet_tf.inference.many import beam as module
from segnet_tf.inference.many import buckets
from segnet_tf.inference.many.beam import label_files
from segnet_tf.inference.many.settings import Settings
from segnet_tf.inference.model_file import SHIPPED_MODEL
from segnet_tf.inference.predictor import Predictor

MODEL = str(SHIPPED_MODEL.with_name("segnet_lite_synthetic"))


def test_without_beam_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(UserError, match="pip install apache-beam"):
        label_files(["a/*.jpg"], "out", MODEL)


@pytest.fixture(scope="module")
def beam():
    return pytest.importorskip("apache_beam", reason="apache-beam is not installed")


@pytest.fixture(scope="module")
def predictor():
    return Predictor(MODEL)


@pytest.fixture
def photos(tmp_path):
    """A folder with photos of odd sizes, an animation, a damaged and a hidden file."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    scenes = [draw_scene(5, n, *size)[0] for n, size in enumerate([(61, 80), (90, 47)])]
    Image.fromarray(scenes[0]).save(folder / "a.png")
    Image.fromarray(scenes[0]).save(folder / "a.bmp")
    Image.fromarray(scenes[1]).save(folder / "sub" / "höhe.jpg")
    frames = [Image.fromarray(draw_scene(6, n, 60, 80)[0]) for n in range(3)]
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    (folder / "broken.jpg").write_bytes(b"no picture")
    shutil.copy(folder / "a.png", folder / ".hidden.png")
    return folder


@pytest.fixture
def run(beam, tmp_path):
    """Runs a pipeline in this process; gives its records, by name, and its faults."""
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.testing.test_pipeline import TestPipeline

    def run(patterns, output, settings=None) -> tuple[dict, dict]:
        def write(found, name):
            lines = found | f"{name}_lines" >> beam.Map(json.dumps)
            lines | name >> beam.io.WriteToText(f"{tmp_path / name}", ".jsonl")

        def read(name):
            parts = list(tmp_path.glob(f"{name}-*.jsonl"))
            lines = [line for part in parts for line in part.read_text().splitlines()]
            for part in parts:
                part.unlink()
            return [json.loads(line) for line in lines]

        with TestPipeline(runner=FnApiRunner()) as pipeline:
            patterns = [str(each) for each in patterns]
            found = pipeline | label_files(patterns, str(output), MODEL, settings)
            write(found.records, "records")
            write(found.faults, "faults")
        records, faults = read("records"), read("faults")
        named = {record["name"]: record for record in records}
        told = {fault["path"]: fault["fault"] for fault in faults}
        assert (len(named), len(told)) == (len(records), len(faults))
        return named, told

    return run


def times(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_labels_and_records_are_those_of_single_pictures(run, predictor, photos):
    output = photos / "labelled"  # among the pictures: it is left out
    for _ in range(2):
        # A file that two patterns fit is labelled once.
        records, faults = run([photos / "**", photos / "a.*"], output)
        assert list(faults) == [str(photos / "broken.jpg")]
        assert re.match(r"/.*/broken.jpg: not an image", *faults.values())
        stills = {"a.png", "a.bmp", "sub/höhe.jpg"}
        pages = {f"pages.tif_frames/{n:04}" for n in range(3)}
        assert set(records) == stills | pages
    for name in stills:
        labels = predictor.labels(read_image(photos / name))
        found = np.asarray(Image.open(output / f"{name}_labels.png"))
        np.testing.assert_array_equal(found, labels)
        record = records[name]
        assert record["path"] == str(photos / name) and record["frame"] is None
        assert (record["height"], record["width"]) == labels.shape
        classes = predictor.info.classes
        shares = {
            classes[n]: count / labels.size
            for n, count in Counter(labels.ravel().tolist()).items()
        }
        assert record["shares"] == pytest.approx(shares, abs=1e-6)
    assert [records[name]["frame"] for name in sorted(pages)] == [0, 1, 2]
    endings = Counter(name.rpartition("_")[2] for name in times(output))
    assert endings == {"labels.png": 6, "shares.json": 4}


def test_what_is_done_is_not_done_again(run, photos):
    output = photos.parent / "out"
    records, _ = run([photos / "**"], output)
    before = times(output)

    def redone(settings=None) -> set[str]:
        nonlocal before
        again, _ = run([photos / "**"], output, settings)
        assert set(again) == set(records)
        now = times(output)
        changed = {name for name in now if now[name] != before.get(name)}
        before = now
        return changed

    assert redone() == set()
    os.utime(photos / "a.png", (1, 1))
    (output / "a.bmp_labels.png").unlink()
    two = ("a.png", "a.bmp")
    assert redone() == {
        f"{a}_{end}" for a in two for end in ("labels.png", "shares.json")
    }
    damaged = (b'{"key": "', b"[]", b"{}", b"\xff")
    for record, content in zip(output.rglob("*_shares.json"), damaged, strict=True):
        record.write_bytes(content)
    assert redone() == set(before)
    safe = Settings(
        outputs=("labels", "probabilities"), palette="safe", views=("flip",)
    )
    assert redone(safe) == set(before)
    assert redone(safe) == set()


def test_a_damaged_page_is_told_and_the_others_are_kept(run, photos):
    whole = (photos / "pages.tif").read_bytes()
    (photos / "pages.tif").write_bytes(whole[: len(whole) * 3 // 4])
    output = photos.parent / "out"
    for _ in range(2):
        records, faults = run([photos / "pages.tif"], output)
        assert list(faults) == [str(photos / "pages.tif")]
        assert all((output / f"{name}_labels.png").exists() for name in records)
        assert not (output / "pages.tif_shares.json").exists()


def test_names_that_fit_nothing_and_other_files_are_faults(run, photos, beam):
    bad = os.fsencode(photos / "x") + b"\xff.png"
    shutil.copy(photos / "a.png", bad)
    shutil.copy(photos / "a.png", photos / "film.mp4")
    none = photos.parent / "none" / "*.jpg"
    wanted = [none, photos, photos / "x*", photos / "film.mp4", photos / "a.png"]
    records, faults = run(wanted, photos.parent / "out")
    assert set(records) == {"photos/a.png"}
    shown = {path.rpartition("/")[2]: fault for path, fault in faults.items()}
    assert shown.pop("*.jpg").endswith("fits no file (of a folder: folder/**)")
    assert shown.pop("photos").endswith("is a folder, expected an image")
    assert shown.pop("x\\udcff.png").endswith(
        "x\\udcff.png: its name is no UTF-8: rename it"
    )
    assert shown.pop("film.mp4").endswith("a video: use segnet predict")
    assert not shown


@pytest.mark.parametrize("failures, labelled", [(2, True), (3, False)])
def test_a_disk_that_fails_is_asked_again(run, photos, monkeypatch, failures, labelled):
    asked, whole = [], buckets.local

    def failing(path):
        asked.append(path)
        if path.endswith("a.png") and len(asked) <= failures:
            raise OSError(5, "Input/output error")
        return whole(path)

    monkeypatch.setattr(buckets, "local", failing)
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))
    records, faults = run([photos / "a.png"], photos.parent / "out")
    assert len(asked) == 3
    assert set(records) == ({"a.png"} if labelled else set())
    path = str(photos / "a.png")
    told = {path: f"{path}: cannot be read (Input/output error)"}
    assert faults == ({} if labelled else told)


def test_results_that_cannot_be_written_end_the_pipeline(run, photos):
    (photos.parent / "out").write_text("a file")
    with pytest.raises(Exception, match="out/a.png_labels.png: cannot be written"):
        run([photos / "a.png"], photos.parent / "out")


def test_a_worker_with_another_model_is_refused(run, photos, monkeypatch):
    digests = iter(["here", "there"])
    monkeypatch.setattr(module, "_digest_of", lambda *_: next(digests))
    with pytest.raises(Exception, match="has other contents than where the pipeline"):
        run([photos / "a.png"], photos.parent / "out")


def test_a_model_of_other_contents_has_another_digest(beam, tmp_path):
    digest, settings = module._digest_of, Settings()
    kept = digest(Predictor(MODEL), settings)
    shutil.copytree(MODEL, tmp_path / "copy")
    # Another place and time do not count.
    assert digest(Predictor(tmp_path / "copy"), settings) == kept
    assert digest(Predictor(MODEL), Settings(native=True)) != kept
    assert digest(Predictor(SHIPPED_MODEL), settings) != kept


@pytest.mark.parametrize(
    "patterns, output, model, settings, message",
    [
        ([], "out", MODEL, None, r"patterns: \[\]"),
        ("a/*.jpg", "out", MODEL, None, "must be a list"),
        (["a/b/*.jpg"], "a", MODEL, None, "the pictures lie in it"),
        (["gs://a/b/*.jpg"], "gs://a/b/", MODEL, None, "gs://a/b: the pictures lie"),
        (["a"], "out", "nothing", None, "nothing: no model there"),
        (["a"], "hdfs://node/out", MODEL, None, "hdfs://node/out: not on HDFS"),
        (["a"], "out", MODEL, Settings(samples=3), "not with Beam"),
        (["a"], "out", MODEL, Settings(outputs=("label",)), "--write: .*label"),
        (["a"], "out", MODEL, Settings(views=("turn",)), "--tta"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    beam, patterns, output, model, settings, message
):
    with pytest.raises(UserError, match=message):
        label_files(patterns, output, model, settings)


@pytest.fixture
def bucket(beam, tmp_path):
    """Objects with names such as fake://photos/a.png, which lie in a folder."""
    local = beam.io.localfilesystem.LocalFileSystem
    folder = tmp_path / "bucket"

    def place(name):
        return str(folder / name.removeprefix("fake://"))

    class Fake(local):
        @classmethod
        def scheme(cls):
            return "fake"

        def has_dirs(self):
            return False

        def _list(self, prefix):
            for file in filter(Path.is_file, folder.rglob("*")):
                name = f"fake://{file.relative_to(folder)}"
                if name.startswith(prefix):
                    seen = file.stat().st_size, file.stat().st_mtime
                    yield beam.io.filesystem.FileMetadata(name, *seen)

        def exists(self, name):
            return super().exists(place(name))

        def open(self, name, *arguments, **options):
            return super().open(place(name), *arguments, **options)

        def create(self, name, *arguments, **options):
            return super().create(place(name), *arguments, **options)

    yield folder


def test_buckets_hold_what_folders_hold(run, photos, bucket):
    shutil.copytree(photos, bucket / "photos")
    here, _ = run([photos / "**"], photos.parent / "out")
    there, faults = run(["fake://photos/**"], "fake://results/first/")
    assert set(there) == set(here)
    for name, record in there.items():
        assert record == {**here[name], "path": f"fake://{record['path'][7:]}"}
    assert list(faults) == ["fake://photos/broken.jpg"]
    assert faults.popitem()[1].startswith("fake://photos/broken.jpg: not an image")
    before = times(bucket / "results" / "first")
    for name in before:
        if name.endswith(".png"):
            ours = photos.parent / "out" / name
            assert ours.read_bytes() == (bucket / "results/first" / name).read_bytes()
    again, _ = run(["fake://photos/**"], "fake://results/first/")
    assert again == there and times(bucket / "results" / "first") == before


def workers(process: int) -> list[int]:
    """The processes of Beam that another one started, and their shells did."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == process:
            is_worker = b"-m" in command[:2]
            found += [int(place.name)] if is_worker else workers(int(place.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_worker_ends_the_run_and_the_next_one_does_the_rest(beam, tmp_path):
    """Two worker processes, by the script of docs/scale.md."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    script = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "label.py").write_text(script)
    (tmp_path / "photos").mkdir()
    for number in range(60):
        image = Image.fromarray(draw_scene(5, number, 360, 480)[0])
        image.save(tmp_path / "photos" / f"{number}.jpg")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    output = tmp_path / "out"
    options = "--runner=DirectRunner --direct_running_mode=multi_processing"
    command = [sys.executable, "label.py", "out", "photos/**.jpg", *options.split()]

    def started() -> subprocess.Popen:
        return subprocess.Popen(
            [*command, "--direct_num_workers=2"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def done() -> set[Path]:
        return set(output.rglob("*_shares.json"))

    first = started()
    try:
        begun = time.monotonic()
        while len(done()) < 5:
            assert first.poll() is None and time.monotonic() < begun + 100
            time.sleep(0.01)
        victim, _ = workers(first.pid)
        os.kill(victim, signal.SIGKILL)
        _, said = first.communicate(timeout=100)
    finally:
        first.kill()
    # Beam's own word: no other worker takes over what the killed one had.
    assert first.returncode == 1 and "Channel closed prematurely" in said
    kept = {path: path.stat().st_mtime_ns for path in done()}
    assert 5 <= len(kept) < 60
    for path in output.rglob("*_labels.png"):
        Image.open(path).load()

    second = started()
    _, said = second.communicate(timeout=200)
    assert second.returncode == 0, said
    assert len(done()) == 60
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list(output.rglob(".writing*"))
    lines = {
        name: [
            json.loads(line)
            for line in (output / f"{name}.jsonl").read_text().splitlines()
        ]
        for name in ("records", "faults")
    }
    assert len({record["name"] for record in lines["records"]}) == 60
    assert [Path(fault["path"]).name for fault in lines["faults"]] == ["broken.jpg"]
