"""The API reference: every module is in it, every link leads somewhere."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

from conftest import ROOT

import segnet_tf
from docs.api_reference import public_modules

PACKAGE = Path(segnet_tf.__file__).parent
SOURCES = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


class Page(HTMLParser):
    """The anchors and the links of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors: set[str | None] = set()
        self.links: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.links.append(value or "")


def test_the_reference_is_whole(tmp_path):
    command = [sys.executable, "-m", "docs.api_reference", "--output", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    # pdoc's warnings are errors there.
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'index.html'}\n" and not result.stderr
    pages = {path: Page(path) for path in tmp_path.rglob("*.html")}

    modules = list(public_modules())
    # `__init__.py` is its folder's page; `__main__.py` has none.
    assert len(modules) == len(SOURCES) - 1
    expected = {tmp_path / f"{name.replace('.', '/')}.html" for name in modules}
    assert set(pages) == expected | {tmp_path / "index.html"}
    front = pages[tmp_path / "segnet_tf.html"]
    assert set(segnet_tf.__all__) <= front.anchors

    links = [(path, link) for path, page in pages.items() for link in page.links]
    assert len(links) > 1000
    assert [link for link in links if not leads_somewhere(*link, pages)] == []


def leads_somewhere(source: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link of a page is to another site, or to an anchor that is there."""
    url = urlsplit(link)
    if url.scheme or url.netloc:
        return True
    target = (source.parent / unquote(url.path)).resolve() if url.path else source
    if not url.fragment:
        return target.exists()
    return target in pages and unquote(url.fragment) in pages[target].anchors


def test_broken_links_are_seen(tmp_path):
    path = tmp_path / "page.html"
    path.write_text('<p id="here"><a href="#here">a</a><a href="#gone">b</a>')
    pages = {path: Page(path)}
    links = [*pages[path].links, "page.html#here", "none.html", "https://pdoc.dev"]
    assert [leads_somewhere(path, link, pages) for link in links] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_docstrings_document_arguments_that_exist():
    faults = [
        f"{path.relative_to(PACKAGE)}: {name}: {unknown}"
        for path, text in SOURCES.items()
        for name, unknown in unknown_arguments(text)
    ]
    assert faults == []


def test_unknown_arguments_are_seen():
    text = '''
def f(a, **c):
    """Does it.

    Args:
        a: of it,
            more: of that.
        b: is gone
        **c: the rest.

    Raises:
        ValueError: if not.
    """
'''
    assert list(unknown_arguments(text)) == [("f", ["b"])]


def unknown_arguments(text: str) -> Iterator[tuple[str, list[str]]]:
    """Functions and classes that document arguments or attributes they do not have."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            known = known_names(node)
            named = documented_names(ast.get_docstring(node) or "")
            unknown = [name for name in named if name not in known]
            if unknown:
                yield node.name, unknown


def known_names(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    """The arguments of a function; of a class, all that its body names."""
    if isinstance(node, ast.FunctionDef):
        return {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
    inside = list(ast.walk(node))
    names = {each.arg for each in inside if isinstance(each, ast.arg)}
    names |= {each.id for each in inside if isinstance(each, ast.Name)}
    return names | {each.attr for each in inside if isinstance(each, ast.Attribute)}


def documented_names(docstring: str) -> list[str]:
    """What the sections Args and Attributes name, each at the beginning of a line."""
    sections = re.split(r"^(\w+):.*\n", f"\n{docstring}", flags=re.MULTILINE)
    named = []
    for title, section in zip(sections[1::2], sections[2::2], strict=True):
        if title in ("Args", "Attributes"):
            named += re.findall(r"^    \*{0,2}(\w+): ", section, re.MULTILINE)
    return named


def test_names_of_the_package_in_docstrings_exist():
    named = {
        (str(path.relative_to(PACKAGE)), name)
        for path, text in SOURCES.items()
        for name in re.findall(r"`(segnet_tf(?:\.\w+)+)`", text)
    }
    assert len(named) > 5
    assert [place for place in sorted(named) if not resolves(place[1])] == []


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    module, _, rest = name.partition(".")
    found = import_module(module)
    for part in filter(None, rest.split(".")):
        module = f"{module}.{part}"
        if hasattr(found, part):
            found = getattr(found, part)
            continue
        try:
            found = import_module(module)
        except ModuleNotFoundError:
            return False
    return True
