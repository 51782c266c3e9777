"""Which files belong together, by their names."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from pathlib import Path

from segnet_tf.datasets.paths import images_in, stem
from segnet_tf.errors import UserError

__all__ = ["Pairs", "files_of_names", "paired"]

_MASK_WORDS = re.compile("mask|msk|label|lbl|seg|annot|truth|gt|target", re.IGNORECASE)
"""What masks are called, if their names and those of the images differ in a word."""

_BRUSH = re.compile("task-.*annotation-")
"""What Label Studio's masks are called, after a task, not after an image."""

_TRIED = 12
"""So many images are compared with all masks to find what the masks' names add."""


@dataclass(frozen=True)
class Pairs:
    """The images of a folder with their masks.

    Attributes:
        pairs: each image, its mask, and a line if this is missing.
        spare: masks without an image.
        differ: whether the names of images have something at their ends, too, that
            those of masks do not have.
    """

    pairs: tuple[tuple[Path, Path, str], ...]
    spare: tuple[Path, ...]
    differ: bool = False

    @property
    def missing(self) -> int:
        """The number of images without a mask."""
        return sum(1 for _, _, missing in self.pairs if missing)


@dataclass(frozen=True)
class _Ends:
    """What stands before and behind the part of a name that others share."""

    begin: str = ""
    end: str = ""

    def shared(self, names: Iterable[str]) -> dict[str, str]:
        """The shared part -> name, of those names that have one."""
        least = len(self.begin) + len(self.end)
        return {
            name[len(self.begin) : len(name) - len(self.end)]: name
            for name in names
            if len(name) > least
            and name.startswith(self.begin)
            and name.endswith(self.end)
        }


def paired(
    images: Path, masks: Path, image_end: str = "", mask_end: str | None = None
) -> Pairs:
    """The images of a folder with their masks. Upper and lower case are the same.

    Args:
        images: folder of the images.
        masks: folder of the masks; it may be the same.
        image_end: the end of an image's name that its mask's does not have.
        mask_end: the end of a mask's name that its image's does not have; None: the one
            that the masks share.

    Raises:
        UserError: if two files have one stem, or if each image has several masks.
    """
    image_of, mask_of = _by_stem(images), _by_stem(masks)
    if images == masks and mask_end:
        image_of = {k: path for k, path in image_of.items() if not k.endswith(mask_end)}
    found = _paired(masks, image_of, mask_of, image_end, mask_end)
    images_folded, masks_folded = _folded(image_of), _folded(mask_of)
    if found.missing and images_folded and masks_folded:
        end = mask_end and mask_end.casefold()
        other = _paired(masks, images_folded, masks_folded, image_end.casefold(), end)
        if other.missing < found.missing:
            return other
    return found


def _paired(
    masks: Path,
    image_of: dict[str, Path],
    mask_of: dict[str, Path],
    image_end: str,
    mask_end: str | None,
) -> Pairs:
    """As `paired`, of names with their files."""
    end = _shared_end(masks, image_of, mask_of) if mask_end is None else mask_end
    ends = _Ends(end=image_end), _Ends(end=end)
    named = [ends[0].shared(image_of), ends[1].shared(mask_of)]
    differ = unsure = None
    if mask_end is None and named[0].keys().isdisjoint(named[1]):
        unsure = _differing_ends(list(image_of), list(mask_of))
        if unsure and _is_certain(*unsure):
            ends = differ = unsure
            named = [ends[0].shared(image_of), ends[1].shared(mask_of)]
    part_of = {name: part for part, name in named[0].items()}
    pairs = []
    for name, image in image_of.items():
        part = part_of.get(name, name)
        mask, missing = mask_of.get(named[1].get(part, "")), ""
        if mask is None:
            mask = masks / f"{ends[1].begin}{part}{ends[1].end}.png"
            like = unsure and mask_of.get(_renamed(name, *unsure))
            missing = f"{image}: has no mask {mask}{_hint(part, mask_of, like)}"
        pairs.append((image, mask, missing))
    spare = [mask_of[name] for part, name in named[1].items() if part not in named[0]]
    return Pairs(tuple(pairs), tuple(spare), differ is not None)


def _hint(name: str, mask_of: dict[str, Path], like: Path | None) -> str:
    """The end of a line on a missing mask: how to find or make it."""
    brush = next((name for name in mask_of if _BRUSH.match(name)), None)
    if brush:
        return (
            f"; {mask_of[brush].name} is Label Studio's, one file for each label: "
            "export COCO instead"
        )
    like = like or next((m for s, m in mask_of.items() if s.startswith(name)), None)
    if like:
        return f"; is it {like.name}? The stems must be the same"
    return ""


def _folded(named: dict[str, Path]) -> dict[str, Path] | None:
    """The same without case, or None if names differ in nothing else."""
    folded = {name.casefold(): path for name, path in named.items()}
    return folded if len(folded) == len(named) else None


def _differing_ends(images: list[str], masks: list[str]) -> tuple[_Ends, _Ends] | None:
    """The ends that make most images and masks the same, as in image_01 and mask_01.

    None if that leaves half of the images without a mask, or if ends differ in which
    files they bring together.
    """
    found: dict[frozenset, tuple[_Ends, _Ends]] = {}
    for first, second in product(_possible_ends(images), _possible_ends(masks)):
        own, other = first.shared(images), second.shared(masks)
        same = frozenset((own[part], other[part]) for part in own.keys() & other.keys())
        found.setdefault(same, (first, second))
    best, *others = sorted(found, key=len, reverse=True)
    if len(best) <= len(images) / 2 or (others and len(others[0]) == len(best)):
        return None
    return found[best]


