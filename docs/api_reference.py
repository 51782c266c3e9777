"""Writes the API reference, made from the docstrings, as web pages.

python -m docs.api_reference                  into build/docs
python -m docs.api_reference --output pages
"""

import argparse
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

if not __package__:
    # Run as `python docs/api_reference.py`: then only docs/ is searched.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import segnet_tf
from segnet_tf.console import cli
from segnet_tf.console.quiet import import_tensorflow
from segnet_tf.errors import UserError

__all__ = ["public_modules", "write_reference"]

OUTPUT = Path("build") / "docs"


def public_modules() -> Iterator[str]:
    """Names of the package and of every module in it that is meant to be imported."""
    name = segnet_tf.__name__
    yield name
    for module in pkgutil.walk_packages(segnet_tf.__path__, f"{name}."):
        if not module.name.rsplit(".", 1)[-1].startswith("_"):
            yield module.name


def write_reference(folder: Path) -> None:
    """Writes one page per module, an index and a search over them.

    Raises:
        UserError: if pdoc is not installed, or warns: a name in `__all__` is not
            there, for example, or a type cannot be found.
    """
    os.environ.setdefault("MPLBACKEND", "Agg")
    import_tensorflow()
    try:
        import pdoc
        import pdoc.render
    except ModuleNotFoundError:
        raise UserError(
            "this needs the package pdoc: pip install -r requirements-dev.txt"
        ) from None

    for module in map(import_module, list(public_modules())):
        _hide_undocumented_overrides(module)
        _show_all_names(module)
    pdoc.render.configure(
        docformat="google", footer_text=f"segnet_tf {segnet_tf.__version__}"
    )
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        pdoc.pdoc(segnet_tf.__name__, output_directory=folder)
    said = [str(each.message) for each in found if "pdoc" in Path(each.filename).parts]
    if said:
        raise UserError(f"{len(said)} faults in docstrings:\n" + "\n".join(said))


def _hide_undocumented_overrides(module: ModuleType) -> None:
    """Leaves out methods such as `call`, about which we say nothing and Keras much.

    pdoc would print Keras' docstrings; they say how to override the method, and link
    to pages that are not there.
    """
    for made in vars(module).values():
        if isinstance(made, type) and made.__module__ == module.__name__:
            for name, method in vars(made).items():
                inherited = any(hasattr(base, name) for base in made.__bases__)
                undocumented = isinstance(method, FunctionType) and not method.__doc__
                if inherited and undocumented and not name.startswith("__"):
                    method.__doc__ = "@private"


def _show_all_names(module: ModuleType) -> None:
    """Makes pdoc see what a module imports when it is first used, and its modules.

    pdoc looks into a module for the names of `__all__` without asking for them, and
    shows a module inside it only if that stands in `__all__`, too.
    """
    names = getattr(module, "__all__", None)
    if names is None:
        return
    for name in names:
        setattr(module, name, getattr(module, name))
    inside = [
        found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))
    ]
    module.__all__ = [*names, *(name for name in inside if not name.startswith("_"))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help=f"folder [{OUTPUT}]"
    )
    folder = parser.parse_args().output
    write_reference(folder)
    print(folder / "index.html")


if __name__ == "__main__":
    cli.run(main)
