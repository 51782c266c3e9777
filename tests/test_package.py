"""What `pip install .` brings: dependencies, the command, data, the shipped models."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import EntryPoint

import pytest
from conftest import ROOT
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import segnet_tf
from segnet_tf import commands

PREDICT = "requirements-predict.txt"
ALL = "requirements.txt"
DEVELOPMENT = "requirements-dev.txt"

IMPORT_NAMES = {"opencv-python-headless": "cv2", "pillow": "PIL"}
"""Of packages that are imported by another name than they are installed by."""

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

DATA = {
    "inference/many/gallery.html",
    "py.typed",
    "models/efficientnet_lite0.npz",
    "models/efficientnet_lite1.npz",
    "datasets/camvid/CITATIONS.bib",
    "datasets/camvid/README.md",
    "datasets/camvid/TAGS.txt",
    "datasets/camvid/checksums.tsv",
    "datasets/camvid/manifest.tsv",
}
"""What the package reads, or TFDS of it, beside its modules."""


@pytest.fixture
def metadata(monkeypatch) -> ProjectMetadata:
    """The metadata that a build would write."""
    monkeypatch.chdir(ROOT)  # where pip builds
    return ProjectMetadata(str(ROOT), PluginManager())


def lines_of(file: str) -> list[str]:
    """A file of requirements without the comment lines."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def requirements(*files: str) -> list[Requirement]:
    """What files of requirements ask for themselves."""
    lines = [line for file in files for line in lines_of(file)]
    return [Requirement(line.split("#")[0]) for line in lines if line[0] != "-"]


def names(found: list[Requirement]) -> list[str]:
    return [canonicalize_name(each.name) for each in found]


def module_name(package: str) -> str:
    return IMPORT_NAMES.get(package, package.replace("-", "_"))


def test_each_requirements_file_holds_the_one_below_it():
    assert lines_of(ALL)[0] == f"-r {PREDICT}"
    assert lines_of(DEVELOPMENT)[0] == f"-r {ALL}"
    found = names(requirements(PREDICT, ALL, DEVELOPMENT))
    assert len(found) == len(set(found)), "nothing is pinned in two places"
    assert sorted(names(requirements(PREDICT))) == [
        "ai-edge-litert", "numpy", "pillow", "tqdm",
    ]  # fmt: skip


def test_requirements_are_ranges_with_a_reason():
    for file in (PREDICT, ALL):
        for line in lines_of(file):
            assert line.startswith("-r ") or re.search(r"\S +# \w", line), line
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    every = requirements(PREDICT, ALL, DEVELOPMENT)
    for each in every + [Requirement(line) for lines in extras for line in lines]:
        assert {part.operator for part in each.specifier} == {">=", "<"}, each


def test_the_metadata_agrees_with_the_files(metadata):
    expected = sorted(str(each) for each in requirements(PREDICT, ALL))
    assert sorted(metadata.core.dependencies) == expected
    assert metadata.version == segnet_tf.__version__
    for line in PYPROJECT["build-system"]["requires"]:
        assert Requirement(line) in requirements(DEVELOPMENT), "built with the same"


def test_the_command_leads_to_main(metadata):
    [(name, target)] = metadata.core.scripts.items()
    assert name == "segnet"
    assert EntryPoint(name, target, "console_scripts").load() is commands.main


def test_what_is_imported_is_declared():
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    optional = [Requirement(line) for lines in extras for line in lines]
    declared = {module_name(n) for n in names(requirements(PREDICT, ALL) + optional)}
    imported = set()
    for path in (ROOT / "segnet_tf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").split(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"segnet_tf"}
    assert foreign <= declared
    assert {module_name(name) for name in names(optional)} <= foreign


def test_the_wheel_holds_the_package_its_data_and_the_models():
    found = {
        file.distribution_path.replace(os.sep, "/")
        for file in WheelBuilder(str(ROOT)).recurse_included_files()
    }
    package, models = ROOT / "segnet_tf", ROOT / "saved_models"
    expected = {f"segnet_tf/{name}" for name in DATA}
    expected |= {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}
    expected |= {
        f"segnet_tf/saved_models/{path.relative_to(models).as_posix()}"
        for path in models.rglob("*")
        if path.is_file()
    }
    assert "segnet_tf/saved_models/segnet_lite_streets/model.tflite" in expected
    assert found == expected


def test_the_sdist_holds_what_a_wheel_is_built_from_and_no_more():
    found = {
        file.distribution_path.replace(os.sep, "/").split("/")[0]
        for file in SdistBuilder(str(ROOT)).recurse_included_files()
    }
    # README.md, LICENSE and pyproject.toml are added when it is built.
    assert found == {"segnet_tf", "saved_models", PREDICT, ALL, "CHANGELOG.md"}


def test_make_installs_again_if_any_requirements_change():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [listed] = re.findall(r"^REQUIREMENTS := (.*)$", makefile, re.MULTILINE)
    assert set(listed.split()) == {path.name for path in ROOT.glob("requirements*.txt")}
    assert re.search(r"^\.venv/installed: \$\(REQUIREMENTS\)$", makefile, re.MULTILINE)


def test_the_oldest_python_is_told_the_same_everywhere():
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert PYPROJECT["tool"]["pyright"]["pythonVersion"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    [versions] = re.findall(r"python: \[(.*)\]", workflow)
    assert versions.split(", ")[0] == f'"{oldest}"'
    assert "make test" in workflow


@pytest.mark.slow
def test_the_wheel_works_where_it_is_installed(tmp_path):
    def pip(*arguments):
        command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
        subprocess.run(command, check=True)

    pip("wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"segnet_tf-{segnet_tf.__version__}-")
    about = wheel.name.split("-py3")[0] + ".dist-info"
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        written = archive.read(f"{about}/entry_points.txt").decode()
    assert "segnet = segnet_tf.commands:main" in written
    assert {f"segnet_tf/{name}" for name in DATA} <= held
    for model in ("segnet_lite_camvid", "segnet_lite_streets", "segnet_lite_synthetic"):
        for name in ("model.tflite", "model.keras", "labels.json"):
            assert f"segnet_tf/saved_models/{model}/{name}" in held

    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip("install", "--no-deps", "--target", installed, wheel)
    result = subprocess.run(
        [installed / "bin" / "segnet", "predict", ROOT / "web" / "street.jpg"],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert str(installed / "segnet_tf" / "saved_models") in result.stdout
    assert (elsewhere / "predictions" / "street_overlay.jpg").is_file()
