"""Counts the images that no split has, so that none is lost in silence."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from segnet_tf.datasets.finding import Found
from segnet_tf.datasets.frames import frame_count
from segnet_tf.datasets.paths import is_image
from segnet_tf.errors import UserError

__all__ = ["elsewhere", "more_pages"]

_SHOWN = 3  # folders in a line


def elsewhere(found: Found, used: set[Path], lacking: str = "") -> list[str]:
    """A line for each kind of image that is left out.

    Args:
        found: the layout.
        used: the images of its samples, and their masks.
        lacking: what the unused images in the samples' own folders do not have, such as
            "labels"; empty: these are no images.
    """
    own = {images for images, _ in found.pairs}
    rest = [path for path in _near(found) if path not in used]
    lines = []
    beside = sum(path.parent in own for path in rest)
    if beside and lacking:
        lines.append(f"{beside} images without {lacking} are left out")
    others = [path.parent for path in rest if path.parent not in own]
    if others:
        folders = list(dict.fromkeys(map(str, others)))
        more = len(folders) - _SHOWN
        lines.append(
            f"{len(others)} images in other folders are left out: "
            + ", ".join(folders[:_SHOWN])
            + (f" and {more} more" if more > 0 else "")
        )
    return lines


def _near(found: Found) -> Iterator[Path]:
    """The images in the folders of images, in folders in these, and beside these."""
    labels = {labels for images, labels in found.pairs if labels != images}
    folders = set()
    for images, _ in found.pairs:
        around = images.parent
        alone = not any(each.is_relative_to(around) for each in labels)
        inside = images != found.root and around.is_relative_to(found.root)
        folders.add(around if alone and inside and around != found.root else images)
    listed = set()
    for folder in sorted(folders):
        for place, inner, names in os.walk(folder):
            path = Path(place)
            inner[:] = sorted(
                name
                for name in inner
                # The root may hold anything.
                if folder != found.root
                and path / name not in labels
                and not name.startswith(".")
            )
            if path in listed:
                continue
            listed.add(path)
            yield from (path / name for name in names if is_image(path / name))


def more_pages(paths: Iterable[Path]) -> list[str]:
    """A line if TIFF files have pages behind the first one, which alone is read."""
    several = [path for path in paths if path.suffix.lower() in (".tif", ".tiff")]
    several = [path for path in several if _has_more_pages(path)]
    if not several:
        return []
    return [
        f"{len(several)} TIFF files have several pages, of which the first one is "
        f"read, such as {several[0].name}"
    ]


def _has_more_pages(path: Path) -> bool:
    try:
        return frame_count(path) > 1
    except UserError:
        # The file itself is reported where all files are read.
        return False
