"""Writes files in one step, so that no reader finds a half-written one."""

import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnet_tf.errors import UserError

__all__ = ["clear_litter", "replacing", "unfinished", "write_json"]

# A folder of this name belongs to a process of this machine.
_HOST = re.sub(r"\W", "", socket.gethostname())[:30] or "host"
_LITTER = re.compile(rf"\.writing-{_HOST}-(\d+)-\w+")
_cleared: set[Path] = set()


@contextmanager
def unfinished(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary folder beside `path`, and deletes it at the end.

    A file that is written there can be moved to `path` in one step. What killed
    processes left beside `path` is deleted, too, once in each folder.

    Raises:
        UserError: if the folder of `path` cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent not in _cleared:
            _cleared.add(path.parent)
            clear_litter(path.parent)
        folder = tempfile.TemporaryDirectory(
            dir=path.parent,
            prefix=f".writing-{_HOST}-{os.getpid()}-",
            ignore_cleanup_errors=True,
        )
    except OSError as error:
        raise _refusal(path, error) from error
    with folder:
        yield Path(folder.name)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success its file replaces `path`.

    The temporary name keeps the suffix, because many writers choose the format by it.
    After an exception, a kill or a loss of power, `path` is as it was before, or as it
    was to be.

    Raises:
        UserError: if `path` cannot be written, in any of the steps; a full disk is the
            usual reason.
    """
    path = Path(path)
    with unfinished(path) as folder:
        temporary = folder / path.name
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        except OSError as error:
            # An error of the writer itself, such as an unknown format, has no number.
            if error.errno is None and not _is_full(error):
                raise
            raise _refusal(path, error) from error


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Writes `content` as indented JSON, in one step.

    Raises:
        UserError: if `path` cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def clear_litter(folder: Path) -> None:
    """Deletes the temporary folders that processes of this machine left when killed."""
    for path in folder.iterdir():
        found = _LITTER.fullmatch(path.name)
        if found and not _is_alive(int(found[1])) and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _sync(path: Path) -> None:
    """Waits until the disk has a file or a folder."""
    if not path.exists() or os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        # Some file systems cannot sync a folder.
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def _is_full(error: OSError) -> bool:
    # HDF5 says so in its message only.
    return "No space left" in str(error) or "File too large" in str(error)


def _refusal(path: Path, error: OSError) -> UserError:
    reason = error.strerror or " ".join(str(error).split())[:200]
    # A file in a temporary folder has the name that it was to get.
    named = Path(*(part for part in path.parts if not _LITTER.fullmatch(part)))
    return UserError(f"{named}: cannot be written ({reason})")
