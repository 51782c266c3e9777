"""Curves of made-up costs have their slopes; a point is measured once."""

import json
import shutil
from argparse import Namespace

import numpy as np
import pytest

from benchmarks import page, scaling
from benchmarks.curves import AXES, BASE, Curve, curves, draw
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import SHIPPED_MODEL, read_labels

NAMES = {"network": "segnet_lite", "engine": "LiteRT"}


def point(ms: float, **setting) -> dict:
    facts = {"ms": ms, "peak_mib": 100.0, "cores": 1.5, "seconds": 1, "others_cores": 0}
    return {**NAMES, **BASE, **setting, **facts}


def along(axis: str, cost, places) -> Curve:
    key = AXES[axis][0]
    rows = [point(cost(x), **{key: x}) for x in places]
    return Curve(axis, *NAMES.values(), list(zip(places, rows, strict=True)))


@pytest.mark.parametrize(
    "axis, cost, slope, straight",
    [
        ("pixels", lambda x: 3 * x, 1, (1, 64)),
        ("pixels", lambda x: x**1.5, 1.5, None),
        ("batch", lambda x: 7, 0, None),
        # A fixed cost of five images: proportional where it hardly counts.
        ("batch", lambda x: 5 + x, None, (32, 64)),
        ("batch", lambda x: x if x < 8 else x**2 / 8, None, (1, 8)),
        ("threads", lambda x: 5 / x, -1, (1, 64)),
        ("threads", lambda x: 5, 0, None),
    ],
)
def test_slopes_and_where_a_cost_is_proportional(axis, cost, slope, straight):
    curve = along(axis, cost, [1, 2, 4, 8, 16, 32, 64])
    if slope is not None:
        assert curve.slope == pytest.approx(slope)
    assert curve.straight() == straight


def test_a_curve_has_the_points_that_differ_in_its_setting_alone():
    end = {**NAMES, **BASE, "side": 1024, "end": "too long"}
    other = {**point(5.0, side=512), "engine": "another"}
    rows = [end, point(16.0, side=512), point(4.0), point(2.1, threads=1)]
    rows += [point(9.0, batch=2, side=128), other]
    found = {curve.axis: curve for curve in curves(rows)}
    assert set(found) == {"pixels", "threads"}
    pixels = [(x, row["ms"]) for x, row in found["pixels"].points]
    assert pixels == [(256**2, 4.0), (512**2, 16.0)]
    assert found["pixels"].end == "too long" and found["threads"].end is None
    assert [x for x, _ in found["threads"].points] == [1, 2]


ARGUMENTS = Namespace(memory=1, longest=2, folder=None)


@pytest.mark.parametrize(
    "before, setting, told",
    [
        (None, {}, None),
        (point(400.0), {"side": 512}, None),
        (point(600.0), {"side": 512}, "more than 2 s"),
        (point(600.0), {"batch": 2}, None),
        ({**point(1.0), "peak_mib": 600.0}, {"batch": 2}, "more than 1 GiB"),
        ({**point(1.0), "peak_mib": None}, {"batch": 2}, None),
        (point(9000.0, threads=1), {"threads": 2}, None),
    ],
)
def test_the_limits_hold_before_a_point_is_measured(before, setting, told):
    found = scaling.beyond(before, {**BASE, **setting}, ARGUMENTS)
    assert (told in found) if told else found is None


def test_a_point_is_measured_once(tmp_path, monkeypatch):
    """Even if the work was interrupted; the limits go on from the stored points."""
    measured = []

    class Process:
        def __init__(self, key, folder):
            assert key["network"] == "segnet_lite"

        def measured(self, setting):
            if len(measured) == 4:
                raise KeyboardInterrupt
            measured.append(setting["side"])
            ms = setting["side"] ** 2 / 1000
            return {k: v for k, v in point(ms).items() if k not in {**NAMES, **BASE}}

        def end(self):
            pass

    monkeypatch.setattr(scaling, "Process", Process)
    path = tmp_path / "scaling.json"
    contender = tuple(NAMES.values())
    with pytest.raises(KeyboardInterrupt):
        scaling.follow(contender, "side", scaling.Results(path), ARGUMENTS)
    assert measured == [128, 176, 256, 368]
    measured.clear()
    for _ in range(2):
        scaling.follow(contender, "side", scaling.Results(path), ARGUMENTS)
        # 1456 takes 2.1 s.
        assert measured == [512, 720, 1024]
        stored = json.loads(path.read_text())["points"]
        assert [row["side"] for row in stored] == [*scaling.VALUES["side"][:8]]
        assert "end" in stored[-1]


def test_results_of_another_machine_are_not_mixed(tmp_path):
    path = tmp_path / "scaling.json"
    scaling.Results(path).add(point(1.0))
    assert scaling.Results(path).get({**NAMES, **BASE})["ms"] == 1
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "machine": {"cores": 1000}}))
    with pytest.raises(UserError, match="another machine"):
        scaling.Results(path)


def test_a_process_measures_a_file(tmp_path):
    classes = len(read_labels(SHIPPED_MODEL / "model.keras").classes)
    file = scaling.file_of(tmp_path, classes, "float32")
    shutil.copy(SHIPPED_MODEL / "model.tflite", file)
    setting = {**BASE, "side": 64, "classes": classes}
    process = scaling.Process({**NAMES, **setting}, tmp_path)
    small = process.measured(setting)
    large = process.measured({**setting, "side": 256})
    process.end()
    assert 0 < small["least_ms"] <= small["ms"] < large["ms"] < 60_000
    assert scaling.FEWEST <= large["passes"] <= small["passes"] <= scaling.MOST
    assert 20 < small["peak_mib"] <= large["peak_mib"] < 2000
    assert 0 < small["cores"] < 4


def test_a_process_that_dies_ends_the_curve(tmp_path):
    """Here by a file that is not there."""
    process = scaling.Process({**NAMES, **BASE}, tmp_path)
    assert "the process ended with 1" in process.measured(BASE)["end"]
    process.end()


def test_the_page_has_the_section_if_there_are_results(tmp_path):
    results = tmp_path / "peers"
    page.write(results)
    assert "## Scaling" not in (results / "benchmarks.md").read_text()
    stored = scaling.Results(tmp_path / "scaling.json")
    for side in (128, 256, 512):
        stored.add(point(side**2 / 4096, side=side))
    stored.add({**NAMES, **BASE, "side": 1024, "end": "too long"})
    page.write(results)
    text = (results / "benchmarks.md").read_text()
    row = "16,384, 262,144 | 4.0, 64.0 | 1.5, 1.5 | 100, 100 | 1.00 | 16,384 to 262,144"
    assert f"| pixels | segnet_lite | LiteRT | {row} | too long |" in text
    assert "The machine was busy" not in text.partition("## Scaling")[2]
    assert (results / "images" / "scaling.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_takes_any_of_the_curves(tmp_path):
    found = [along(axis, lambda x: np.sqrt(x), [1, 2, 8]) for axis in AXES]
    for some in ([], found[1:], found):
        draw(some, tmp_path / "some.png")
        assert (tmp_path / "some.png").stat().st_size > 5000
