"""The lines of a class list without a heading; `segnet_tf.datasets.class_file` has the
forms."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from segnet_tf.datasets.class_list import ClassEntry, Colour
from segnet_tf.errors import UserError

__all__ = [
    "COLUMNS",
    "COLUMN_OF",
    "NUMBERS",
    "Line",
    "colour_of",
    "counted",
    "listed",
    "whole",
]

_COMMENT = re.compile(r"(^|\s)#(?![0-9a-fA-F]{6}(\s|$)).*")
NUMBERS = r"\d{1,3}[ ,;:]+\d{1,3}[ ,;:]+\d{1,3}"
_ID = r"(?P<id>-?\d{1,9})"
_LINE = re.compile(
    rf"(?:{_ID}(?: ?[:.)=,;-] ?| (?:- )?)(?=[^\d]))?(?P<name>.+?)"
    rf"(?:[ ,;:]+(?:(?P<rgb>{NUMBERS})|#(?P<hex>[0-9a-fA-F]{{6}})))?[ ,;:]*"
)
_COLOUR_FIRST = re.compile(rf"(?:{_ID}[ ,;:]+)?(?P<rgb>{NUMBERS})[ ,;:]+(?P<name>\D.*)")
_ID_BEHIND = re.compile(rf"(?P<name>.*[^\d ,;:=-])[ ,;:=]+{_ID}")
_KEY = re.compile(r"(?i)[\W]*(id|index|name|class|label|colou?r)['\"]?\s*[:=].*")

COLUMNS = {
    "name": "name class label category class_name label_name",
    "id": "id index idx no nr number value pixel pixel_value class_id label_id",
    "red": "r red",
    "green": "g green",
    "blue": "b blue",
    "colour": "rgb hex color colour color_rgb",
}
COLUMN_OF = {word: key for key, words in COLUMNS.items() for word in words.split()}
_HEADINGS = {*COLUMN_OF, "names", "classes", "labels", "categories"}

Line = tuple[str, str]
"""Where a line stands, for messages, and its text."""


def whole(number: str | None) -> int | None:
    return None if number is None else int(number)


def colour_of(written: str | None) -> Colour | None:
    """A colour from "R G B", "R,G,B" or "#rrggbb"."""
    if not written:
        return None
    numbers = re.findall(r"\d+", written)
    if len(numbers) != 3:
        numbers = bytes.fromhex(written.removeprefix("#"))
    red, green, blue = map(int, numbers)
    return red, green, blue


def listed(lines: list[Line]) -> list[ClassEntry]:
    """The entries of a file without a heading."""
    lines = _without_title(list(_cleaned(lines)))
    matches = _matches(_COLOUR_FIRST, lines)
    if len({match["id"] is None for match in matches}) == 1:
        return counted(
            ClassEntry(
                match["name"], whole(match["id"]), colour_of(match["rgb"]), where
            )
            for (where, _), match in zip(lines, matches, strict=True)
        )
    entries = [_entry(where, line, with_id=True) for where, line in lines]
    bare = [entry for entry in entries if entry.id is None and not entry.is_void]
    if not bare:
        _refuse_four_numbers(entries)
        return entries
    numbered = [entry for entry in entries if entry.id is not None]
    if len([e for e in numbered if not e.is_void]) > 1 or entries[0].id == 0:
        raise UserError(
            f"{bare[0].where}: has no id, but other lines have one: give each class "
            "its id, or none"
        )
    # The number belongs to the name: "2 wheeler".
    entries = [
        entry if entry.is_void else _entry(where, line, with_id=False)
        for entry, (where, line) in zip(entries, lines, strict=True)
    ]
    _refuse_four_numbers(entries)
    return _numbered_behind(entries) or counted(entries)


def _without_title(lines: list[Line]) -> list[Line]:
    """The lines without a heading whose columns spaces separate.

    Raises:
        UserError: if the first line may be a title, a heading or the beginning of
            another format.
    """
    if not lines:
        return lines
    where, first = lines[0]
    words = re.split(r"[ ,;]+", first.lower().strip(" :"))
    headings = [word in _HEADINGS for word in words]
    if all(headings) and len(words) > 1:
        return lines[1:]
    several = len(re.split("[,;]", first)) > 1
    count = first.isdecimal() and not all(line.isdecimal() for _, line in lines)
    if (
        "_".join(words) in _HEADINGS
        or (headings[0] and several)
        or (count and int(first) == len(lines) - 1)
        or first.endswith((":", "="))
        or first[0] in "{[<"
    ):
        raise UserError(
            f"{where}: a heading, or a class? Delete the line, or give each class its "
            "id, as in '0 name'"
        )
    return lines


def _refuse_four_numbers(entries: list[ClassEntry]) -> None:
    """Red, green, blue and alpha would be read as a number and a colour."""
    four = [e for e in entries if e.colour and re.search(r"[ ,;:]\d{1,3}$", e.name)]
    alphas = {entry.colour[2] for entry in four if entry.colour}
    if four and (four[0].id is not None or len(four) > len(alphas) == 1):
        raise UserError(f"{four[0].where}: four numbers: write R G B alone")


def _matches(pattern: re.Pattern, lines: Iterable[Line]) -> list[re.Match]:
    """The match of each line; none at all if one line does not match."""
    found = [pattern.fullmatch(line) for _, line in lines]
    matches = [match for match in found if match]
    return matches if len(matches) == len(found) else []


def _cleaned(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines without comments, quotes, bullets and brackets around numbers."""
    lines = list(lines)
    bullets = all(line.startswith(("- ", "* ")) for _, line in lines)
    for where, line in lines:
        if _KEY.fullmatch(line):
            raise UserError(f"{where}: write names alone, or ids and names, no keys")
        if re.search(r"(^|\s)#[0-9a-fA-F]{3}(\s|$)", line):
            raise UserError(
                f"{where}: a colour has six digits, and a comment a space behind its #"
            )
        content = _COMMENT.sub("", line[2:] if bullets else line).replace('"', "")
        content = re.sub(r"^#([0-9a-fA-F]{6})\b", _as_numbers, content.strip())
        content = re.sub(rf"(?:rgb)?[(\[]\s*({NUMBERS})\s*[)\]]", r" \1 ", content)
        content = re.sub(r"^[(\[](-?\d+)[)\]]|[(\[](\d+)[)\]]$", r" \1\2 ", content)
        content = " ".join(content.replace("|", ",").split())
        if content:
            yield where, content


