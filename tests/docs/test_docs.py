"""The pages: their Python runs, and whatever they name is there.

Links and anchors lead somewhere, commands and flags exist, and the README's tree is the
tree on disk.
"""

import ast
import contextlib
import importlib.util
import io
import re
import shlex
import shutil
import subprocess
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from networks import network
from PIL import Image

from segnet_tf.commands import COMMANDS
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.registry import DATASETS
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.export.tflite import export_tflite
from segnet_tf.inference.predictor import Predictor
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.augmentation import Augmentation

FOLDERS = ("benchmarks", "docs", "experiments", "saved_models", "web")
PAGES = sorted(
    [*ROOT.glob("*.md")]
    + [
        page
        for folder in FOLDERS
        for page in (ROOT / folder).rglob("*.md")
        if "node_modules" not in page.parts
    ]
)
EACH_PAGE = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)

OLD_NAMES = "### Names that older checkouts used"
"""The part of the changelog whose flags are not there any more."""

OTHERS_FLAGS = {"--prefix", "--logdir"}
"""Flags of npm and TensorBoard, which may stand alone."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8").split(OLD_NAMES)[0]


def test_mobile_python(tmp_path, monkeypatch):
    text = text_of(ROOT / "docs" / "mobile.md")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    export_tflite(network("segnet"), "model.tflite", INFO, (48, 64))
    shutil.copy("model.tflite", "model_float32.tflite")
    image = draw_scene(9, 0, 48, 64)[0]
    # The docs' photo is a JPEG; a format without loss lets the labels be compared.
    Image.fromarray(image).save("street.jpg", format="PNG")
    exec(compile(code, "docs/mobile.md", "exec"), {})
    labels = np.asarray(Image.open("labels.png"))
    np.testing.assert_array_equal(labels, Predictor("model.tflite").labels(image))


@EACH_PAGE
def test_python_blocks_import_what_there_is(page):
    if page.name == "extending.md":
        pytest.skip("test_extending.py runs its blocks, which add modules")
    for code in re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and "segnet_tf" in (node.module or ""):
                for alias in node.names:
                    assert hasattr(import_module(node.module), alias.name)


# The README's tree

ENTRY = re.compile(r"^(?P<indent> *)(?P<name>\w+)/ +(?P<rest>.*(?:\n {12,}.*)*)", re.M)


def listed_in_the_readme() -> set[str]:
    """The tree's scripts and folders, and the modules of the package."""
    text = text_of(ROOT / "README.md")
    [tree] = re.findall(r"## The tree\n\n```\n(.*?)```", text, re.DOTALL)
    found = set(re.findall(r"\w+\.py", tree.splitlines()[0]))
    above: dict[int, str] = {}
    for entry in ENTRY.finditer(tree):
        depth = len(entry["indent"]) // 2
        above[depth] = entry["name"]
        folder = "/".join(above[level] for level in range(depth + 1))
        found.add(folder)
        names = ""
        if depth:
            names = entry["rest"].rpartition("(")[2].removesuffix(")")
        elif folder == "segnet_tf":
            names = re.sub(r"\(.*?\)", "", entry["rest"])
        found |= {f"{folder}/{name}.py" for name in names.split()}
    return found


def in_the_package() -> set[str]:
    """Its folders and modules; of the `__init__`, the package's own."""
    found = set()
    for module in (ROOT / "segnet_tf").rglob("*.py"):
        name = module.relative_to(ROOT)
        found.add(str(name.parent))
        if name.name != "__init__.py" or str(name.parent) == "segnet_tf":
            found.add(str(name))
    return found


def at_the_top() -> set[str]:
    """Scripts and folders that git knows of; none if there is no git."""
    listing = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    parts = [line.split("/") for line in listing.splitlines()]
    found = {path[0] for path in parts if path[1:] and path[0][0] != "."}
    return found | {p[0] for p in parts if not p[1:] and p[0].endswith(".py")}


def named_by_a_record() -> set[str]:
    """Other people's modules of networks and data sets, which their tables name.

    So a new one touches its module and its record, as docs/extending.md promises.
    """
    builders = {network.builder.split(":")[0] for network in NETWORKS.values()}
    loaders = {getattr(load, "func", load).__module__ for load in DATASETS.values()}
    found = {f"{name.replace('.', '/')}.py" for name in builders | loaders}
    ours = ("segnet", "segnet_basic", "segnet_lite", "bayesian", "fcn")
    found -= {f"segnet_tf/models/{name}.py" for name in ours}
    ours = ("folder", "tfds", "sun_rgbd")
    return found - {f"segnet_tf/datasets/{name}.py" for name in ours}


def test_the_readmes_tree_is_the_tree_on_disk():
    listed = listed_in_the_readme()
    absent = {name for name in listed if not (ROOT / name).exists()}
    assert not absent, "README.md's tree lists what is not there"
    unlisted = (in_the_package() | at_the_top()) - listed - named_by_a_record()
    assert not unlisted, "README.md's tree does not list this"


# Links

LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@EACH_PAGE
def test_links_lead_somewhere(page):
    for link in LINK.findall(without_code(text_of(page))):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link}: not there"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


OURS = "|".join((*FOLDERS, "segnet_tf", "tests", "tools", "typings"))
PATH = re.compile(rf"({OURS})/[\w./-]*")
DOTTED = re.compile(r"segnet_tf(\.\w+)+")


