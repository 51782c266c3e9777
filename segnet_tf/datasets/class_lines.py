"""The lines of a class list without a heading; `segnet_tf.datasets.class_file` has the
forms."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from segnet_tf.datasets.class_doubts import (
    COLUMN_OF,
    Line,
    refuse_frames,
    refuse_groups,
    refuse_marks,
    refuse_numbers,
    refuse_titles,
)
from segnet_tf.datasets.class_list import ClassEntry, Colour
from segnet_tf.errors import UserError

__all__ = ["counted", "entry_of", "has_all", "listed", "without_comment"]

_WHOLE = r"-?\d{1,9}"
_NUMBERS = r"\d{1,3}[ ,;:]+\d{1,3}[ ,;:]+\d{1,3}"
_HEX = r"#[0-9a-fA-F]{6}"
_COLOUR = rf"{_NUMBERS}|#?[0-9a-fA-F]{{6}}"
_HASH = re.compile(r"(?:^|\s)#(\w*)")
_ID = rf"(?P<id>{_WHOLE})"
_BEFORE = r"(?: - |[ ,;:=]+)"
_LINE = re.compile(
    rf"(?:{_ID}(?: ?[:.)=,;-] ?| (?:- )?)(?=[^\d]))?(?P<name>.+?)(?<![ ,;:=])"
    rf"(?:{_BEFORE}(?:(?P<rgb>{_NUMBERS})|#(?P<hex>[0-9a-fA-F]{{6}})))?[ ,;:]*"
)
_COLOUR_FIRST = re.compile(
    rf"(?:{_ID}[ ,;:]+)?(?P<rgb>{_NUMBERS}){_BEFORE}(?P<name>\D.*)"
)
_ID_BEHIND = re.compile(rf"(?P<name>.*[^\d ,;:=-]){_BEFORE}{_ID}")
_FOUR = re.compile(rf"\d[ ,;:=]+{_NUMBERS}[ ,;:]*$")
_WORD = r"(ids?|idx|index|names?|class(es)?|labels?|colou?rs?|value|nc|total|count)"
_KEY = re.compile(
    rf"(?i)\W*{_WORD}['\"]?\s*[:=]\s*\S.*|.*\W((id|idx|index)\W|n[or]\.)\W*\d+"
)


def _whole(number: str | None) -> int | None:
    return None if number is None else int(number)


def _colour_of(written: str | None) -> Colour | None:
    """A colour from "R G B", "R,G,B" or "#rrggbb"."""
    if not written:
        return None
    numbers = re.findall(r"\d+", written)
    if len(numbers) != 3:
        numbers = bytes.fromhex(written.removeprefix("#"))
    red, green, blue = map(int, numbers)
    return red, green, blue


def listed(lines: list[Line]) -> list[ClassEntry]:
    """The entries of a file without a heading, or with one that spaces separate.

    Raises:
        UserError: if a line is wrong, or if it is not certain what it means.
    """
    refuse_groups(lines)
    entries = _below_heading(lines)
    lines = list(_cleaned(lines))
    if entries is None:
        refuse_frames(lines)
        entries = _by_form(lines)
        refuse_marks(entries)
        refuse_titles(entries)
        refuse_numbers(entries, [entry.id for entry in counted(entries)])
    if any(entry.id is not None and not entry.is_void for entry in entries):
        return entries
    return counted(entries)


def _below_heading(lines: list[Line]) -> list[ClassEntry] | None:
    """The entries below a heading such as "id name", or None if not all lines fit it.

    "no label" above "leaf" is a class, or a title, but no heading.
    """
    # A comment may be the heading, or stand above it.
    comment = [line.lstrip().startswith("#") for _, line in lines]
    tried = ((place, _columns(line)) for place, (_, line) in enumerate(lines))
    found = next((pair for pair in tried if pair[1] or not comment[pair[0]]), (0, []))
    first, columns = found
    if not columns:
        return None
    rest = list(_cleaned(lines[first + 1 :]))
    forms = {"name": ".+", "id": _WHOLE, "colour": _COLOUR}
    parts = [f"(?P<{key}>{forms.get(key, '[0-9]{1,3}')})" for key in columns]
    matches = _matches(re.compile(_BEFORE.join(parts)), rest)
    return [
        entry_of(where, match.groupdict())
        for (where, _), match in zip(rest, matches, strict=False)
    ] or None


def _columns(line: str) -> list[str]:
    """The columns that a heading names, all of them known, or none."""
    words = re.split(r"[\s,;]+", line.lower().strip(" #:\t"))
    columns = [COLUMN_OF.get(word, "") for word in words]
    known = "" not in columns and len(set(columns)) == len(columns)
    return columns if known and has_all(columns) else []


def has_all(columns: Iterable[str | None]) -> bool:
    """Whether columns hold names, and ids or colours."""
    known = set(columns)
    return "name" in known and (
        bool(known & {"id", "colour"}) or known >= {"red", "green", "blue"}
    )


def entry_of(where: str, row: Mapping) -> ClassEntry:
    """The entry of a row of a table: column -> its text.

    Raises:
        UserError: if an id or a colour is none.
    """
    number = row.get("id")
    if not (number is None or re.fullmatch(_WHOLE, number)):
        raise UserError(f"{where}: id {number!r}, must be a whole number")
    parts = [row[key] for key in ("colour", "red", "green", "blue") if row.get(key)]
    written = " ".join(parts)
    if written and not re.fullmatch(_COLOUR, written):
        raise UserError(f"{where}: colour {written!r}, must be R G B or #rrggbb")
    return ClassEntry(row["name"], _whole(number), _colour_of(written), where)


def _by_form(lines: list[Line]) -> list[ClassEntry]:
    """The entries by the form that all lines have; without an id if they have none."""
    matches = _matches(_COLOUR_FIRST, lines)
    if len({match["id"] is None for match in matches}) == 1:
        entries = [
            ClassEntry(
                match["name"], _whole(match["id"]), _colour_of(match["rgb"]), where
            )
            for (where, _), match in zip(lines, matches, strict=True)
        ]
        if entries[0].id is not None:
            _refuse_four_numbers(lines, entries)
        return entries
    entries = [_entry(where, line, with_id=True) for where, line in lines]
    bare = [entry for entry in entries if entry.id is None and not entry.is_void]
    if bare:
        numbered = [entry for entry in entries if entry.id is not None]
        if len([e for e in numbered if not e.is_void]) > 1 or entries[0].id == 0:
            raise UserError(
                f"{bare[0].where}: has no id, but other lines have one: give each "
                "class its id, or none"
            )
        # The number belongs to the name: "2 wheeler".
        entries = [
            entry if entry.is_void else _entry(where, line, with_id=False)
            for entry, (where, line) in zip(entries, lines, strict=True)
        ]
    _refuse_four_numbers(lines, entries)
    return _with_ids_behind(entries) if bare else entries


def _refuse_four_numbers(lines: list[Line], entries: list[ClassEntry]) -> None:
    """Red, green, blue and alpha, or an id, would be read as a number and a colour."""
    colours = [entry.colour for entry in entries if entry.colour]
    behind = [where for where, line in lines if _FOUR.search(line)]
    before = [where for where, line in lines if _COLOUR_FIRST.match(line)]
    alpha = len(before) > 1 == len({colour[2] for colour in colours})
    if behind and (entries[0].id is not None or len(behind) == len(colours)):
        before, alpha = behind, True
    if alpha:
        raise UserError(f"{before[0]}: four numbers: write R G B alone, or #rrggbb")


def _matches(pattern: re.Pattern, lines: Iterable[Line]) -> list[re.Match]:
    """The match of each line; none at all if one line does not match."""
    found = [pattern.fullmatch(line) for _, line in lines]
    matches = [match for match in found if match]
    return matches if len(matches) == len(found) else []


def _cleaned(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines without comments, quotes, bullets and brackets around numbers."""
    lines = [(where, line.strip()) for where, line in lines]
    bullets = all(line.startswith(("- ", "* ")) for _, line in lines)
    for where, line in lines:
        if _KEY.fullmatch(line):
            raise UserError(f"{where}: write names alone, or ids and names, no keys")
        content = without_comment(where, line[2:] if bullets else line)
        content = re.sub(r"(?<!\w)'([^']*)'(?!\w)", r"\1", content.replace('"', ""))
        content = content.strip()
        content = re.sub(r"^#([0-9a-fA-F]{6})\b", _as_numbers, content)
        content = re.sub(
            rf"(?:rgb)?[(\[]\s*({_NUMBERS}|{_HEX})\s*[)\]]", r" \1 ", content
        )
        content = re.sub(r"^[(\[](-?\d+)[)\]]|[(\[](\d+)[)\]]$", r" \1\2 ", content)
        content = " ".join(content.replace("|", ",").split())
        # An arrow beside a number is an equals sign.
        content = re.sub(r"(?<=\d) ?[-=]+> ?| ?[-=]+> ?(?=\d)", "=", content)
        if content:
            yield where, content


