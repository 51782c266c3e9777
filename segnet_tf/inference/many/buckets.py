"""Files on disks and in buckets, by Apache Beam's file systems."""

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from segnet_tf.errors import UserError
from segnet_tf.files import replacing

__all__ = ["absolute", "common_folder", "exists", "local", "matching", "publish"]


def matching(pattern: str) -> list[tuple[str, int, float]]:
    """The files that fit a pattern: path, bytes, time of the last change."""
    return [
        (file.path, file.size_in_bytes, file.last_updated_in_seconds)
        for file in _systems().match([pattern])[0].metadata_list
    ]


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return _systems().exists(path)


@contextmanager
def local(path: str) -> Iterator[str]:
    """A file on this machine: the file itself, or a copy from a bucket.

    Raises:
        OSError: if the copy fails.
    """
    if _is_local(path):
        yield path
        return
    with TemporaryDirectory(prefix="segnet-") as folder:
        copy = Path(folder, "file" + os.path.splitext(path)[1])
        try:
            # A name such as x.gz does not mean that it is to be unpacked.
            source = _systems().open(path, compression_type="uncompressed")
            with source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
        except Exception as error:  # each cloud has errors of its own
            raise OSError(" ".join(str(error).split())[:200]) from error
        yield str(copy)


def publish(file: Path, target: str) -> None:
    """Copies a file to its place, where nobody sees a part of it.

    Raises:
        UserError: if it cannot be written; errors of a cloud stay as they are.
    """
    if _is_local(target):
        with replacing(target) as temporary:
            shutil.copyfile(file, temporary)
        return
    with file.open("rb") as source:
        written = _systems().create(target, compression_type="uncompressed")
        shutil.copyfileobj(source, written)
        # An object appears in its bucket when it is closed.
        written.close()


def absolute(place: str) -> str:
    """A place or pattern that does not depend on the current folder.

    Raises:
        UserError: if it lies on HDFS, where files are seen while they are written.
    """
    if place.startswith("hdfs://"):
        raise UserError(f"{place}: not on HDFS: name a mounted folder or a bucket")
    return os.path.abspath(place) if _is_local(place) else place.rstrip("/")


def common_folder(patterns: Sequence[str]) -> str:
    """The folder that all patterns have in common, with a slash at its end.

    >>> common_folder(["/photos/2024/*.jpg", "/photos/2025/**.png"])
    '/photos/'
    >>> common_folder(["gs://photos/2024*/*.jpg"])
    'gs://photos/'
    """
    plain = [re.split(r"[*?[]", each)[0].rpartition("/")[0] for each in patterns]
    folders = [f"{folder}/" for folder in plain]
    return os.path.commonprefix(folders).rpartition("/")[0] + "/"


def _is_local(path: str) -> bool:
    return _systems().get_scheme(path) is None


def _systems():
    import apache_beam as beam

    return beam.io.filesystems.FileSystems
