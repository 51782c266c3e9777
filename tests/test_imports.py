"""Imports point down, and what must stay light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import segnet_tf

PACKAGE = Path(segnet_tf.__file__).parent
FLOORS = [
    {"errors", "files", "images", "cli", "quiet", "tiling"},
    {
        "layers",
        "losses",
        "metrics",
        "boundary",
        "class_weights",
        "batch_norm",
        "reliability",
    },
    {"datasets", "visualize", "scaling"},
    {"models", "pipeline", "saving", "tflite_file", "calibration"},
    {"convolutions", "footprint", "lowering", "inspection", "programs"},
    {
        "config",
        "evaluation",
        "inference",
        "optimizers",
        "recipes",
        "runs",
        "uncertainty",
    },
    {"converter", "export", "parity"},
    {"training", "watching"},
]
"""A module imports its own floor or one below; the tree in README.md, as a table."""

FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}


def imported_modules(path: Path) -> set[str]:
    """Names of the segnet_tf modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "segnet_tf"
        ):
            inner = node.module.split(".")[1:2]
            found |= set(inner) or {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {n.split(".")[1] for n in names if n.startswith("segnet_tf.")}
    return found


def test_every_module_has_a_floor():
    names = {
        path.stem if path.is_file() else path.name
        for path in PACKAGE.iterdir()
        if path.name not in ("__init__.py", "__pycache__")
    }
    assert names == set(FLOOR)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_point_down(path):
    module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if module == "__init__":
        pytest.skip("the package names everything and imports it when asked")
    for imported in imported_modules(path) - {module}:
        assert FLOOR[imported] <= FLOOR[module], f"{module} imports {imported}"


@pytest.mark.parametrize(
    "statement, forbidden",
    [
        ("import segnet_tf", "numpy tensorflow keras matplotlib"),
        (
            "import segnet_tf.images, segnet_tf.visualize, segnet_tf.saving, "
            "segnet_tf.inference, segnet_tf.datasets, segnet_tf.config, "
            "segnet_tf.inspection, segnet_tf.calibration",
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
