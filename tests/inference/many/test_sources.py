"""Which files are meant, and what their results are called."""

import io
import os
import random
import time
import tracemalloc
from types import SimpleNamespace

import pytest

from segnet_tf.errors import UserError
from segnet_tf.inference.many.sources import Sources, is_video


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return make


def named(*arguments, output="out") -> dict[str, str]:
    found = Sources(arguments, output)
    pairs = [tuple(source) for source in found]
    assert len(found) == len(pairs) and not found.faults
    names = [name for _, name in pairs]
    assert len(set(names)) == len(names)
    return dict(pairs)


def test_a_folder_keeps_its_tree(here):
    here("p/b.png", "p/a.JPG", "p/sub/deep/c.tif", "p/notes.txt", "p/.x.png")
    here("p/.hidden/d.png", "p/film.mp4")
    assert named("p") == {
        "p/a.JPG": "a", "p/b.png": "b", "p/film.mp4": "film",
        "p/sub/deep/c.tif": "sub/deep/c",
    }  # fmt: skip


def test_patterns_lists_and_names_with_brackets(here, monkeypatch):
    here("p/a.png", "p/b.png", "p/q/c.png", "x[1].png")
    assert set(named("p/*.png")) == {"p/a.png", "p/b.png"}
    assert set(named("p/**/*.png")) == {"p/a.png", "p/b.png", "p/q/c.png"}
    assert named("x[1].png") == {"x[1].png": "x[1]"}
    data = b"p/a.png\n\np/with space.png\n" + b"p/\xfe.png\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert list(named("-").values()) == ["a", "with space", os.fsdecode(b"\xfe")]


def test_what_gives_no_file_is_said(here):
    here("empty/notes.txt")
    found = Sources(["empty", "*.gif", "gone.png"], "out")
    assert [str(fault) for fault in found.faults] == ["empty: no pictures in it"]
    # A file that is not there is found out when its turn comes.
    assert [source.path for source in found] == ["*.gif", "gone.png"]


def test_results_inside_the_folder_are_no_pictures(here):
    here("p/a.png", "p/out/a_overlay.png")
    assert set(named("p", output="p/out")) == {"p/a.png"}
    with pytest.raises(UserError, match="another --output"):
        Sources(["p"], "p")


COLLISIONS = {
    ("a/x.png", "b/x.png"): ["a/x", "b/x"],
    ("a/x.png", "b/x.png", "c/y.png"): ["a/x", "b/x", "y"],
    ("s/a/x.png", "t/a/x.png"): ["s/a/x", "t/a/x"],
    ("a/x.png", "a/x.jpg"): ["x.png", "x.jpg"],
    ("a/x.png", "a/x.jpg", "b/x.jpg"): ["x.png", "x.jpg", "x"],
    ("a/x.png", "a/x.jpg", "a/x.png.tif"): ["a/x.png", "x.jpg", "a/x.png.tif"],
}


@pytest.mark.parametrize("files", COLLISIONS, ids=str)
def test_names_that_collide_get_their_folders(here, files):
    here(*files)
    found = named(*files)
    assert len(found) == len(files)
    for order in range(5):
        mixed = list(files)
        random.Random(order).shuffle(mixed)
        assert named(*mixed) == found
    if files != ("a/x.png", "a/x.jpg", "a/x.png.tif"):
        assert list(found.values()) == COLLISIONS[files]


def test_folders_that_collide(here):
    here("one/2020/x.png", "two/2020/x.png", "two/y.png")
    assert named("one", "two") == {
        "one/2020/x.png": "one/2020/x", "two/2020/x.png": "two/2020/x",
        "two/y.png": "y",
    }  # fmt: skip
    # A folder's file already has the name that another one would grow to.
    here("f/one/x.png", "three/one/x.jpg", "four/x.png")
    names = named("f", "three/one/x.jpg", "four/x.png")
    assert names["f/one/x.png"] != names["three/one/x.jpg"]


def test_a_file_that_comes_twice_is_done_once(here):
    here("a/x.png")
    assert named("a/x.png", "./a/x.png", os.path.abspath("a/x.png")) == {"a/x.png": "x"}


def test_a_hundred_thousand_files(here, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(100_000):
        os.close(os.open(folder / f"photo_{index:06}.jpg", os.O_CREAT))
    started = time.perf_counter()
    found = Sources([str(folder)], "out")
    first = next(iter(found))
    assert time.perf_counter() - started < 4  # 2 s on a machine that does nothing else
    assert first.name == "photo_000000" and len(found) == 100_000
    tracemalloc.start()
    found = Sources([str(folder)], "out")
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept <= most < 200 * 100_000 and len(found) == 100_000


def test_what_a_video_is():
    assert is_video("a/b.MP4") and is_video("/dev/video0") and not is_video("a.gif")
