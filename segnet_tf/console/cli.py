"""Shared by all commands: flags, exit codes, one clear line for bad input."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import segnet_tf
from segnet_tf.console.packages import missing_package
from segnet_tf.console.surroundings import leave_quietly, settle
from segnet_tf.errors import Stopped, UserError, printable

__all__ = [
    "add_renamed",
    "chosen",
    "command",
    "parsed_size",
    "parser",
    "run",
]

REFUSALS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
)
"""Errors of the file system that are no defect: no permission, no room, a loop of
links, a name that is too long."""

SCRIPTS = ("train", "evaluate", "predict", "export")
"""Commands that also have a script at the top of a checkout, such as train.py."""


def run(main: Callable[[], None], name: str | None = None) -> None:
    """Runs a command and turns its errors into exit codes.

    A `UserError`, a package that is not installed, or a file that the system refuses to
    open, prints one line and exits with 2. Ctrl-C exits with 130, SIGTERM with 143, a
    terminal that closes (SIGHUP) with 129, and a closed pipe with 141, as a shell
    counts them. Any other exception keeps its traceback.

    Args:
        main: the command.
        name: the command's name in error lines; by default, the script's name.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    name = name or os.path.basename(sys.argv[0])
    try:
        settle()
        _end_cleanly()
        main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except UserError as error:
        _refuse(name, error)
    except BrokenPipeError:
        leave_quietly()
        _exit(141)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        # Python would try again to write what standard output did not take.
        leave = os._exit if error.filename is None else sys.exit
        _refuse(name, f"{_place(error)}: {error.strerror}", leave)
    except RuntimeError as error:
        # Path.resolve before Python 3.13.
        if not str(error).startswith("Symlink loop"):
            raise
        _refuse(name, str(error))
    except ValueError as error:
        # A small computer without a clock starts in 1970.
        if "timestamps before 1980" not in str(error):
            raise
        _refuse(name, "this machine's clock is before 1980: set it, then try again")
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        _refuse(name, missing)
    except Stopped as stopped:
        with suppress(OSError):  # the terminal may be gone
            print(f"\n{stopped}", file=sys.stderr)
        _exit(128 + stopped.number)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        _exit(130)


def _end_cleanly() -> None:
    """Lets signals that end a process unwind it first, but those that are ignored."""
    signal.signal(signal.SIGTERM, _terminated)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) == signal.SIG_DFL:
        signal.signal(hangup, _terminated)


def _terminated(number: int, frame) -> NoReturn:
    raise Stopped(number, "terminated")


def _exit(code: int) -> NoReturn:
    if "tensorflow" in sys.modules:
        # Its threads may still run a step, and crash a Python that takes itself apart.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _place(error: OSError) -> str:
    """The file of an error; output to a full disk has none."""
    name = "standard output" if error.filename is None else str(error.filename)
    return name if error.errno != errno.ENAMETOOLONG else f"{name[:60]}..."


def _refuse(
    name: str, error: UserError | str, leave: Callable[[int], NoReturn] = sys.exit
) -> NoReturn:
    if sys.stderr is not None:
        print(f"{name}: error: {printable(str(error))}", file=sys.stderr)
    leave(2)


def command(verb: str) -> str:
    """The text that calls a command, for messages.

    If the program runs as `python train.py` in a checkout, the text is such as
    "python predict.py". If the package is installed, it is such as "segnet predict".

    Args:
        verb: the command, such as "predict".
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
    """Reports a wrong flag in one line; argparse would print all flags first."""

    def error(self, message: str):
        raise UserError(f"{message} (--help lists the options)")


def parser(
    verb: str, description: str | None, epilog: str = "", takes: str = ""
) -> argparse.ArgumentParser:
    """An argument parser with --version, whose help keeps its line breaks.

    Args:
        verb: the command, such as "predict".
        description: the text before the flags. Each `segnet <verb>` in it becomes the
            text that calls that command.
        epilog: the text after the flags.
        takes: the positional arguments, for the usage line.
    """
    description = description or ""  # python -OO drops docstrings
    for other in (*SCRIPTS, "data"):
        description = description.replace(f"segnet {other}", command(other))
    made = _Parser(
        prog=command(verb),
        # argparse's own usage lists every flag before the help explains the first.
        usage=" ".join(["%(prog)s", *takes.split(), "[options]"]),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=segnet_tf.__version__)
    return made


def chosen(option: str, name: str, table: Mapping[str, Any]) -> Any:
    """The value of a name in a table of choices.

    Args:
        option: the option's name, for the message.
        name: a key of `table`.
        table: name -> value.

    Raises:
        UserError: if the table has no such name; the message lists its names.
    """
    if name not in table:
        raise UserError(f"{option}: no {name!r}: choose from {', '.join(table)}")
    return table[name]


class _Renamed(argparse.Action):
    """Refuses an old flag and names the new one."""

    def __call__(self, parser, namespace, values, option_string=None):
        raise UserError(f"{option_string}: is called {self.const} now")


def add_renamed(parser: argparse.ArgumentParser, names: Mapping[str, str]) -> None:
    """Makes a parser refuse old flags, each with one line that names the new flag.

    Args:
        names: old flag -> the text to write instead.
    """
    for old, new in names.items():
        parser.add_argument(
            old, action=_Renamed, const=new, nargs="?", help=argparse.SUPPRESS
        )


def parsed_size(text: str) -> tuple[int, int]:
    """Height and width, both at least 1, from a text such as "360x480".

    Raises:
        ValueError: for any other text; argparse turns it into a line of its own.

    >>> parsed_size("360x480")
    (360, 480)
    """
    height, width = (int(side) for side in text.lower().split("x"))
    if min(height, width) < 1:
        raise ValueError(f"{text}: height and width must be at least 1")
    return height, width


parsed_size.__name__ = "HxW size"  # for argparse's "invalid HxW size value"
