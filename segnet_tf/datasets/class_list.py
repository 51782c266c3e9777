"""classes.txt: the names of the classes, in the order of their ids, and their colours.

One class per line: name, or name R G B, or name #rrggbb. `segnet_tf.datasets.folder`
says what else may stand there.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from segnet_tf.datasets.dataset import IGNORE_LABEL, DatasetInfo
from segnet_tf.errors import UserError

__all__ = ["default_colours", "read_classes"]

_COMMENT = re.compile(r"(^|\s)#(?![0-9a-fA-F]{6}(\s|$)).*")
_CLASS_LINE = re.compile(
    r"(?:(?P<id>\d+)(?:\s*[:.)=,;]\s*|\s+(?:-\s+)?)(?=\D))?(?P<name>.+?)"
    r"(?:[\s,;:]+(?:(?P<rgb>\d+[\s,;]+\d+[\s,;]+\d+)|#(?P<hex>[0-9a-fA-F]{6})))?"
    r"[\s,;]*"
)
_COLOUR_FIRST = re.compile(r"(\d+[\s,;]+){3}\D.*")


def read_classes(path: Path) -> tuple[DatasetInfo, dict[tuple[int, int, int], int]]:
    """The classes of classes.txt, and RGB triple -> id (empty without colours).

    Raises:
        UserError: if the file is missing, or names the line that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file: write the class names into it, one a line, in the "
            "order of their ids"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as UTF-8 text ({error})") from None
    names, colours, table = [], [], {}
    for line, name, colour in _class_lines(path, text):
        void = name.lower() == "void"
        if name in names or colour in table or max(colour or (0,)) > 255:
            raise UserError(
                f"{path}: {line}: a name or a colour given twice, or a colour above 255"
            )
        if colour:
            table[colour] = IGNORE_LABEL if void else len(names)
        if not void:
            names.append(name)
            colours.append(colour)
    if not 1 <= len(names) <= IGNORE_LABEL:
        raise UserError(f"{path}: {len(names)} classes, expected 1 to {IGNORE_LABEL}")
    if not any(colours):
        colours = default_colours(names)
    elif None in colours:
        missing = names[colours.index(None)]
        raise UserError(f"{path}: {missing!r} has no colour, though others have one")
    return DatasetInfo("folder", tuple(names), tuple(colours)), table


def _class_lines(path: Path, text: str) -> Iterator[tuple[str, str, tuple | None]]:
    """Of each line that is no comment: which it is, its name, and its colour or None.

    Ids in front are dropped, provided that every class has its own.
    """
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = _COMMENT.sub("", line).strip()
        if content:
            where = f"line {number}, {line.strip()!r}"
            if _COLOUR_FIRST.fullmatch(content):
                raise UserError(f"{path}: {where}: write the name first, then R G B")
            lines.append((where, _CLASS_LINE.fullmatch(content)))
    voids = [match["name"].lower() == "void" for _, match in lines]
    classes = [line for line, void in zip(lines, voids, strict=True) if not void]
    numbered = all(match["id"] for _, match in classes)
    for place, (where, match) in enumerate(classes):
        if numbered and int(match["id"]) != place:
            raise UserError(
                f"{path}: {where}: this is class {place}: ids count from 0 in the "
                "order of the lines"
            )
    for (where, match), void in zip(lines, voids, strict=True):
        start = match.start("name") if void or numbered else 0
        yield where, match.string[start : match.end("name")], _colour(match)


def _colour(match: re.Match) -> tuple[int, ...] | None:
    if match["hex"]:
        return tuple(bytes.fromhex(match["hex"]))
    return tuple(map(int, re.findall(r"\d+", match["rgb"]))) if match["rgb"] else None


def default_colours(names: Sequence[str]) -> list[tuple[int, int, int]]:
    """The colours of PASCAL VOC, one a name, black for "background" alone."""
    colours, number = [], 0
    for name in names:
        if name.lower() == "background":
            colours.append((0, 0, 0))
            continue
        number += 1
        # Bits 0, 1, 2 of the number become the highest of R, G, B, bits 3, 4, 5 the
        # next, so that neighbours differ most.
        bits = [number >> (3 * place) & 7 for place in range(8)]
        colours.append(
            tuple(
                sum(
                    (triple >> channel & 1) << 7 - place
                    for place, triple in enumerate(bits)
                )
                for channel in range(3)
            )
        )
    return colours
