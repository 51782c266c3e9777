"""A page to look through the results with: one file, which needs no network."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segnet_tf.files import replacing
from segnet_tf.inference.many.results import Results

__all__ = ["write_gallery"]

TEMPLATE = Path(__file__).with_suffix(".html")


def write_gallery(path: Path, rows: Iterable[dict[str, Any]], results: Results) -> None:
    """Writes the page. It links to the photos where they are, and to the results.

    It shows the list in pages of a hundred, so that it opens as fast with a hundred
    thousand pictures.

    Args:
        path: of the page, in the folder of the results.
        rows: as `segnet_tf.inference.many.record.Record.rows` gives them.
        results: says which files there are.

    Raises:
        UserError: if it cannot be written.
    """
    views = [
        name for name in ("overlay", "contours", "labels") if name in results.outputs
    ]
    content = {
        "classes": results.info.classes,
        "colours": results.info.colours,
        "views": views,
        "rows": [
            _row(row, views, results, path.parent)
            for row in rows
            if row["form"] != "video"
        ],
    }
    # A script ends at the first </, whatever stands around it.
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/", data)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _row(row: dict[str, Any], views: list[str], results: Results, folder: Path) -> list:
    files = results.files(row["path"], row["name"], row["form"])
    height, width = row["size"]
    shares = [[int(index), share] for index, share in row["shares"].items()]
    shown = row["name"].encode("utf-8", "replace").decode()
    return [
        shown,
        # A browser would show another frame.
        _link(row["path"], folder) if row["frame"] is None else None,
        {view: _link(files[view], folder) for view in views},
        width,
        height,
        shares,
    ]


def _link(path: str | Path, folder: Path) -> str:
    """A relative address, so that both folders can move together."""
    try:
        relative = os.path.relpath(path, os.path.abspath(folder))
    except ValueError:  # another drive of Windows
        return Path(path).absolute().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))
