"""Which files are meant, and what their results are called."""

import io
import json
import os
import pathlib
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


def recorded(folder: str, *files: str) -> None:
    line = json.dumps({"files": dict.fromkeys(files)})
    pathlib.Path(folder, ".done.jsonl").write_text(f"{line}\n")


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
    recorded("p/out", "a_overlay.png")
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


def test_what_a_video_is(here):
    here("p/a.wmv", "p/b.3gp", "p/c.jfif", "p/code.ts")
    assert set(named("p")) == {"p/a.wmv", "p/b.3gp", "p/c.jfif"}
    assert set(named("p/code.ts")) == {"p/code.ts"} and is_video("p/code.ts")
    assert is_video("a/b.MP4") and is_video("/dev/video0") and not is_video("a.gif")


ROUTES = {
    ("photos/day/day/y.png", "photos/day", "photos"): [
        "photos/day/y.png", "photos/day/day/y.png",
    ],
    ("t/x.png", "t/x.jpg", "t/a", "t/a/b"): ["t/x.png", "t/x.jpg", "t/a/b/x.png"],
    ("s/b/x.jpg", "s/a/b/x.png", "s/a", "s"): ["s/b/x.jpg", "s/a/b/x.png"],
    ("p", "p", "./p"): ["p/a.png", "p/q/b.png"],
}  # fmt: skip


@pytest.mark.parametrize("arguments", ROUTES, ids=str)
def test_a_file_that_is_reached_by_several_routes(here, arguments):
    here(*ROUTES[arguments])
    found = named(*arguments)
    assert sorted(map(os.path.normpath, found)) == sorted(ROUTES[arguments])
    assert sorted(named(*arguments[::-1]).values()) == sorted(found.values())


def test_links_lead_where_the_system_says(here):
    here("far/away/y.png", "far/x.png", "x.png")
    os.symlink("far/away", "link")
    assert set(named("link/../x.png", "x.png")) == {"link/../x.png", "x.png"}
    os.makedirs("round")
    os.symlink("../round", "round/a")
    os.symlink("../round", "round/b")
    here("round/z.png")
    assert set(named("round/**/*.png")) == {"round/z.png"}
    assert set(named("**/x.png")) == {"far/x.png", "x.png"}


@pytest.mark.parametrize("seed", range(60))
def test_any_files_get_names_of_their_own(here, seed):
    """Random trees with links, reached by random routes: each file once, the names the
    same in any order, and no frame's result where another one lies."""
    chance = random.Random(seed)
    for _ in range(8):
        folders = chance.choices(["a", "b", "x_frames"], k=chance.choice((0, 1, 2, 3)))
        name = chance.choice(["a", "x", "x.png", "0000"])
        suffix = chance.choice([".png", ".jpg", ".gif"])
        here(os.path.join("t", *folders, name + suffix))
    files = {str(path) for path in pathlib.Path("t").rglob("*.*")}
    folders = sorted({os.path.dirname(name) for name in files})
    os.symlink(chance.choice(folders), "link")
    arguments = chance.sample([*sorted(files), *folders, "link"], 5)
    arguments += chance.choices(arguments, k=2)
    found = named(*arguments)
    reached = {
        str(path.resolve())
        for name in arguments
        for path in ([pathlib.Path(name)] if name in files else _inside(name))
    }
    assert sorted(map(os.path.realpath, found)) == sorted(reached)
    chance.shuffle(arguments)
    assert sorted(named(*arguments).values()) == sorted(found.values())
    for name in found.values():
        for path, other in found.items():
            moving = path.endswith((".gif", ".png"))
            assert not (moving and name.startswith(f"{other}_frames/"))


def _inside(folder):
    return [path for path in pathlib.Path(folder).rglob("*.*")]


def test_names_that_look_like_whole_paths(here, tmp_path):
    here("x.png", "x.jpg", "other/x.png", "other/x.jpg")
    place = str(tmp_path).strip("/")
    here(f"t/{place}/x.png", f"t/{place}/x.jpg.tif", "t/x.gif", "t/x.png.gif")
    found = named("x.png", "x.jpg", "other/x.png", "other/x.jpg", "t")
    assert len(found) == 8


def test_frames_do_not_lie_among_other_results(here):
    here("A/walk.gif", "B/walk_frames/0000.png")
    assert named("A", "B") == {
        "A/walk.gif": "walk.gif", "B/walk_frames/0000.png": "walk_frames/0000",
    }  # fmt: skip


def test_lists_may_have_zero_bytes_and_any_line_end(here, monkeypatch):
    for data, expected in (
        (b"a\nb.png\0c.png\0", ["a\nb.png", "c.png"]),
        (b"a\rb.png\nc.png\r\n", ["a\rb.png", "c.png"]),
        (b"\xef\xbb\xbfa.png\r\n", ["a.png"]),
    ):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        assert [source.path for source in Sources(["-"], "out")] == expected


def test_a_list_in_utf_16(here, monkeypatch):
    data = "a.png\n".encode("utf-16")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    with pytest.raises(UserError, match="standard input: a list in UTF-16"):
        Sources(["-"], "out")


def test_other_results_are_left_out(here):
    here("a.png", "first/a_overlay.png", "first/sub/b.png", "first/sub/c.png")
    recorded("first", "a_overlay.png", "sub/b.png")
    assert set(named(".", output="second")) == {"./a.png", "./first/sub/c.png"}
    assert set(named("first", output="second")) == {"first/sub/c.png"}
