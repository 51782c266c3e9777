"""Writes files in one step, so that no reader finds a half-written one."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnet_tf.errors import UserError

__all__ = ["replacing", "unfinished", "write_json"]


@contextmanager
def unfinished(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, and deletes it at the end.

    A file that is written there can be moved to `path` in one step.

    Raises:
        UserError: if the folder of `path` cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    with folder:
        yield Path(folder.name)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success its file replaces `path`.

    The temporary name keeps the suffix, because many writers choose the format by it.
    After an exception or a kill, `path` is as it was before.

    Raises:
        UserError: if `path` cannot be written.
    """
    path = Path(path)
    with unfinished(path) as folder:
        temporary = folder / path.name
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Writes `content` as indented JSON, in one step.

    Raises:
        UserError: if `path` cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
