"""Imports point down, and what must stay light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import segnet_tf

PACKAGE = Path(segnet_tf.__file__).parent
FOLDERS = (
    "commands",
    "export",
    "training",
    "inference",
    "evaluation",
    "metrics",
    "datasets",
    "models",
    "layers",
)
"""From the top floor down: a folder imports folders below it, and the ground."""

GROUND = ("console", "errors", "files")
"""Beneath all folders; they import one another alone."""

NOT_IMPORTED = {"__init__", "__main__", "saved_models"}

FLOOR = {name: height for height, name in enumerate(reversed(FOLDERS), start=1)}
FLOOR |= dict.fromkeys(GROUND, 0)


def imported_folders(path: Path) -> set[str]:
    """Folders and ground modules of the package that a file imports, wherever in it.

    Names in quotes count, too: "segnet_tf.models.segnet:SegNet" is imported by its
    text.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "segnet_tf":
                found |= set(parts[1:2]) or {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {
                parts[1] for parts in names if parts[0] == "segnet_tf" and parts[1:]
            }
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts = node.value.split(":")[0].split(".")
            if ":" in node.value and parts[0] == "segnet_tf" and parts[1:]:
                found.add(parts[1])
    return found & set(FLOOR)


def test_every_folder_has_a_floor():
    names = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.name not in ("__pycache__", "py.typed")
    } - NOT_IMPORTED
    assert names == set(FLOOR), (
        "a new module goes into the folder whose question it answers (each folder's "
        "__init__ says it); a new folder gets a floor in FOLDERS, above what it imports"
    )


@pytest.mark.parametrize(
    "path",
    sorted(PACKAGE.rglob("*.py")),
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_imports_point_down(path):
    folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if folder in NOT_IMPORTED:
        pytest.skip("the package names everything and imports it when asked")
    above = [
        other
        for other in imported_folders(path) - {folder}
        if FLOOR[other] > FLOOR[folder] or (FLOOR[other] == FLOOR[folder] > 0)
    ]
    assert not above, (
        f"{folder} must not import {', '.join(above)}: the floors are "
        f"{' > '.join(FOLDERS)}. Move what both need to the lower one, or this module "
        "to a folder above both"
    )


@pytest.mark.parametrize("folder", FOLDERS + ("console",))
def test_every_folder_says_who_lives_there(folder):
    text = ast.get_docstring(
        ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"))
    )
    assert text and len(text.splitlines()) >= 3


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_modules_and_functions_can_be_seen_whole(path):
    """About 300 lines a module, a screen a function (docstrings left out)."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 320
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first, *_ = node.body
            said = ast.get_docstring(node) is not None
            begin = first.end_lineno if said else node.lineno
            assert node.end_lineno - begin <= 60, f"{path.name}: {node.name}"


@pytest.mark.parametrize(
    "statement, forbidden",
    [
        ("import segnet_tf", "numpy tensorflow keras matplotlib"),
        (
            "import segnet_tf.inference.predictor, segnet_tf.inference.model_file, "
            "segnet_tf.evaluation.visualize, segnet_tf.evaluation.data_check, "
            "segnet_tf.datasets.registry, segnet_tf.training.config, "
            "segnet_tf.training.recipes, segnet_tf.models.networks, "
            "segnet_tf.export.formats, segnet_tf.export.describe, "
            "segnet_tf.export.quantization, segnet_tf.commands.train, "
            "segnet_tf.commands.evaluate, segnet_tf.commands.predict, "
            "segnet_tf.commands.export, segnet_tf.commands.data",
            "tensorflow keras tensorflow_datasets matplotlib",
        ),
    ],
)
def test_light_imports(statement, forbidden):
    check = (
        f"import sys; {statement}; print(*set({forbidden.split()}) & set(sys.modules))"
    )
    loaded = subprocess.check_output([sys.executable, "-c", check], text=True)
    assert loaded.strip() == ""


def test_public_names_resolve():
    for name in segnet_tf.__all__:
        assert getattr(segnet_tf, name) is not None
    assert set(segnet_tf.__all__) <= set(dir(segnet_tf))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = segnet_tf.Nothing