def _as_numbers(match: re.Match) -> str:
    return " ".join(map(str, bytes.fromhex(match[1])))


def _entry(where: str, line: str, with_id: bool) -> ClassEntry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise UserError(f"{where}: no class name")
    start = match.start("name" if with_id else 0)
    name = line[start : match.end("name")].strip("\"'")
    if _COLOUR_FIRST.match(name):
        raise UserError(f"{where}: a colour stands before or behind all names")
    colour = colour_of(match["rgb"] or match["hex"])
    return ClassEntry(name, whole(match["id"]) if with_id else None, colour, where)


def _numbered_behind(entries: list[ClassEntry]) -> list[ClassEntry] | None:
    """The entries with the ids behind their names, or None if these are no ids.

    In "lane 1", "lane 2" the number belongs to the name.
    """
    matches = [_ID_BEHIND.fullmatch(entry.name) for entry in entries]
    numbered = [
        match
        for entry, match in zip(entries, matches, strict=True)
        if match and not replace(entry, name=match["name"]).is_void
    ]
    if len({match["name"] for match in numbered}) < max(2, len(numbered)):
        return None
    found = []
    for entry, match in zip(entries, matches, strict=True):
        if match is None and not entry.is_void:
            raise UserError(
                f"{entry.where}: has no number behind it, but other names have one: "
                "write ids before all names, as in '0 name'"
            )
        found.append(
            entry
            if match is None
            else replace(entry, name=match["name"], id=int(match["id"]))
        )
    return found


def counted(entries: Iterable[ClassEntry]) -> list[ClassEntry]:
    """The entries without an id with their places as ids.

    labelme's `__ignore__` before the first class has none, so that ids count from it.
    """
    entries = list(entries)
    place = -1 if entries and entries[0].name == "__ignore__" else 0
    counted = []
    for entry in entries:
        if entry.id is None:
            entry, place = replace(entry, id=place if place >= 0 else None), place + 1
        counted.append(entry)
    return counted