def _is_certain(image: _Ends, mask: _Ends) -> bool:
    """Whether names that differ so are those of an image and its mask.

    What the mask alone has says that it is one, as in image_01 and mask_01.
    """
    return all(
        own == other or not other or _MASK_WORDS.search(other)
        for own, other in ((image.begin, mask.begin), (image.end, mask.end))
    ) and not _BRUSH.match(mask.begin)


def _renamed(name: str, image: _Ends, mask: _Ends) -> str:
    """The name of the mask of an image."""
    part = name[len(image.begin) : len(name) - len(image.end)]
    return f"{mask.begin}{part}{mask.end}"


def _possible_ends(names: list[str]) -> Iterator[_Ends]:
    """What all names have in common at their ends, or at one, or nothing."""
    begin = _common_begin(names)
    end = _common_begin([name[::-1] for name in names])[::-1]
    for pair in product({"", begin}, {"", end}):
        yield _Ends(*pair)


def _common_begin(names: list[str]) -> str:
    """How all names begin, up to a number or including a separator."""
    begin = re.sub(r"\d+$", "", os.path.commonprefix(names))
    if all(name[len(begin) :][:1].isdigit() for name in names):
        return begin
    return re.sub(r"[^\W_]*$", "", begin)


def _shared_end(
    folder: Path, image_of: dict[str, Path], mask_of: dict[str, Path]
) -> str:
    """What the names of most masks have behind those of their images.

    Raises:
        UserError: if each image has several masks.
    """
    if not image_of.keys().isdisjoint(mask_of):
        return ""
    ends = Counter(
        mask.removeprefix(name)
        for name in list(image_of)[:_TRIED]
        for mask in mask_of
        if mask.startswith(name)
    )
    covered = Counter(
        {end: sum(name + end in mask_of for name in image_of) for end in ends}
    )
    (best, most), *others = covered.most_common(2) or [("", 0)]
    if others and others[0][1] == most:
        raise UserError(
            f"{folder}: has several masks of each image, ending in {best} and in "
            f"{others[0][0]}: choose with --mask-suffix"
        )
    # One alone that begins like an image may be any file.
    return best if most > len(image_of) / 2 else ""


def _by_stem(folder: Path) -> dict[str, Path]:
    """Stem -> image of a folder, in the order of the names; each stem is unique."""
    found: dict[str, Path] = {}
    for path in sorted(images_in(folder), key=attrgetter("name")):
        name = stem(path)
        if name in found:
            raise UserError(
                f"{path}: same stem as {found[name].name}: keep one of them"
            )
        found[name] = path
    return found


def files_of_names(
    names: Iterable[str], folder: Path, where: Path
) -> dict[str, Path | None]:
    """The file that each name in a file of annotations means, or None.

    Labelling programs write paths of their own: of Windows, of a server, from another
    folder. A name that is no path from the folder means the file of this bare name; if
    several have it, the one that shares more folders with it.

    Args:
        names: as the annotations have them.
        folder: the images', with folders in it.
        where: the file of annotations, for messages.

    Raises:
        UserError: if a name may mean several files, or if two names mean one.
    """
    inside = [
        Path(place, name) for place, _, files in os.walk(folder) for name in files
    ]
    exact = {_plain(path.relative_to(folder).as_posix()): path for path in inside}
    bare, without_case = defaultdict(list), defaultdict(list)
    for path in inside:
        bare[_plain(path.name)].append(path)
        without_case[_plain(path.name).casefold()].append(path)
    found: dict[str, Path | None] = {}
    for name in names:
        parts = _parts(name)
        last = parts[-1] if parts else ""
        found[name] = exact.get(_plain(name)) or exact.get("/".join(parts))
        if found[name] is None:
            many = bare.get(last) or without_case.get(last.casefold(), [])
            found[name] = _most_alike(name, parts, many, where)
    taken: dict[Path, str] = {}
    for name, path in found.items():
        if path and taken.setdefault(path, name) != name:
            raise UserError(
                f"{where}: {taken[path]!r:.80} and {name!r:.80} can both only be "
                f"{path}: are images missing?"
            )
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _parts(name: str) -> tuple[str, ...]:
    parts = _plain(name).replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", ".", ".."))


def _most_alike(
    name: str, parts: tuple[str, ...], many: list[Path], where: Path
) -> Path | None:
    """The path that ends most like a name; None if there is no path."""

    def alike(path: Path) -> int:
        ends = zip(reversed(parts[:-1]), reversed(path.parts[:-1]), strict=False)
        return next((n for n, (a, b) in enumerate(ends) if a != b), len(parts) - 1)

    if len(many) < 2:
        return many[0] if many else None
    first, second, *_ = sorted(sorted(many), key=alike, reverse=True)
    if alike(first) == alike(second):
        raise UserError(
            f"{where}: {name!r:.80} may be {first} or {second}: name the folder of "
            "these images with --images"
        )
    return first
