"""Run after run into one folder: names that stay, results that are left out among the
inputs, and a table of what is valid now."""

import json
import os

import pytest
from labelled import (
    animation,
    content,
    contents,
    results,
    run,
    table,
)

from segnet_tf.inference.many.sources import Sources


def on_page(folder: str = "out") -> list[str]:
    page = content(f"{folder}/index.html").decode()
    begin = page.index('"rows":') + len('"rows":')
    rows, _ = json.JSONDecoder().raw_decode(page[begin:])
    return [row[0] for row in rows]


def test_the_table_shows_what_is_valid_now(photo):
    for index, name in enumerate(["a", "b", "c", "d", "e", "f"]):
        photo(f"in/{name}.png", index)
    animation("in/walk.gif", 4)
    run("in")
    assert len(table()) == 10 and on_page() == results()
    os.remove("in/a.png")
    os.rename("in/b.png", "in/b2.png")
    os.truncate("in/c.png", 50)
    animation("in/walk.gif", 2)
    os.remove("out/e_overlay.png")
    run("in")
    valid = ["b2", "d", "e", "f", "walk_frames/0000", "walk_frames/0001"]
    assert results() == valid and on_page() == valid
    # Files that are not named this time, whose results are there and not.
    os.remove("out/e_overlay.png")
    photo("z.png", 8)
    run("z.png")
    valid.remove("e")
    assert results() == [*valid, "z"] == on_page()


def test_the_table_changes_even_if_nothing_can_be_labelled(photo):
    for name in ("x.png", "y.png"):
        photo(name)
    run("x.png", "y.png")
    for name in ("x.png", "y.png"):
        os.truncate(name, 50)
    assert run("x.png", "y.png") == 2
    assert results() == [] and on_page() == []


def left_out(*arguments: str, output: str = "other") -> tuple[list[str], list[str]]:
    found = Sources(arguments, output)
    return [source.path for source in found], list(found.left_out)


def test_earlier_results_are_left_out_singly(photo, capsys):
    photo("ph/day1/a.png")
    photo("ph/day1/b.png", 1)
    photo("ph/c.png", 2)
    animation("ph/day1/walk.gif")
    run("ph/day1/a.png", "ph/day1/walk.gif", output="ph/day1")
    photo("ph/day1/walk_frames/mine.png")
    capsys.readouterr()
    found = ["ph/c.png", "ph/day1/a.png", "ph/day1/b.png", "ph/day1/walk.gif"]
    found.append("ph/day1/walk_frames/mine.png")
    for way in (["ph"], ["ph/**/*"], ["ph/*", "ph/day1"]):
        paths, said = left_out(*way)
        pictures = [path for path in paths if path.endswith((".png", ".gif"))]
        assert sorted(pictures) == found
        assert said == ["ph/day1", "ph/day1/walk_frames"]
    assert left_out("ph/day1/walk_frames") == (found[-1:], ["ph/day1/walk_frames"])
    # A file that is named itself is meant.
    assert left_out("ph/day1/a_overlay.png") == (["ph/day1/a_overlay.png"], [])
    assert run("ph", output="lab") == 0
    said = capsys.readouterr().out
    assert said.count("left out: 6 results of earlier runs, in ph/day1 and 1 more") == 1
    assert len(table("lab")) == 6
    # The output folder may lie among the photos, and photos in it.
    photo("pq/a.png")
    photo("pq/sub/b.png", 1)
    for _ in range(2):
        run("pq", output="pq/sub")
        assert results("pq/sub") == ["a", "sub/b"]
    assert left_out("pq", output="pq/sub")[0] == ["pq/a.png", "pq/sub/b.png"]


def test_a_folder_of_results_alone(photo):
    photo("a.png")
    run("a.png", output="first")
    os.rename("first", "second")
    found = Sources(["second"], "other")
    assert not len(found)
    assert [str(fault) for fault in found.faults] == [
        "second: no pictures in it but 2 results of earlier runs"
    ]


def test_names_stay_with_their_file(photo, capsys):
    photo("x1/s.png", 1)
    photo("x2/s.png", 2)
    run("x1/s.png")
    first = content("out/s_overlay.png")
    run("x2/s.png")
    assert results() == ["s", "x2/s"] and content("out/s_overlay.png") == first
    assert [os.path.relpath(row["picture"]) for row in table()] == [
        "x1/s.png", "x2/s.png",
    ]  # fmt: skip
    # Whatever is named, and in which order.
    for words in (["x2/s.png", "x1/s.png"], ["x2"], ["x1"], ["."], ["x1", "x2/s.png"]):
        capsys.readouterr()
        run(*words)
        assert "done before" in capsys.readouterr().out
        assert results() == ["s", "x2/s"]
    photo("x1/s.jpg", 3)
    run("x1")
    assert results() == ["s", "s.jpg", "x2/s"]
    # A file that is gone has no name.
    os.rename("x1/s.png", "x1/t.png")
    photo("x3/s.png", 4)
    run("x3/s.png", "x1")
    assert results() == ["s", "s.jpg", "t", "x2/s"]


def test_names_of_animations_stay(photo):
    animation("x1/walk.gif", 2)
    animation("x2/walk.gif", 3)
    run("x1/walk.gif")
    run("x2/walk.gif")
    frames = ["walk_frames/0000", "walk_frames/0001"]
    others = [f"x2/walk_frames/000{index}" for index in range(3)]
    assert results() == [*frames, *others]
    before = contents("out")
    run("x2/walk.gif", "x1/walk.gif")
    assert contents("out") == before


@pytest.mark.parametrize("way", ["x", "x/s.png"])
def test_a_folder_that_moved_keeps_its_names(photo, way):
    photo("x/s.png")
    run(way)
    os.rename("x", "y")
    run(way.replace("x", "y", 1))
    assert results() == ["s"]


def test_names_with_escapes_in_the_table(photo):
    name = photo("a\x1b[31m\n.png")
    run(name)
    assert b"\x1b" not in content("out/classes.csv")
    [row] = table()
    assert row["result"] == r"a\x1b[31m\n"
    assert row["picture"] == os.path.abspath("a").removesuffix("a") + (
        r"a\x1b[31m\n.png"
    )
