"""Writes files in one step, so that no reader finds a half-written one."""

import errno
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnet_tf.errors import UserError

__all__ = ["FolderLock", "clear_litter", "replacing", "unfinished", "write_json"]


def _where_process_ids_count() -> str:
    """Names this machine since its start, and the container in it."""
    host = re.sub(r"\W", "", socket.gethostname())[:30] or "host"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{host}{boot}{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return host


_HERE = _where_process_ids_count()
_LITTER = re.compile(r"\.writing-(\w+)-(\d+)-\w+")

_STALE = 24 * 3600
"""Seconds after which a folder of another machine or container is litter, too."""

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
            prefix=f".writing-{_HERE}-{os.getpid()}-",
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


class FolderLock:
    """Keeps other processes out of a folder, until it is released or the process ends.

    The lock is the operating system's, on a file in the folder: a dead process holds
    none.
    """

    NAME = ".lock"

    def __init__(self, folder: Path):
        self._path = folder / self.NAME
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        return self._handle is not None

    def acquire(self) -> None:
        """Makes the folder if need be, and takes the lock.

        Raises:
            UserError: if another process has it, or if the folder cannot be written to.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _refusal(self._path, error) from error
        try:
            _lock(handle)
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise _refusal(self._path, error) from error
            raise self._refused() from None
        if not self._is_there(handle):
            os.close(handle)
            raise self._refused()
        self._handle = handle

    def _is_there(self, handle: int) -> bool:
        """Whether nobody has deleted the file since it was opened."""
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _refused(self) -> UserError:
        return UserError(
            f"{self._path.parent}: another process is at work in it: wait for its end, "
            "or choose another folder"
        )

    def release(self) -> None:
        """Gives the lock back, if it is held."""
        if self._handle is not None:
            # The file stays: another process may have opened it to lock it.
            os.close(self._handle)
            self._handle = None

    __del__ = release


def _lock(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Writes `content` as indented JSON, in one step.

    Raises:
        UserError: if `path` cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def clear_litter(folder: Path) -> None:
    """Deletes the temporary folders that processes left when they were killed."""
    for path in folder.iterdir():
        found = _LITTER.fullmatch(path.name)
        if not found or path.is_symlink():
            continue
        if found[1] == _HERE:
            dead = not _is_alive(int(found[2]))
        else:
            dead = time.time() - path.stat().st_mtime > _STALE
        if dead:
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (OverflowError, ProcessLookupError):
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
