"""Reads class lists, such as classes.txt: one class per line, in one of many forms.

    name                  ids count from 0 in the order of the lines
    name R G B            or name #rrggbb; also R G B name
    id name               or id: name, id - name; with or without a colour behind
    name id               if the names differ without these numbers

or a table with a heading, such as `name,r,g,b`, `Pixel Value, Class` or CVAT's
`label:color_rgb:parts:actions`, whose columns may stand in any order. Spaces, tabs,
commas, semicolons and colons separate. A # begins a comment.

A line whose name is in `VOID_NAMES` is void. It keeps its place among the ids and its
colour, and pixels of either are neither learned nor scored.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from segnet_tf.datasets.class_list import VOID_NAMES, ClassEntry, ClassList, Colour
from segnet_tf.datasets.dataset import IGNORE_LABEL
from segnet_tf.errors import UserError

__all__ = ["parsed_classes", "read_classes"]

_LONGEST_LINE = 1000
"""In characters. It also bounds the time that a pattern takes."""

_LONGEST_NAME = 100

_COMMENT = re.compile(r"(^|\s)#(?![0-9a-fA-F]{6}(\s|$)).*")
_RGB = r"\d{1,3}[ ,;]+\d{1,3}[ ,;]+\d{1,3}"
_LINE = re.compile(
    r"(?:(?P<id>\d{1,9})(?: ?[:.)=,;] ?| (?:- )?)(?=\D))?(?P<name>.+?)"
    rf"(?:[ ,;:]+(?:(?P<rgb>{_RGB})|#(?P<hex>[0-9a-fA-F]{{6}})))?[ ,;]*"
)
_COLOUR_FIRST = re.compile(
    rf"(?:(?P<id>\d{{1,9}})[ ,;:]+)?(?P<rgb>{_RGB})[ ,;:]+(?P<name>\D.*)"
)
_NUMBER_BEHIND = re.compile(r"(?P<name>.*[^\d ,;:=])[ ,;:=]+(?P<id>\d{1,9})")

_COLUMNS = {
    "name": "name class label category class_name label_name",
    "id": "id index idx value pixel pixel_value class_id label_id",
    "red": "r red",
    "green": "g green",
    "blue": "b blue",
    "colour": "rgb hex color colour color_rgb",
}
_COLUMN_OF = {word: key for key, words in _COLUMNS.items() for word in words.split()}
_HEADINGS = {*_COLUMN_OF, "names", "classes", "labels", "categories"}

Line = tuple[str, str]
"""Where a line stands, for messages, and its text."""


def read_classes(path: Path) -> ClassList:
    """Reads a class list in any of the forms above.

    Raises:
        UserError: if the file is missing, or if a line is wrong or may mean two things;
            the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file: write the class names into it, one per line, in "
            "the order of their ids"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not readable: save it as UTF-8 text ({error})"
        ) from None
    return parsed_classes(text, str(path))


def parsed_classes(text: str, name: str) -> ClassList:
    """The classes in a text, of which messages say the name. Raises as above."""
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name}: line {number}, {line.strip()[:60]!r}"
        if len(line) > _LONGEST_LINE:
            raise UserError(f"{where}...: longer than {_LONGEST_LINE} characters")
        if line.strip():
            lines.append((where, line.strip()))
    entries = _table(lines)
    if entries is None:
        entries = _list(lines)
    _check(entries)
    classes = tuple(entry for entry in entries if not _is_void(entry))
    if not 1 <= len(classes) <= IGNORE_LABEL:
        raise UserError(f"{name}: {len(classes)} classes, expected 1 to {IGNORE_LABEL}")
    bare = [entry for entry in classes if entry.colour is None]
    if 0 < len(bare) < len(classes):
        raise UserError(
            f"{bare[0].where}: {bare[0].name!r} has no colour, but others have one: "
            "give all classes a colour, or none"
        )
    return ClassList(classes, tuple(entry for entry in entries if _is_void(entry)))


def _is_void(entry: ClassEntry) -> bool:
    return entry.name.lower() in VOID_NAMES


def _check(entries: Iterable[ClassEntry]) -> None:
    seen: dict = {}
    for entry in entries:
        if not entry.name.isprintable() or not 1 <= len(entry.name) <= _LONGEST_NAME:
            raise UserError(
                f"{entry.where}: the name must have 1 to {_LONGEST_NAME} characters "
                "that can be printed"
            )
        if max(entry.colour or (0,)) > 255:
            raise UserError(f"{entry.where}: a colour is at most 255 255 255")
        if entry.id is not None and entry.id > 255:
            raise UserError(f"{entry.where}: id {entry.id}, must be 0 to 255")
        for what, value in (
            ("name", entry.name.lower()),
            ("id", entry.id),
            ("colour", entry.colour),
        ):
            if value is not None and seen.setdefault((what, value), entry) != entry:
                other = seen[what, value].where.split(": ")[-1]
                raise UserError(f"{entry.where}: same {what} as in {other}")


