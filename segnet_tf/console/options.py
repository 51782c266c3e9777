"""Options that are fields of a dataclass and flags of a command at once.

An option's default, help, choices and bounds stand in its field; the flag is made of
them. A choice's name, meaning and help stand together in one table of `Choice`.
"""

import math
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
    "parsed_range",
]


@dataclass(frozen=True)
class Choice:
    """One value that an option may have.

    Attributes:
        help: what it means, in a few words.
        make: what it stands for; its arguments are the table's to say.
    """

    help: str
    make: Callable[..., Any]


@dataclass(frozen=True)
class Bound:
    """What a value must keep.

    Attributes:
        says: "must be ...", for the error line.
        holds: value -> whether it is kept; False for NaN.
    """

    says: str
    holds: Callable[[Any], bool]


MOST_SHOWN = 4
"""Choices that stand in the flag's line of the help; of more, there is NAME."""

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
        default: its value unless given.
        help: of the flag.
        choices: the values it may have; a table of `Choice` adds each one's help.
        bound: what its value must keep.
        parse: text -> value; by default the type of `default`.
        opposite: of a yes-or-no option, the flag that says no [no-<name>].
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
    """Refuses a value that is no choice or does not keep its bound.

    Raises:
        UserError: naming the option, its value and what is allowed.
    """
    for each in fields(record):
        value = getattr(record, each.name)
        choices, bound = each.metadata.get("choices"), each.metadata.get("bound")
        if choices is not None and value not in choices:
            listed = ", ".join(map(str, choices))
            raise UserError(f"{each.name}: no {value!r}: there is {listed}")
        if bound is not None and not bound.holds(value):
            raise UserError(f"{each.name}: {value}, {bound.says}")


def add_flags(parser: Any, record: Any) -> None:
    """Gives a parser, or a group of one, a flag for each option of a dataclass.

    What is not given is None, so that recipes and defaults can be told from flags.
    """
    for each in fields(record):
        _add_flag(parser, each)


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
    # argparse formats help with %.
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
    # argparse's own choices would answer a slip with a page of usage.
    names = None if choices is None else list(map(str, choices))
    metavar = None if names is None else "NAME"
    if names is not None and len(names) <= MOST_SHOWN:
        metavar = f"{{{','.join(names)}}}"
    parser.add_argument(flag, type=kind, metavar=metavar, help=text + shown)


def _shown(default: Any) -> str:
    if not isinstance(default, tuple):
        return str(default)
    return ("x" if isinstance(default[0], int) else "-").join(map(str, default))


def parsed_range(text: str) -> tuple[float, float]:
    """Two numbers from a text such as "0.5-1.3".

    >>> parsed_range("0.5-1.3")
    (0.5, 1.3)
    """
    low, high = text.split("-")
    return float(low), float(high)


parsed_range.__name__ = "LOW-HIGH range"
