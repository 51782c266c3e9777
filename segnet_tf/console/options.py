"""Options. Each is a field of a dataclass and a flag of a command.

The field holds the option's default, help, choices and bound; the flag is made from
them. A table of `Choice` holds the name, the meaning and the help of each choice.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from segnet_tf.errors import UserError

__all__ = [
    "BELOW_ONE",
    "NOT_NEGATIVE",
    "POSITIVE",
    "SHARE",
    "Bound",
    "Choice",
    "add_flags",
    "check_options",
    "option",
    "options_from",
    "parsed_range",
]


@dataclass(frozen=True)
class Choice:
    """One value that an option may have.

    Attributes:
        help: its meaning, in a few words.
        make: the function that it stands for; the table documents the arguments.
    """

    help: str
    make: Callable[..., Any]


@dataclass(frozen=True)
class Bound:
    """A condition on an option's value.

    Attributes:
        says: the end of the error line, "must be ...".
        holds: value -> whether the condition holds; False for NaN.
    """

    says: str
    holds: Callable[[Any], bool]


MOST_SHOWN = 4
"""The help lists up to this many choices beside the flag, or else shows NAME."""

POSITIVE = Bound("must be positive", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Bound("must not be negative", lambda value: 0 <= value < math.inf)
SHARE = Bound("must be in [0, 1]", lambda value: 0 <= value <= 1)
BELOW_ONE = Bound("must be in [0, 1)", lambda value: 0 <= value < 1)


def option(
    default: Any,
    help: str,
    choices: Mapping[Any, Any] | Iterable | None = None,
    bound: Bound | None = None,
    parse: Callable[[str], Any] | None = None,
    opposite: str | None = None,
) -> Any:
    """A field of a dataclass that is also a flag.

    Args:
        default: its value if the flag is not given.
        help: the flag's help.
        choices: the allowed values; a table of `Choice` adds the help of each.
        bound: the condition on its value.
        parse: text -> value; by default the type of `default`.
        opposite: for a boolean option, the flag that sets it to False [`no-<name>`].
    """
    metadata = {
        "help": help,
        "choices": choices,
        "bound": bound,
        "parse": parse,
        "opposite": opposite,
    }
    return field(default=default, metadata=metadata)


def check_options(record: Any) -> None:
    """Checks every option of a dataclass against its choices and its bound.

    Args:
        record: an instance of the dataclass.

    Raises:
        UserError: if a value is not allowed; the message names the option, its value
            and the allowed values.
    """
    for each in fields(record):
        value = getattr(record, each.name)
        choices, bound = each.metadata.get("choices"), each.metadata.get("bound")
        if not _has_type_of(value, each.default):
            kind = "text" if each.default is None else type(each.default).__name__
            raise UserError(f"{each.name}: {value!r} is not of type {kind}")
        if choices is not None and value not in choices:
            listed = ", ".join(map(str, choices))
            raise UserError(f"{each.name}: no {value!r}: choose from {listed}")
        if bound is not None and not bound.holds(value):
            raise UserError(f"{each.name}: {value}, {bound.says}")


def _has_type_of(value: Any, default: Any) -> bool:
    """Whether a value is of the type of an option's default; None stands for text."""
    if default is None:
        return value is None or isinstance(value, str)
    if isinstance(default, tuple):
        return (
            isinstance(value, tuple | list)
            and len(value) == len(default)
            and all(map(_has_type_of, value, default))
        )
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))


def add_flags(parser: Any, record: Any) -> None:
    """Adds a flag for each option of a dataclass to a parser, or to a group of one.

    A flag that is not given is None, so that a recipe or the default can replace it.

    Args:
        parser: the parser or its group.
        record: the dataclass, or an instance.
    """
    for each in fields(record):
        _add_flag(parser, each)


def options_from(found: Any, record: type) -> Any:
    """The dataclass with the options that are given.

    Args:
        found: a parser's namespace, in which an option that is not given is None.
        record: the dataclass.

    Raises:
        UserError: if a value is not allowed.
    """
    given = {each.name: getattr(found, each.name) for each in fields(record)}
    made = record(**{key: value for key, value in given.items() if value is not None})
    check_options(made)
    return made


def _add_flag(parser: Any, each: Field) -> None:
    flag, default = f"--{each.name.replace('_', '-')}", each.default
    text, choices = each.metadata["help"], each.metadata["choices"]
    if isinstance(choices, Mapping) and choices:
        helped = [
            f"{name}: {choice.help}"
            for name, choice in choices.items()
            if isinstance(choice, Choice)
        ]
        text = "; ".join([text, *helped])
    # argparse formats the help with %.
    text = text.replace("%", "%%")
    if isinstance(default, bool):
        opposite = f"--{each.metadata['opposite'] or f'no-{flag[2:]}'}"
        yes, no = (" [default]", "") if default else ("", " [default]")
        parser.add_argument(
            flag, dest=each.name, action="store_true", default=None, help=text + yes
        )
        parser.add_argument(
            opposite,
            dest=each.name,
            action="store_false",
            default=None,
            help=f"the opposite of {flag}{no}",
        )
        return
    kind = each.metadata["parse"] or (str if default is None else type(default))
    shown = "" if default is None else f" [{_shown(default)}]"
    # `check_options` checks the choices, for flags and recipes alike.
    names = None if choices is None else list(map(str, choices))
    metavar = {int: "N", float: "X"}.get(kind) if names is None else "NAME"
    if names is not None and len(names) <= MOST_SHOWN:
        metavar = f"{{{','.join(names)}}}"
    parser.add_argument(flag, type=kind, metavar=metavar, help=text + shown)


def _shown(default: Any) -> str:
    if not isinstance(default, tuple):
        return str(default)
    return ("x" if isinstance(default[0], int) else "-").join(map(str, default))


def parsed_range(text: str) -> tuple[float, float]:
    """Two numbers from a text such as "0.5-1.3".

    Raises:
        ValueError: for any other text; argparse turns it into a line of its own.

    >>> parsed_range("0.5-1.3")
    (0.5, 1.3)
    >>> parsed_range("-1-1e-05")
    (-1.0, 1e-05)
    """
    number = r"-?[\d.]+(?:e[+-]?\d+)?"
    found = re.fullmatch(rf"({number})-({number})", text)
    if found is None:
        raise ValueError(f"{text}: no range")
    return float(found[1]), float(found[2])


parsed_range.__name__ = "LOW-HIGH range"