def _table(lines: list[Line]) -> list[ClassEntry] | None:
    """The entries below a heading of column names, or None if there is no heading."""
    if not lines:
        return None
    where, heading = lines[0]
    for delimiter in "\t,;:":
        # CVAT writes its heading as a comment.
        words = _cells(heading.lstrip("# "), delimiter)
        columns = [_COLUMN_OF.get("_".join(word.lower().split())) for word in words]
        if "name" in columns and sum(map(bool, columns)) > 1:
            break
    else:
        return None
    for column in _COLUMNS:
        if columns.count(column) > 1:
            raise UserError(f"{where}: two columns of the {column}: delete one")
    entries = []
    for where, line in lines[1:]:
        if line.startswith("#"):
            continue
        cells = _cells(line, delimiter)
        if len(cells) != len(columns):
            raise UserError(
                f"{where}: {len(cells)} columns, but the heading has {len(columns)}"
            )
        entries.append(_row(where, dict(zip(columns, cells, strict=True))))
    return entries if "id" in columns else _counted(entries)


def _cells(line: str, delimiter: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    return [" ".join(cell.split()) for cell in cells]


def _row(where: str, row: dict[str | None, str]) -> ClassEntry:
    number = row.get("id")
    if not (number is None or re.fullmatch(r"[0-9]{1,9}", number)):
        raise UserError(f"{where}: id {number!r}, must be a whole number")
    parts = [row[key] for key in ("colour", "red", "green", "blue") if row.get(key)]
    written = " ".join(parts)
    if written and not re.fullmatch(rf"{_RGB}|#?[0-9a-fA-F]{{6}}", written):
        raise UserError(f"{where}: colour {written!r}, must be R G B or #rrggbb")
    return ClassEntry(row["name"], _whole(number), _colour(written), where)


def _whole(number: str | None) -> int | None:
    return None if number is None else int(number)


def _colour(written: str | None) -> Colour | None:
    """A colour from "R G B", "R,G,B" or "#rrggbb"."""
    if not written:
        return None
    numbers = re.findall(r"\d+", written)
    if len(numbers) != 3:
        numbers = bytes.fromhex(written.removeprefix("#"))
    red, green, blue = map(int, numbers)
    return red, green, blue


def _list(lines: list[Line]) -> list[ClassEntry]:
    """The entries of a file without a heading."""
    lines = list(_without_comments(lines))
    if lines and "_".join(lines[0][1].lower().rstrip(":").split()) in _HEADINGS:
        raise UserError(
            f"{lines[0][0]}: a heading, or a class? Delete the line, or give each "
            "class its id, as in '0 name'"
        )
    matches = _matches(_COLOUR_FIRST, lines)
    if len({match["id"] is None for match in matches}) == 1:
        return _counted(
            ClassEntry(match["name"], _whole(match["id"]), _colour(match["rgb"]), where)
            for (where, _), match in zip(lines, matches, strict=True)
        )
    entries = [_entry(where, line, with_id=True) for where, line in lines]
    bare = [entry for entry in entries if entry.id is None and not _is_void(entry)]
    if not bare:
        return entries
    in_place = sum(entry.id == place for place, entry in enumerate(entries))
    if in_place > 1 or entries[0].id == 0:
        raise UserError(
            f"{bare[0].where}: has no id, but other lines have one: give each class "
            "its id, or none"
        )
    # The number belongs to the name: "2 wheeler".
    entries = [
        entry if _is_void(entry) else _entry(where, line, with_id=False)
        for entry, (where, line) in zip(entries, lines, strict=True)
    ]
    return _numbered_behind(entries) or _counted(entries)


def _matches(pattern: re.Pattern, lines: Iterable[Line]) -> list[re.Match]:
    """The match of each line; none at all if one line does not match."""
    found = [pattern.fullmatch(line) for _, line in lines]
    matches = [match for match in found if match]
    return matches if len(matches) == len(found) else []


def _without_comments(lines: Iterable[Line]) -> Iterator[Line]:
    for where, line in lines:
        content = " ".join(_COMMENT.sub("", line).split())
        if content:
            yield where, content


def _entry(where: str, line: str, with_id: bool) -> ClassEntry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise UserError(f"{where}: no class name")
    start = match.start("name" if with_id else 0)
    name = line[start : match.end("name")].strip("\"'")
    if _COLOUR_FIRST.match(name):
        raise UserError(f"{where}: a colour stands before or behind all names")
    colour = _colour(match["rgb"] or match["hex"])
    return ClassEntry(name, _whole(match["id"]) if with_id else None, colour, where)


def _numbered_behind(entries: list[ClassEntry]) -> list[ClassEntry] | None:
    """The entries with the ids behind their names, or None if these are no ids.

    In "lane 1", "lane 2" the number belongs to the name.
    """
    matches = _matches(_NUMBER_BEHIND, ((entry.where, entry.name) for entry in entries))
    if len({match["name"] for match in matches}) < max(2, len(entries)):
        return None
    return [
        replace(entry, name=match["name"], id=int(match["id"]))
        for entry, match in zip(entries, matches, strict=True)
    ]


def _counted(entries: Iterable[ClassEntry]) -> list[ClassEntry]:
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
