"""A package that is not installed gets one line, with the command that installs it."""

import importlib.metadata
import sys

import pytest

from segnet_tf.console import cli, packages, quiet
from segnet_tf.errors import UserError


def refused(main, capsys) -> str:
    """The line with which a command ends."""
    with pytest.raises(SystemExit) as stopped:
        cli.run(main, "segnet train")
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


def import_absent():
    import segnet_absent_package.inside  # noqa: F401  # pyright: ignore


def test_in_a_checkout_the_requirements_are_named(capsys):
    line = refused(import_absent, capsys)
    assert line == (
        "segnet train: error: this needs the package segnet_absent_package: "
        f"pip install -r {packages.CHECKOUT / 'requirements.txt'}"
    )


def test_an_installed_package_knows_what_it_lacks(capsys, tmp_path, monkeypatch):
    required = ["numpy>=1.26", "absent[one]<3,>=2", 'onnx>=1 ; extra == "onnx"']
    monkeypatch.setattr(packages, "CHECKOUT", tmp_path)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: required)
    line = refused(import_absent, capsys)
    assert line.endswith("segnet_absent_package: pip install 'absent[one]<3,>=2'")


def test_without_metadata_the_package_itself_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "CHECKOUT", tmp_path)

    def requires(name):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert refused(import_absent, capsys).endswith("pip install segnet_absent_package")


def test_a_wrong_module_of_a_package_that_is_there_is_a_defect():
    def main():
        import json.absent  # noqa: F401  # pyright: ignore

    with pytest.raises(ModuleNotFoundError, match="json.absent"):
        cli.run(main)


def test_tensorflow_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match="this needs the package tensorflow: pip"):
        quiet.import_tensorflow()