@EACH_PAGE
def test_named_files_and_modules_are_there(page):
    if page.name == "extending.md":
        pytest.skip("test_extending.py makes the files that it names")
    for code in re.findall(r"`([^`\n]+)`", without_fences(text_of(page))):
        if PATH.fullmatch(code):
            assert (ROOT / code).exists(), f"{code}: not there"
        elif DOTTED.fullmatch(code):
            assert resolves(code), f"{code}: not there"
        for word in code.split():
            if word.startswith("tests/"):
                assert (ROOT / word.split("::")[0]).exists(), f"{word}: not there"


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    module, rest = name, []
    while not spec_of(module):
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
        if not module:
            return False
    thing = import_module(module)
    for part in rest:
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


def spec_of(module: str):
    try:
        return importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None


# Commands

INTERPRETER = re.compile(r"(\$|\.venv/bin/)?(python3?(\.\d+)?)")


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    text = re.sub(r"^ {4}.*$", "", without_fences(text), flags=re.MULTILINE)
    return re.sub(r"`[^`]+`", "", text)


def quoted_commands(page: Path) -> list[list[str]]:
    """Every command of a page, in its words: of indented lines, and of code in text."""
    text = without_fences(text_of(page))
    lines = re.findall(r"^ {4}((?:.*\\\n)*.*)$", text, re.MULTILINE)
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]
    found = []
    for line in lines:
        for part in line.replace("\\\n", " ").removeprefix("$ ").split("&&"):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # prose with an apostrophe
                continue
            if words:
                found.append(words)
    return found


def program(words: list[str]) -> tuple[str, list[str]] | None:
    """What a command runs: "train", "benchmarks.forward" ..., and its arguments."""
    if INTERPRETER.fullmatch(words[0]) and len(words) > 1:
        words = words[2:] if words[1] == "-m" else words[1:]
    elif words[0].startswith("--") or "/" in words[0]:
        return None
    if not words:
        return None
    name = words[0].removesuffix(".py")
    if name in ("segnet", "segnet_tf") and words[1:]:
        return words[1], words[2:]
    return name, words[1:]


@cache
def flags_of(name: str) -> set[str]:
    """The flags of one of our commands or scripts."""
    if name in COMMANDS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
            import_module(f"segnet_tf.commands.{name}").main(["--help"])
        return set(
            re.findall(r"^  (?:-h, )?(--[\w-]+)", printed.getvalue(), re.MULTILINE)
        )
    source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    found = set(re.findall(r'"(--[a-z][\w-]*)"', source)) | {"--help"}
    package = name.partition(".")[0]
    for other in re.findall(rf"from ({package}\.\w+) import", source):
        found |= flags_of(other)
    return found


def scripts() -> list[str]:
    """The modules that are run by name, such as "benchmarks.forward"."""
    folders = ("benchmarks", "experiments", "docs")
    return [f"{at}.{path.stem}" for at in folders for path in (ROOT / at).glob("*.py")]


def is_ours(name: str) -> bool:
    return name in COMMANDS or (ROOT / f"{name.replace('.', '/')}.py").is_file()


@EACH_PAGE
def test_quoted_commands_and_flags_are_there(page):
    if page.name == "extending.md":
        pytest.skip("test_extending.py runs its commands, which add flags")
    every = set().union(*map(flags_of, [*COMMANDS, *scripts()])) | OTHERS_FLAGS
    for words in quoted_commands(page):
        flags = [word.strip("[],").partition("=")[0] for word in words]
        flags = [flag for flag in flags if re.fullmatch(r"--[a-z][a-z-]*", flag)]
        found = program(words)
        if words[0].startswith("--"):
            assert set(flags) <= every, f"no such flag: {' '.join(words)}"
        elif found and is_ours(found[0]):
            assert set(flags) <= flags_of(found[0]), f"no such flag: {' '.join(words)}"
        elif found and "-m" in words[:2]:
            assert spec_of(words[2]), f"no such module: {words[2]}"


def test_make_has_the_targets_that_are_quoted():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for target in re.findall(r"(?:^ {4}|`)make ([a-z][\w-]*)", text_of(page), re.M):
            assert re.search(rf"^{target}:", makefile, re.M), f"{page}: make {target}"


FOLDER_FLAGS = {f"--{each.name.replace('_', '-')}" for each in fields(Reading)}
OUR_CHANGES = {"--crop", "--zoom", "--flip", "--color-jitter", "--corruption"}


def test_training_md_names_every_flag():
    text = text_of(ROOT / "docs" / "training.md")
    named = set(re.findall(r"--[a-z][a-z-]*", text))
    # An augmentation of your own needs no line there.
    own = {f"--{each.name.replace('_', '-')}" for each in fields(Augmentation)}
    expected = flags_of("train") - {"--help", "--version"} - FOLDER_FLAGS
    assert expected - (own - OUR_CHANGES) <= named
    assert flags_of("evaluate") - {"--help", "--version"} - FOLDER_FLAGS <= named


def test_export_md_names_every_flag():
    text = text_of(ROOT / "docs" / "export.md")
    named = set(re.findall(r"--[a-z][a-z-]*", text))
    assert flags_of("export") - {"--help", "--version"} - FOLDER_FLAGS <= named


def test_your_data_md_names_every_flag_of_the_folder():
    text = text_of(ROOT / "docs" / "your-data.md")
    assert set(re.findall(r"--[a-z][a-z-]*", text)) >= FOLDER_FLAGS
