"""What makes a class list without a heading doubtful: a line that may be a title or a
comment instead of a class, and a number that may be an id instead of part of a name.

A wrong guess would move ids without a word, so that each doubt raises a `UserError`.
"""

import re
import unicodedata

from segnet_tf.datasets.class_list import ClassEntry
from segnet_tf.errors import UserError

__all__ = [
    "COLUMNS",
    "COLUMN_OF",
    "Line",
    "refuse_frames",
    "refuse_groups",
    "refuse_marks",
    "refuse_numbers",
    "refuse_titles",
]

Line = tuple[str, str]
"""Where a line stands, for messages, and its text."""

COLUMNS = {
    "name": "name class label category class_name label_name",
    "id": "id index idx no nr number value pixel pixel_value class_id label_id",
    "red": "r red",
    "green": "g green",
    "blue": "b blue",
    "colour": "rgb hex color colour color_rgb",
}
COLUMN_OF = {word: key for key, words in COLUMNS.items() for word in words.split()}
"""Word of a heading -> what its column holds."""

_TABLE = "or write a table with the heading id,name"
_HEADING = "a heading, or a class? Delete the line, or give each class its id"
_MARK = re.compile(r"[^\w].*|.*([=<>]|//|--|/\*|#[0-9a-fA-F]{3}).*|.*[-:,;(]")
_NUMBER = re.compile(r"(?<!\w)(0[xX][0-9a-fA-F]+|\d+(\.\d+)?)(?!\w)")


def _plain(text: str) -> str:
    """In lower case, without accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in letters if not unicodedata.combining(each))


# Words of titles, as people write them above names.
_TITLES = frozenset(
    _plain(
        "name names class classes label labels category categories legend total count "
        "classname classnames labelname labelmap taxonomy ontology dataset "
        "klasse klassen namen bezeichnung kategorie kategorien legende naam categorie "
        "classe nom noms catégorie catégories étiquette étiquettes légende "
        "clase clases nombre nombres categoría categorías etiqueta etiquetas leyenda "
        "nome nomes rótulo rótulos classi nomi etichetta etichette legenda "
        "klass klasser namn navn klasa klasy nazwa nazwy sınıf sınıflar etiket "
        "класс классы название названия имя имена метка метки категория легенда "
        "类 类别 类名 名称 标签 分类 图例 類別 名稱 標籤 クラス クラス名 ラベル 名前 "
        "클래스 라벨 이름"
    ).split()
)

_COLOURS = frozenset("r red g green b blue".split())


def refuse_groups(lines: list[Line]) -> None:
    """Raises UserError if names are indented, so that others may be their headings.

    One space is a slip, and right-aligned numbers stand in several columns.
    """
    indents = [
        (where, len(match[1].replace("\t", "  ")))
        for where, line in lines
        if (match := re.match(r"(\s*)[^\s\d#]", line))
    ]
    for where, indent in indents:
        if indent > min(indent for _, indent in indents) + 1:
            raise UserError(
                f"{where}: indented, so that lines above may be headings: write "
                "classes alone, without indentation"
            )


def refuse_frames(lines: list[Line]) -> None:
    """Raises UserError for lines of other formats, or of other kinds than the rest."""
    alone = [line.isdecimal() for _, line in lines]
    open_ended = [line.endswith((":", "=")) for _, line in lines]
    opens = [place == 0 and line[0] in "{[<" for place, (_, line) in enumerate(lines)]
    for kind, odd in (
        (alone, not all(alone)),
        (open_ended, not all(open_ended)),
        (opens, True),
    ):
        if odd and any(kind):
            where, _ = lines[kind.index(True)]
            raise UserError(f"{where}: {_HEADING}, as in '0 name'")
    if len(lines) == 1 and re.fullmatch(r"[^\d,;]+([,;][^\d,;]+)+", lines[0][1]):
        raise UserError(f"{lines[0][0]}: several classes? Write one per line")


def refuse_titles(entries: list[ClassEntry]) -> None:
    """Raises UserError if the first entry may be a title.

    It may be if all its words are those of titles, as in "class name" but not in
    "Class 1". One such word suffices if no other line has it, as in "Classes of 2024",
    unless an id shows that the line is a class.
    """
    if not entries:
        return
    name, bare = entries[0].name, entries[0].id is None
    first, *others = [_words(entry.name) for entry in entries]
    # A column is not called red alone.
    columns = COLUMN_OF.keys() - (_COLOURS if len(first) == 1 else ())
    headings = _TITLES | columns if bare else _TITLES
    whole = bool(first) and first <= headings and not re.search(r"\d", name)
    if whole or (bare and (first & _TITLES).difference(*others)):
        raise UserError(f"{entries[0].where}: {_HEADING}, as in '0 name'")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", _plain(text)))


def refuse_marks(entries: list[ClassEntry]) -> None:
    """Raises UserError for names with signs of comments, of code or of a separator."""
    for entry in entries:
        if _MARK.fullmatch(entry.name):
            raise UserError(
                f"{entry.where}: a comment, or a class? Begin comments with '# ' and "
                f"names with a letter, {_TABLE}"
            )


def refuse_numbers(entries: list[ClassEntry], places: list[int | None]) -> None:
    """Raises UserError if numbers in names may be ids.

    Args:
        entries: as the lines have them.
        places: the ids that entries without one will have.
    """
    count = sum(entry.id is None for entry in entries)
    own = [
        (entry, place)
        for entry, place in zip(entries, places, strict=True)
        if not entry.is_void
    ]
    if _tells_nothing_apart(own) or _contradicts_places(own, count):
        where = next(entry.where for entry, _ in own if re.search(r"\d", entry.name))
        raise UserError(
            f"{where}: is the number an id, or part of the name? Write ids before all "
            f"names, as in '0 name', {_TABLE}"
        )


def _tells_nothing_apart(own: list[tuple[ClassEntry, int | None]]) -> bool:
    """Whether all names, or all but one, have numbers and would differ without them."""
    names = [entry.name for entry, _ in own if _NUMBER.search(entry.name)]
    without = {" ".join(re.findall(r"\w+", _NUMBER.sub("", name))) for name in names}
    return len(own) - 1 <= len(names) and len(without) > 1


def _contradicts_places(own: list[tuple[ClassEntry, int | None]], count: int) -> bool:
    """Whether numbers in names would be other ids than the places in the list.

    Numbers above all places cannot be meant as ids, or the masks will show it: "lane
    1", "lane 2" leave no id 2.
    """
    bare = [(entry.name, place) for entry, place in own if entry.id is None]
    numbered = [pair for pair in bare if re.search(r"\d", pair[0])]
    if not numbered or len(numbered) < len(bare) - 1:
        return False
    names, places = (list(each) for each in zip(*numbered, strict=True))
    alone = all(name.isdecimal() for name in names)
    for column in zip(*(re.findall(r"\d{1,9}", name) for name in names), strict=False):
        ids = list(map(int, column))
        if ids == places or len(set(ids)) < len(ids) or max(ids) > count:
            continue
        if alone or max(ids) < count or ids != sorted(ids):
            return True
    return False
