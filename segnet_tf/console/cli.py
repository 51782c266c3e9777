"""What the commands share: one clear line for bad input, exit codes, flags."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import segnet_tf
from segnet_tf.console.packages import missing_package
from segnet_tf.errors import UserError

__all__ = ["add_renamed", "chosen", "command", "parsed_size", "parser", "run"]

SCRIPTS = ("train", "evaluate", "predict", "export")
"""Commands that have a script of their name at the top of a checkout."""


def run(main: Callable[[], None], name: str | None = None) -> None:
    """Runs a command: exit 2 and one line if the user can mend it, 130 for Ctrl-C.

    Args:
        name: of the command in messages; by default as it was called.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name = name or os.path.basename(sys.argv[0])
    try:
        main()
    except UserError as error:
        _refuse(name, error)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        _refuse(name, missing)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def _refuse(name: str, error: UserError) -> NoReturn:
    print(f"{name}: error: {error}", file=sys.stderr)
    sys.exit(2)


def command(verb: str) -> str:
    """How to call a command, in the words of whoever reads the message.

    Someone who runs `python train.py` in a checkout reads "python predict.py"; someone
    who has the package installed reads "segnet predict".
    """
    program = Path(sys.argv[0])
    if program.name in {f"{script}.py" for script in SCRIPTS}:
        folder = program.parent
        if verb in SCRIPTS:
            return f"python {folder / f'{verb}.py'}"
        return f"python -m segnet_tf {verb}"
    if program.name == "__main__.py":
        return f"python -m segnet_tf {verb}"
    return f"segnet {verb}"


class _Parser(argparse.ArgumentParser):
    """Answers a slip with one line, where argparse would print all flags first."""

    def error(self, message: str):
        raise UserError(f"{message} (--help lists the options)")


def parser(
    verb: str, description: str | None, epilog: str = "", takes: str = ""
) -> argparse.ArgumentParser:
    """An argument parser whose help keeps its line breaks, with --version.

    Args:
        description: may say "segnet <verb>", which becomes what the reader can type.
        takes: what follows the command, but for its options.
    """
    description = description or ""  # without docstrings: python -OO
    for other in (*SCRIPTS, "data"):
        description = description.replace(f"segnet {other}", command(other))
    made = _Parser(
        prog=command(verb),
        # argparse's own would list every flag before the first line that explains one.
        usage=" ".join(["%(prog)s", *takes.split(), "[options]"]),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=segnet_tf.__version__)
    return made


def chosen(option: str, name: str, table: Mapping[str, Any]) -> Any:
    """What a name stands for in a table of choices.

    Raises:
        UserError: if it stands for nothing, naming what there is.
    """
    if name not in table:
        raise UserError(f"{option}: no {name!r}: there is {', '.join(table)}")
    return table[name]


class _Renamed(argparse.Action):
    """A flag of another name: says the name it has now."""

    def __call__(self, parser, namespace, values, option_string=None):
        raise UserError(f"{option_string}: is called {self.const} now")


def add_renamed(parser: argparse.ArgumentParser, names: Mapping[str, str]) -> None:
    """Lets a parser answer old flags with one line that names the new ones.

    Args:
        names: old flag -> what to write in its place.
    """
    for old, new in names.items():
        parser.add_argument(
            old, action=_Renamed, const=new, nargs="?", help=argparse.SUPPRESS
        )


def parsed_size(text: str) -> tuple[int, int]:
    """Height and width, both at least 1, from a text such as "360x480".

    Raises:
        ValueError: if the text is anything else. (argparse turns it into its own line.)

    >>> parsed_size("360x480")
    (360, 480)
    """
    height, width = (int(side) for side in text.lower().split("x"))
    if min(height, width) < 1:
        raise ValueError(f"{text}: a size has at least one pixel each way")
    return height, width


parsed_size.__name__ = "HxW size"  # how argparse names it: "invalid HxW size value"
