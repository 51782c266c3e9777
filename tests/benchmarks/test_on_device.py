"""The table of the parity reports."""

import json
import shutil

from conftest import ROOT

from benchmarks import on_device


def test_the_table_that_comes_along_is_that_of_the_reports(tmp_path):
    shutil.copytree(ROOT / on_device.RESULTS, tmp_path / "on_device")
    on_device.write_table(tmp_path / "on_device")
    published = (ROOT / on_device.RESULTS).with_suffix(".md").read_text()
    assert (tmp_path / "on_device.md").read_text() == published


def test_a_file_that_failed_is_in_the_table(tmp_path, capsys):
    [path, *_] = (ROOT / on_device.RESULTS).glob("*-int8.json")
    report = {**json.loads(path.read_text()), "passed": False}
    (tmp_path / "on_device").mkdir()
    (tmp_path / "on_device" / path.name).write_text(json.dumps(report))
    on_device.write_table(tmp_path / "on_device")
    assert capsys.readouterr().out.splitlines()[2].endswith("| failed |")
