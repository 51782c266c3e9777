"""The commands: `segnet train`, `evaluate`, `predict`, `export` and `data`.

Each command is a module: it reads its flags, then makes one call into the package.
"""

import sys
from importlib import import_module
from pathlib import Path

import segnet_tf
from segnet_tf.console import cli
from segnet_tf.errors import UserError

__all__ = ["COMMANDS", "main", "run"]

COMMANDS = {
    "predict": "label photos",
    "train": "train a network on labelled pictures",
    "evaluate": "score a model on a split",
    "export": "write a model for other programs",
    "data": "check a data set before training",
}
"""Command -> what it does. Each is a module of this folder with a function `main`."""


def main() -> None:
    """Runs `segnet`: the first argument names a command, the others are its flags."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--version"]:
        print(segnet_tf.__version__)
    elif not arguments or arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<10}{does}" for name, does in COMMANDS.items()]
        usage = cli.command("COMMAND")
        print(f"usage: {usage} ...\n", *lines, sep="\n")
        print(f"\n`{usage} --help` lists the options of a command.")
    else:
        run(arguments[0], arguments[1:])


def run(name: str, arguments: list[str] | None = None) -> None:
    """Runs one command. An error that the user can mend is one line and exit code 2.

    Args:
        name: a key of `COMMANDS`.
        arguments: the flags; None: those of the command line.
    """

    def command() -> None:
        if name not in COMMANDS:
            raise UserError(f"no command {name!r}: choose from {', '.join(COMMANDS)}")
        import_module(f"segnet_tf.commands.{name}").main(arguments)

    script = Path(sys.argv[0]).name
    cli.run(command, script if script == f"{name}.py" else f"segnet {name}")
