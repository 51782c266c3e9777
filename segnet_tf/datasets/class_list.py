"""classes.txt: the names of the classes, in the order of their ids, and their colours.

One class per line: name, or name R G B, or name #rrggbb. `segnet_tf.datasets.folder`
describes the rest of the format.
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
    """Reads classes.txt.

    Returns:
        The classes, and RGB triple -> id (empty without colours).

    Raises:
        UserError: if the file is missing or a line is wrong; the message names the
            line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file: write the class names into it, one per line, in "
            "the order of their ids"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as UTF-8 text ({error})") from None
    names, colours, table = [], [], {}
    for line, name, colour in _class_lines(path, text):
        void = name.lower() == "void"
        if name in names or colour in table or max(colour or (0,)) > 255:
            raise UserError(
                f"{path}: {line}: the name or the colour is there twice, or the colour "
                "is above 255"
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
        raise UserError(
            f"{path}: {missing!r} has no colour, but others have one: give all classes "
            "a colour, or none"
        )
    return DatasetInfo("folder", tuple(names), tuple(colours)), table


def _class_lines(path: Path, text: str) -> Iterator[tuple[str, str, tuple | None]]:
    """For each line that is not a comment: its place, its name, its colour or None.

    Ids before the names are dropped if every class has one.
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
    """PASCAL VOC's colours, one for each name; only "background" is black."""
    colours, number = [], 0
    for name in names:
        if name.lower() == "background":
            colours.append((0, 0, 0))
            continue
        number += 1
        # Bits 0, 1, 2 of the number become the highest bits of R, G, B, and bits 3, 4,
        # 5 the next, so that neighbours differ most.
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
