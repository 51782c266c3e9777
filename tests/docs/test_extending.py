"""docs/extending.md, followed to the letter on a scratch copy of the package."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.datasets.tfds import SOURCES

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

BLOCK = re.compile(
    r"(?P<lead>(?:[^\n]+\n)*[^\n]+:)\n\n```python\n(?P<code>.*?)^```$", re.M | re.S
)
PLACE = re.compile(
    r"(?P<how>New file|Into|Above|To the imports of)(?: `(?P<name>\w+)` in)?"
    r" `(?P<path>\S+)`:$"
)
NAME = re.compile(r"At the end of `(?P<name>\w+)` in `(?P<path>\S+)`: `(?P<code>\w+)`")
COMMAND = re.compile(r"^    (python (?:.*\\\n)*.*)$", re.M)

RUNNER = """
import contextlib, io, json, runpy, sys

results = {}
for line, command in json.loads(sys.stdin.read()).items():
    sys.argv, printed = command[1:], io.StringIO()
    code = 0
    with contextlib.redirect_stdout(printed):
        try:
            if command[1] == "-c":
                exec(command[2], {})
            elif command[1] == "-m":
                sys.argv = command[2:]
                runpy.run_module(command[2], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(command[1], run_name="__main__")
        except SystemExit as stop:
            code = stop.code or 0
    results[line] = code, printed.getvalue()
print(json.dumps(results))
"""
"""Runs all commands in one process, since TensorFlow takes seconds to import."""

HELP = {
    "python train.py --help": (
        "unet", "focal", "--cutout", "lion", "linear", "inverse"
    ),
    "python export.py --help": ("npz",),
    "python -m segnet_tf data --help": ("kitti",),
}  # fmt: skip
"""What each command's help has to list after the additions."""


def blocks() -> list[tuple[dict, str]]:
    """Where each of the page's blocks goes, and the block."""
    found = []
    for block in BLOCK.finditer(PAGE):
        place = PLACE.search(" ".join(block["lead"].split("\n")))
        assert place, f"the page does not say where this goes: {block['code'][:80]}"
        found.append((place.groupdict(), block["code"]))
    for name in NAME.finditer(PAGE):
        found.append(({**name.groupdict(), "how": "Into"}, name["code"]))
    return found


def commands() -> list[str]:
    """The page's commands, each on one line."""
    return [re.sub(r"\\\n +", "", line) for line in COMMAND.findall(PAGE)]


def follow(root: Path) -> None:
    """Does what the page says, in its order."""
    for place, code in blocks():
        path = root / place["path"]
        if place["how"] == "New file":
            assert not path.exists(), f"{path} is there already"
            path.write_text(code)
            continue
        text = path.read_text()
        tree = ast.parse(text)
        if place["how"] == "To the imports of":
            imports = [
                n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)
            ]
            at = end_of(text, imports[-1]) + 1
        elif place["how"] == "Above":
            at = start_of(text, named(tree, place["name"]))
            code += "\n\n"
        else:
            at, code = inside(text, named(tree, place["name"]), code)
        path.write_text(text[:at] + code + text[at:])


def named(tree: ast.Module, name: str) -> ast.stmt:
    """The statement that makes a class or a table."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return node
    raise AssertionError(f"there is no {name}")


def inside(text: str, node: ast.stmt, code: str) -> tuple[int, str]:
    """The end of a class's fields, or of a table, and what to put there."""
    if isinstance(node, ast.ClassDef):
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        return end_of(text, fields[-1]) + 1, code
    closing = end_of(text, node.value) - 1
    return closing, code if text[:closing].rstrip().endswith(",") else f", {code}"


def start_of(text: str, node: ast.AST) -> int:
    return _offset(text, node.lineno, node.col_offset)


def end_of(text: str, node: ast.AST) -> int:
    return _offset(text, node.end_lineno, node.end_col_offset)


def _offset(text: str, line: int, column: int) -> int:
    lines = text.splitlines(keepends=True)
    return len("".join(lines[: line - 1])) + len(
        lines[line - 1].encode()[:column].decode()
    )


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    """A copy of the package and its commands, with all of the page's additions."""
    root = tmp_path_factory.mktemp("scratch")
    shutil.copytree(
        ROOT / "segnet_tf",
        root / "segnet_tf",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for script in ROOT.glob("*.py"):
        shutil.copy(script, root)
    follow(root)
    return root


@pytest.fixture(scope="module")
def results(scratch) -> dict[str, tuple[int, str]]:
    """Command -> exit code and what it printed."""
    write_kitti(scratch / "kitti" / "training")
    lines = [*HELP, *commands()]
    result = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps({line: shlex.split(line) for line in lines}),
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": str(scratch)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def write_kitti(folder: Path) -> None:
    """Ten scenes in the layout of the data set of the page, with Cityscapes' ids."""
    ids = [id for id, label in SOURCES["cityscapes"].ids.items() if label != 255]
    for part in ("image_2", "semantic"):
        (folder / part).mkdir(parents=True)
    for index in range(10):
        image, labels = draw_scene(5, index, 64, 96)
        labels[labels != 255] = [ids[label] for label in labels[labels != 255]]
        name = f"{index:06d}_10.png"
        Image.fromarray(image).save(folder / "image_2" / name)
        Image.fromarray(labels).save(folder / "semantic" / name)


def test_every_command_ends_well(results):
    for line, (code, printed) in results.items():
        assert code == 0, f"{line} exits with {code}: {printed}"


@pytest.mark.parametrize("line", HELP)
def test_help_lists_each_addition(results, line):
    _, printed = results[line]
    for name in HELP[line]:
        assert re.search(rf"(?<![\w-]){name}(?!\w)", printed), f"{name} is not listed"


def test_the_record_counts_the_parameters(results):
    [printed] = (out for line, (_, out) in results.items() if "summary" in line)
    counted = re.search(r"Trainable params: ([\d,]+)", printed)[1]
    assert f"parameters={counted.replace(',', '_')}," in PAGE


def test_new_files_are_in_the_style_of_the_others(scratch):
    files = [place["path"] for place, _ in blocks() if place["how"] == "New file"]
    assert files
    ruff = [sys.executable, "-m", "ruff"]
    shutil.copy(ROOT / "pyproject.toml", scratch)
    for command in (["check"], ["format", "--check"]):
        subprocess.run([*ruff, *command, *files], cwd=scratch, check=True)
