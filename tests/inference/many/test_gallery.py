"""index.html as a browser shows it, and what it must not be tricked into."""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.chromium import PROGRAM, Chromium
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.inference.many.gallery import write_gallery
from segnet_tf.inference.many.results import Results

NAMES = ["a", "sub/b <script>alert(1)</script>", "c%20#?'\"", "ü 東", "d" * 60]


def rows(folder: Path, count: int, written: bool = False) -> list[dict]:
    """Pictures of which each has more sky (0) and less road (3) than the one before."""
    found = []
    for index in range(count):
        name = NAMES[index] if index < len(NAMES) else f"p{index:04}"
        sky = (index + 1) / (count + 1)
        row = {
            "path": str(folder / "photos" / f"{name}.png"),
            "frame": None,
            "form": "picture",
            "name": name,
            "size": [30, 40],
            "shares": {"0": sky, "3": 1 - sky},
        }
        found.append(row)
        if written:
            for path, width in (
                (Path(row["path"]), 40),
                (folder / "out" / f"{name}_overlay.png", 55),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.full((30, width, 3), index, np.uint8)
                pixels[:, 40:] = 255
                Image.fromarray(pixels).save(path)
    return found


def content(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    [data] = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(data)


def test_the_page_holds_all_and_no_more(tmp_path):
    (tmp_path / "out").mkdir()
    results = Results(tmp_path / "out", INFO, ("labels", "overlay"))
    page = tmp_path / "out/index.html"
    write_gallery(page, rows(tmp_path, 7), results)
    found = content(page)
    assert found["views"] == ["overlay", "labels"]
    assert [row[0] for row in found["rows"]][: len(NAMES)] == NAMES
    assert found["rows"][0][1] == "../photos/a.png"
    assert found["rows"][2][2]["overlay"] == "c%2520%23%3F%27%22_overlay.png"
    assert found["rows"][0][3:] == [40, 30, [[0, 0.125], [3, 0.875]]]
    text = page.read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert not re.findall(r"https?://|@import|\bsrc=", text), "it needs no network"


def test_a_name_that_is_no_text(tmp_path):
    (tmp_path / "out").mkdir()
    [row] = rows(tmp_path, 1)
    row["name"], row["path"] = "\udcfe", str(tmp_path / "\udcfe.png")
    page = tmp_path / "out/index.html"
    write_gallery(page, [row], Results(tmp_path / "out", INFO))
    assert content(page)["rows"][0][1] == "../%FE.png"


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
def test_the_page_in_a_browser(tmp_path):
    (tmp_path / "out").mkdir()
    page = tmp_path / "out/index.html"
    results = Results(tmp_path / "out", INFO, ("overlay",))
    write_gallery(page, rows(tmp_path, 250, written=True), results)
    (tmp_path / "profile").mkdir()
    with Chromium(tmp_path / "profile", "--window-size=1200,800") as browser:
        browser.call("Page.navigate", url=page.as_uri())

        def until(script: str) -> None:
            deadline = time.monotonic() + 20
            while not browser.run(script):
                assert time.monotonic() < deadline, script
                time.sleep(0.05)

        def press(key: str, kind: str = "keydown") -> None:
            options = f"{{key: {json.dumps(key)}, bubbles: true}}"
            event = f"new KeyboardEvent('{kind}', {options})"
            browser.run(f"document.body.dispatchEvent({event})")

        shown = "[...document.querySelectorAll('#views img')]"
        loaded = f"{shown}.length && {shown}.every((i) => i.complete && i.naturalWidth)"
        widths = f"{shown}.map((i) => [i.naturalWidth, i.parentElement.clientWidth])"
        until(f"document.querySelector('#views') && {loaded}")
        # The overlay, without its legend: as many of its pixels as the photo has.
        [[natural, box]] = browser.run(widths)
        ratio = browser.run(f"{shown}[0].clientWidth") / box
        assert natural == 55 and ratio == pytest.approx(55 / 40, rel=0.01)
        assert len(browser.run("[...document.querySelectorAll('#list li')]")) == 100
        text = "document.querySelector('#path').textContent"
        assert browser.run(text) == "1 of 250: a, 40 × 30"

        press("3")  # side by side
        until(f"{shown}.length === 2 && {loaded}")
        assert [pair[0] for pair in browser.run(widths)] == [40, 55]
        for place, name in enumerate(NAMES[1:], start=2):
            press("ArrowRight")
            until(f"{shown}.length === 2 && {loaded}")
            assert browser.run(text).startswith(f"{place} of 250: {name}, ")
        press("2")
        press(" ")
        until(f"{shown}.length === 1 && {loaded} && {shown}[0].naturalWidth === 40")
        press(" ", "keyup")
        until(f"{shown}.length === 1 && {loaded} && {shown}[0].naturalWidth === 55")

        press("PageDown")
        assert browser.run("document.querySelector('#page').textContent") == "2 of 3"
        press("End")
        assert browser.run(text).startswith("250 of 250: p0249")
        assert len(browser.run("[...document.querySelectorAll('#list li')]")) == 50
        browser.run(
            "const choice = document.querySelector('#sort'); choice.value = '0';"
            "choice.dispatchEvent(new Event('change'))"
        )
        assert browser.run(text).startswith("1 of 250: p0249")
        browser.run("choice.value = '3'; choice.dispatchEvent(new Event('change'))")
        assert browser.run(text).startswith("1 of 250: a,")
        assert browser.run("document.querySelector('#list .share').textContent") == (
            "99.6 %"
        )
        browser.run("document.querySelector('#list li:nth-child(3) button').click()")
        assert browser.run(text).startswith("3 of 250: c%20#")


def test_other_forms_have_their_own_links(tmp_path):
    (tmp_path / "out").mkdir()
    found = rows(tmp_path, 3)
    found[0]["form"], found[1]["form"], found[2]["frame"] = "strips", "video", 4
    page = tmp_path / "out/index.html"
    write_gallery(page, found, Results(tmp_path / "out", INFO))
    strips, frame = content(page)["rows"]
    assert strips[2] == {"overlay": "a_overlay.tif", "labels": "a_labels.tif"}
    assert frame[1] is None and frame[2]["labels"].endswith("_labels.png")
