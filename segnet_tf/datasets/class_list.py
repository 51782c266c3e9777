"""What the values in masks mean: the classes with their ids and colours, and void."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from segnet_tf.datasets.dataset import IGNORE_LABEL
from segnet_tf.errors import UserError

__all__ = [
    "UNLISTED",
    "VOID_NAMES",
    "ClassEntry",
    "ClassList",
    "Colour",
    "default_colours",
]

Colour = tuple[int, int, int]

VOID_NAMES = frozenset("void unlabelled unlabeled ignore ignored __ignore__".split())
"""Names, in lower case, of what is no class."""

UNLISTED = -1
"""In `ClassList.labels`: an id that no entry has."""


@dataclass(frozen=True)
class ClassEntry:
    """A class, or void, as masks show it.

    Attributes:
        name: its name.
        id: its value in masks of ids, 0 to 255; None: only colours show it.
        colour: its RGB triple in masks of colours; None: only ids show it.
        where: the place in the file that lists it, for messages.
    """

    name: str
    id: int | None
    colour: Colour | None = None
    where: str = field(default="", compare=False)

    @property
    def is_void(self) -> bool:
        return self.name.lower() in VOID_NAMES


@dataclass(frozen=True)
class ClassList:
    """What the values in masks mean.

    Attributes:
        classes: in the order of their labels: `classes[k]` has the label k. Each has an
            id, and either all or none have a colour.
        void: what is no class.
    """

    classes: tuple[ClassEntry, ...]
    void: tuple[ClassEntry, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[ClassEntry]) -> "ClassList":
        """The list of entries, each a class or void by its name."""
        entries = tuple(entries)
        return cls(
            tuple(entry for entry in entries if not entry.is_void),
            tuple(entry for entry in entries if entry.is_void),
        )

    @property
    def entries(self) -> tuple[ClassEntry, ...]:
        """The classes, then void."""
        return (*self.classes, *self.void)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.classes)

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of the classes in masks."""
        return tuple(entry.id for entry in self.classes if entry.id is not None)

    @property
    def colours(self) -> tuple[Colour, ...]:
        """To draw the classes in: the list's, or PASCAL VOC's if it has none."""
        given = tuple(entry.colour for entry in self.classes if entry.colour)
        return given or tuple(default_colours(self.names))

    @property
    def ids_of_colours(self) -> dict[Colour, int]:
        """Colour -> id; void without an id has `IGNORE_LABEL`."""
        return {
            entry.colour: IGNORE_LABEL if entry.id is None else entry.id
            for entry in self.entries
            if entry.colour
        }

    @property
    def labels(self) -> np.ndarray:
        """The label of each id in a mask: int16 (256,).

        Void has `IGNORE_LABEL`, and so has the id `IGNORE_LABEL` unless it is a
        class's. An id that no entry has is `UNLISTED`.
        """
        table = np.full(256, UNLISTED, np.int16)
        table[[IGNORE_LABEL, *(e.id for e in self.void if e.id is not None)]] = (
            IGNORE_LABEL
        )
        table[list(self.ids)] = np.arange(len(self.classes))
        return table

    def ignoring(self, values: Sequence[str]) -> "ClassList":
        """The list with some of its classes, or ids that it does not have, as void.

        Args:
            values: names, or ids in the masks.

        Raises:
            UserError: if a value is neither a name in the list nor an id from 0 to 255,
                or if no class is left.
        """
        void = list(self.void)
        for value in values:
            named = [
                entry
                for entry in self.entries
                if (
                    entry.id == int(value) if value.isdecimal() else entry.name == value
                )
            ]
            if not named and value.isdecimal() and int(value) <= 255:
                named = [ClassEntry(f"id {int(value)}", int(value))]
            if not named:
                raise UserError(
                    f"ignore: {value!r} is no class: name one of "
                    f"{', '.join(self.names)}, or an id from 0 to 255"
                )
            void += named
        classes = tuple(entry for entry in self.classes if entry not in void)
        if not classes:
            raise UserError(f"ignore: {', '.join(values)} leaves no class")
        return ClassList(classes, tuple(dict.fromkeys(void)))


def default_colours(names: Sequence[str]) -> list[Colour]:
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
