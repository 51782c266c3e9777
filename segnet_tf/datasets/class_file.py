"""Reads class lists, such as classes.txt: one class per line, in one of many forms.

    name                  ids count from 0 in the order of the lines
    name R G B            or name #rrggbb; also R G B name
    id name               or id: name, id - name; with or without a colour behind
    name id               if the names differ without these numbers

or a table with a heading, such as `name,r,g,b`, `Pixel Value, Class` or CVAT's
`label:color_rgb:parts:actions`, whose columns may stand in any order. Spaces, tabs,
commas, semicolons, colons, equals signs, arrows and bars separate; brackets around
numbers, and quotes, do not count. A # begins a comment.

A list is read only if no line may mean something else. A heading is one only if all
lines below it have its columns; `segnet_tf.datasets.class_doubts` refuses what may be a
title, a comment or an id.

A line whose name is in `VOID_NAMES` is void. It keeps its place among the ids and its
colour, and pixels of either are neither learned nor scored.
"""

import csv
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from segnet_tf.datasets.class_doubts import COLUMN_OF, COLUMNS, Line
from segnet_tf.datasets.class_lines import (
    counted,
    entry_of,
    has_all,
    listed,
    without_comment,
)
from segnet_tf.datasets.class_list import ClassEntry, ClassList
from segnet_tf.datasets.dataset import IGNORE_LABEL, LONGEST_NAME, is_name
from segnet_tf.errors import UserError

__all__ = ["check_entries", "parsed_classes", "read_classes"]

_LONGEST_LINE = 1000
"""In characters. It also bounds the time that a pattern takes."""


def read_classes(path: Path) -> ClassList:
    """Reads a class list in any of the forms above.

    Raises:
        UserError: if the file is missing, or if a line is wrong or may mean two things;
            the message names the line.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file: write the class names into it, one per line, in "
            "the order of their ids"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
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
            lines.append((where, line.rstrip()))
    entries = _table(lines)
    if entries is None:
        entries = listed(lines)
    entries = [_without_id_below_zero(entry) for entry in entries]
    check_entries(entries)
    found = ClassList.of(entries)
    classes = found.classes
    if not 1 <= len(classes) <= IGNORE_LABEL:
        raise UserError(f"{name}: {len(classes)} classes, expected 1 to {IGNORE_LABEL}")
    bare = [entry for entry in classes if entry.colour is None]
    if 0 < len(bare) < len(classes):
        raise UserError(
            f"{bare[0].where}: {bare[0].name!r} has no colour, but others have one: "
            "give all classes a colour, or none"
        )
    if bare:
        found = replace(found, void=tuple(_as_ids(found.void, found.ids)))
    return found


def _as_ids(void: Iterable[ClassEntry], taken: Collection[int]) -> Iterator[ClassEntry]:
    """The entries of void in a list without colours: greys are ids in its masks.

    White is void there in any case.

    Raises:
        UserError: if a grey may be another id.
    """
    for entry in void:
        greys = set(entry.colour or (0, 1))
        if len(greys) == 1:
            if not greys <= {IGNORE_LABEL, entry.id} or not greys.isdisjoint(taken):
                raise UserError(
                    f"{entry.where}: a grey, but the classes have no colours: give all "
                    f"one, or write the id of void alone, as in '255 {entry.name}'"
                )
            entry = replace(entry, colour=None)
        yield entry


def _without_id_below_zero(entry: ClassEntry) -> ClassEntry:
    """Some programs give void the id -1, which no mask can hold."""
    below = entry.is_void and entry.id is not None and entry.id < 0
    return replace(entry, id=None) if below else entry


def check_entries(entries: Iterable[ClassEntry]) -> None:
    """Raises UserError for a name, an id or a colour that is wrong or there twice."""
    seen: dict = {}
    for entry in entries:
        if not is_name(entry.name):
            raise UserError(
                f"{entry.where}: the name must have 1 to {LONGEST_NAME} characters "
                "that can be printed"
            )
        if max(entry.colour or (0,)) > 255:
            raise UserError(f"{entry.where}: a colour is at most 255 255 255")
        if entry.id is not None and not 0 <= entry.id <= 255:
            raise UserError(f"{entry.where}: id {entry.id}, must be 0 to 255")
        # Several lines of void may share what they have.
        kinds = [("name", entry.name.lower()), ("id", entry.id)]
        kinds += [] if entry.is_void else [("colour", entry.colour)]
        for what, value in kinds:
            if value is not None and seen.setdefault((what, value), entry) is not entry:
                file, line, text = seen[what, value].where.partition(": line ")
                other = f"line {text}" if line else file.split(": ")[-1]
                raise UserError(f"{entry.where}: same {what} as in {other}")
    colours = {entry.colour for entry in entries if not entry.is_void} - {None}
    for entry in entries:
        if entry.is_void and entry.colour in colours:
            raise UserError(f"{entry.where}: has the colour of a class")


def _table(lines: list[Line]) -> list[ClassEntry] | None:
    """The entries below a heading of column names, or None if there is no heading."""
    lines = [(where, line.strip()) for where, line in lines]
    first = next(
        (
            place
            for place, (_, line) in enumerate(lines)
            if _columns(line) or not line.startswith(("#", "sep="))
        ),
        len(lines),
    )
    found = _columns(lines[first][1]) if first < len(lines) else None
    if found is None:
        return None
    (where, _), (delimiter, columns) = lines[first], found
    for column in COLUMNS:
        if columns.count(column) > 1:
            raise UserError(f"{where}: two columns of the {column}: delete one")
    entries = []
    for where, line in lines[first + 1 :]:
        if line.startswith("#") and not without_comment(where, line):
            continue
        cells = _cells(line, delimiter)
        if len(cells) != len(columns):
            raise UserError(
                f"{where}: {len(cells)} columns, but the heading has {len(columns)}"
            )
        entries.append(entry_of(where, dict(zip(columns, cells, strict=True))))
    return entries if "id" in columns else counted(entries)


def _columns(heading: str) -> tuple[str, list[str | None]] | None:
    """The delimiter and the meaning of each column, or None if it is no heading."""
    for delimiter in "\t,;|:":
        # CVAT writes its heading as a comment.
        words = _cells(heading.lstrip("# "), delimiter)
        columns: list[str | None] = [
            COLUMN_OF.get("_".join(word.lower().split())) for word in words
        ]
        if columns.count(None) == 1 and has_all({*columns, "name"}):
            # A name for names in another language.
            columns[columns.index(None)] = "name"
        if has_all(columns):
            return delimiter, columns
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    return [" ".join(cell.split()) for cell in cells]
