"""Contenders take turns in processes of their own; the page is that of the results."""

from argparse import Namespace

import pytest
from conftest import ROOT

from benchmarks import page, peers
from benchmarks.contenders import CONTENDERS
from benchmarks.machine import KINDS, OthersWork, description, kind, peak_mib
from benchmarks.summary import COMPARISONS
from segnet_tf.models.networks import NETWORKS


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """A race of two shipped files, and of one whose file is missing."""
    arguments = Namespace(folder=tmp_path_factory.mktemp("none"), threads=1, rounds=2)
    names = (
        "small: segnet_lite1 (shipped), LiteRT",
        "small: segnet_lite1 (shipped), LiteRT, int8",
        "small: segnet_lite, onnxruntime",
    )
    return peers.race([CONTENDERS[name] for name in names], arguments)


def test_a_race_measures_all_that_can_run(found):
    float32, int8, missing = found["contenders"]
    for row in (float32, int8):
        assert 0 < row["least_ms"] <= row["ms"] < 60_000
        assert 0 < row["ms"] / 1000 < row["cold_s"] < 600
        assert 20 < row["peak_mib"] < 2000
        assert row["parameters"] == NETWORKS["segnet_lite1"].parameters
    assert float32["labels_equal"] == 1 and 0.9 < int8["labels_equal"] < 1
    assert "no such model" in missing["error"] and "ms" not in missing


def test_every_contender_has_a_name_of_its_own():
    assert len(CONTENDERS) > 35
    groups = {contender.group for contender in CONTENDERS.values()}
    assert groups == {*peers.FORWARD, *peers.TRAINING}
    files = {group.replace(" ", "_") for group in groups}
    assert files == set(page.SECTIONS)


def row(network: str, engine: str, ms: float, precision: str = "float32") -> dict:
    facts = {"least_ms": ms, "cold_s": 1.0, "peak_mib": None, "parameters": 10}
    names = {"network": network, "engine": engine, "precision": precision}
    return {**names, "ms": ms, **facts}


ROWS = [
    row("segnet", "LiteRT", 120),
    row("segnet", "LiteRT, float16 weights", 10, "float16"),
    row("segnet", "LiteRT, int8", 60, "int8"),
    row("segnet", "PyTorch", 200),
    row("segnet", "OpenVINO", 90),
    row("LRASPP MobileNetV3-Large", "PyTorch", 30),
]


def test_a_peer_that_wins_is_shown_winning(tmp_path, found):
    write(tmp_path, "avx2", {**found, "contenders": ROWS})
    faster = [*ROWS, row("segnet", "PyTorch, channels_last", 60)]
    write(tmp_path, "avx512_vnni", {**found, "contenders": faster})
    text = (tmp_path / "benchmarks.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    compared = [line for line in lines if "against" in line]
    assert compared == [
        "| SegNet, float32: LiteRT against PyTorch's best | **0.50** | 1.67 |",
        "| SegNet, float32: LiteRT against OpenVINO | **0.75** | **0.75** |",
        "| SegNet, LiteRT: int8 against float32 | 2.00 | 2.00 |",
    ]


def test_comparisons_are_of_contenders_that_there_are():
    for _, file, *sides in COMPARISONS:
        for network, engines in sides:
            for engine in engines:
                group = file.replace("_", " ", 1) if "training" in file else file
                assert f"{group}: {network}, {engine}" in CONTENDERS


def write(folder, kind: str, results: dict) -> None:
    (folder / kind).mkdir(exist_ok=True)
    peers.write_json(folder / kind / "segnet.json", results)
    page.write(folder)


def test_the_page_shows_order_errors_and_a_busy_machine(tmp_path, found):
    contenders = [*ROWS, {**row("segnet", "onnxruntime", 1), "error": "Broken: why"}]
    del contenders[-1]["ms"]
    results = {**found, "contenders": contenders, "others_cores": 1.5}
    write(tmp_path, "other", results)
    text = (tmp_path / "benchmarks.md").read_text()
    table = text.split("### other")[1]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[2] for line in lines[2:]] == [
        *("10.0", "30.0", "60.0", "90.0", "120.0", "200.0")
    ]
    assert "segnet, onnxruntime: `Broken: why`" in text
    assert "1.50 cores" in text and "busy" in text
    write(tmp_path, "other", {**results, "others_cores": 0.02})
    assert "busy" not in (tmp_path / "benchmarks.md").read_text()


@pytest.mark.skipif(not (ROOT / page.PAGE).exists(), reason="not published yet")
def test_the_page_that_comes_along_is_that_of_the_results(tmp_path):
    page.write(ROOT / page.RESULTS, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text() == (ROOT / page.PAGE).read_text()


def test_the_machine_is_described_without_its_name():
    found = description()
    assert set(found) <= {"cores", "instructions", "memory_gib"}
    assert found["cores"] >= 1
    assert kind() in KINDS and set(page.KIND_TITLES) == set(KINDS)


def test_own_work_is_not_that_of_others():
    others = OthersWork()
    if others.cores() is None:
        pytest.skip("no /proc here")
    others.busy, others.own = others.busy - 100, others.own - 100
    others.started -= 100
    within = others.cores()
    others.busy -= 100
    assert others.cores() - within == pytest.approx(1, abs=0.1)
    assert 10 < peak_mib()