def without_comment(where: str, line: str) -> str:
    """A line without what follows a #, unless this begins a colour.

    Raises:
        UserError: if it is neither.
    """
    for match in _HASH.finditer(line):
        word = match[1]
        if re.fullmatch("[0-9a-fA-F]{6}", word):
            continue
        if re.fullmatch(r"[0-9a-fA-F]{3,4}|[0-9a-fA-F]{8}|\d.*", word):
            raise UserError(
                f"{where}: a colour has six digits, and a comment a space behind its #"
            )
        return line[: match.start()]
    return line


def _as_numbers(match: re.Match) -> str:
    return " ".join(map(str, bytes.fromhex(match[1])))


def _entry(where: str, line: str, with_id: bool) -> ClassEntry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise UserError(f"{where}: no class name")
    start = match.start("name" if with_id else 0)
    name = line[start : match.end("name")]
    if _COLOUR_FIRST.match(name):
        raise UserError(f"{where}: a colour stands before or behind all names")
    colour = _colour_of(match["rgb"] or match["hex"])
    return ClassEntry(name, _whole(match["id"]) if with_id else None, colour, where)


def _with_ids_behind(entries: list[ClassEntry]) -> list[ClassEntry]:
    """The entries with the ids behind their names, if these are ids.

    In "lane 1", "lane 2" the number belongs to the name. In "void 255" it never does.
    """
    matches = [_ID_BEHIND.fullmatch(entry.name) for entry in entries]
    found = [
        replace(entry, name=match["name"], id=int(match["id"])) if match else entry
        for entry, match in zip(entries, matches, strict=True)
    ]
    numbered = [
        entry
        for entry, match in zip(found, matches, strict=True)
        if match and not entry.is_void
    ]
    if len({entry.name for entry in numbered}) < max(2, len(numbered)):
        return [
            own if own.is_void else entry
            for own, entry in zip(found, entries, strict=True)
        ]
    for entry in found:
        if entry.id is None and not entry.is_void:
            raise UserError(
                f"{entry.where}: has no number behind it, but other names have one: "
                "write ids before all names, as in '0 name'"
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
