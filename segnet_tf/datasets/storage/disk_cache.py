"""Keeps the decoded images of a split on disk, as a pack that opens fast.

The folder is $SEGNET_TF_CACHE, else $XDG_CACHE_HOME/segnet_tf, else ~/.cache/segnet_tf.
A pack's name is a checksum of what its images depend on: place, size and times of each
file, and how it is read. So a changed file or option makes another pack; a tool may set
the time of a file's last write back, but not that of its last change of any kind. The
packs that were not in use for longest go if the folder becomes too large.
"""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from segnet_tf.datasets.dataset import Split, typical_size
from segnet_tf.datasets.storage import packed
from segnet_tf.errors import UserError

__all__ = ["MOST_BYTES", "decoded_bytes", "on_disk"]

MOST_BYTES = 20 * 2**30
"""Of all packs in the folder."""

_VERSION = 1
"""Another number if the same files give other pictures than before."""


def on_disk(split: Split) -> Split:
    """The same split, read from a pack that is made now or was made before.

    What is damaged in the pack is read from the files of the split.

    Raises:
        UserError: if the split has no files of its own, if its images take more than
            `MOST_BYTES` or than the disk has, if the pack cannot be written, or if
            files change meanwhile.
    """
    if not split.stored or None in split.stored:
        raise UserError(
            f"cache: {split.info.name} does not say on which files its images depend: "
            "use --cache memory"
        )
    key = _key(split)
    folder = _folder() / key
    pack = _found(folder, split.name)
    if pack is None:
        _make_room(folder.parent, split)
        print(f"decoding {len(split)} images into {folder}", flush=True)
        packed.write(folder, [split], compress_level=0)
        if _key(split) != key:
            shutil.rmtree(folder, ignore_errors=True)
            raise UserError(f"cache: files of {split.name!r} changed: start again")
        pack = packed.load(split.name, folder)
    return replace(split, stored=pack.stored)


def _found(folder: Path, name: str) -> Split | None:
    """A pack from before; what is left of a damaged one is deleted."""
    if not folder.is_dir():
        return None
    try:
        pack = packed.load(name, folder)
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    os.utime(folder)  # so that the packs in use are the last to go
    print(f"decoded images are read from {folder}", flush=True)
    return pack


def decoded_bytes(split: Split) -> int:
    """About how many bytes all decoded pictures and labels of a split take."""
    height, width = split.info.image_size or typical_size(split)
    return len(split) * height * width * (split.info.channels + 1)


def _folder() -> Path:
    own = os.environ.get("SEGNET_TF_CACHE")
    general = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(own or os.path.join(general, "segnet_tf")).expanduser() / "pictures"


def _key(split: Split) -> str:
    """A checksum of all that decides on what `read` gives."""
    info = split.info
    parts = [_VERSION, split.name, info.channels, info.value_range, split.read_options]
    digest = hashlib.sha256(repr(parts).encode())
    for stored in split.stored:
        assert stored is not None
        for place in (stored.image, stored.mask):
            found = os.stat(place.path)
            path = os.path.abspath(place.path)
            times = found.st_mtime_ns, found.st_ctime_ns
            own = path, found.st_ino, found.st_size, times, place.begin, place.length
            digest.update(repr(own).encode())
        digest.update(stored.table.tobytes())
    return digest.hexdigest()[:32]


def _make_room(folder: Path, split: Split) -> None:
    """Deletes the packs that were not in use for longest until a new one fits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cache: {folder}: cannot be made ({error.strerror}): name another folder "
            "in SEGNET_TF_CACHE, or use --cache memory"
        ) from None
    packs = sorted(
        (each for each in folder.iterdir() if (each / packed.MANIFEST).is_file()),
        key=lambda each: each.stat().st_mtime,
    )
    sizes = [sum(f.stat().st_size for f in each.iterdir()) for each in packs]
    needed = decoded_bytes(split)
    for each, size in zip(packs, list(sizes), strict=True):
        if sum(sizes) + needed <= MOST_BYTES:
            break
        sizes.remove(size)
        print(f"{each}: deleted, to make room", flush=True)
        shutil.rmtree(each, ignore_errors=True)
    room = min(MOST_BYTES, shutil.disk_usage(folder).free)
    if needed > room:
        raise UserError(
            f"cache: the decoded images of {split.name!r} take {needed / 1e9:.1f} GB, "
            f"but {folder} has room for {room / 1e9:.1f}: use --cache memory"
        )
