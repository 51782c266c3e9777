"""`packed`: a data set in few files, which `segnet data NAME --pack FOLDER` writes.

    pack.json              classes, names, places and checksums of all examples
    train-00000.tfrecord   tf.train.Example: image (PNG or JPEG), labels (PNG), name
    ...

An image that TensorFlow decodes to the bits of `read_image` is kept as its file has it;
any other is stored as PNG, as `read_image` gives it. So a pack gives what the data set
gives. The folder appears when it is complete.
"""

import hashlib
import io
import json
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segnet_tf.datasets.dataset import DatasetInfo, MissingSplit, Place, Split, Stored
from segnet_tf.datasets.storage.plain_files import KINDS, plain_file
from segnet_tf.errors import UserError
from segnet_tf.files import unfinished, write_json

__all__ = ["MANIFEST", "load", "write"]

MANIFEST = "pack.json"

VERSION = 2

SHARD_BYTES = 2**23
"""Shards are small, since TensorFlow comes to a place in a file by reading up to it."""

_SECONDS = 10  # between two lines of progress

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def write(folder: Path, splits: Sequence[Split], compress_level: int = 6) -> None:
    """Writes splits of a data set as a pack, and says how far it is.

    Args:
        folder: which is not there yet.
        splits: of one data set.
        compress_level: of PNG; 0 is fast to read, and stores no file as it is.

    Raises:
        UserError: if the folder is there or cannot be written, or if an example is
            faulty. Nothing is left then.
    """
    if folder.exists():
        raise UserError(f"{folder}: is there already: name a new folder")
    import tensorflow as tf

    with unfinished(folder) as temporary:
        root = temporary / folder.name
        try:
            root.mkdir()
            content = {"version": VERSION, "splits": {}}
            for split in splits:
                content["splits"][split.name] = _written(root, split, compress_level)
            write_json(root / MANIFEST, {**content, "checksum": _checksum(content)})
            os.rename(root, folder)
        except (OSError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{folder}: cannot be written ({reason})") from None


def _written(root: Path, split: Split, level: int) -> dict[str, Any]:
    """Writes the shards of a split; returns its part of the manifest."""
    from segnet_tf.datasets.storage.native import hash_of

    rows, shards = [], _Shards(root, split.name)
    said = time.monotonic()
    with shards:
        for index, contents in enumerate(_encoded(split, level)):
            record = _record(*contents, split.names[index])
            number, begin = shards.add(record)
            row = [number, begin, len(record), zlib.crc32(record)]
            for content in contents:
                row += begin + record.index(content), len(content)
            rows.append(row + hash_of(contents).numpy().tolist())
            if time.monotonic() - said > _SECONDS:
                said = time.monotonic()
                print(f"{split.name}: {index + 1} of {len(split)}", flush=True)
    return {
        "info": asdict(split.info),
        "names": split.names,
        "sources": [str(source) for source in split.sources],
        "groups": split.groups,
        "shares": split.shares,
        "mask_ids": split.mask_ids,
        "shards": [[path.name, path.stat().st_size] for path in shards.paths],
        "examples": rows,
    }


class _Shards:
    """Files of TensorFlow's records, one after the other."""

    def __init__(self, root: Path, name: str):
        self.paths: list[Path] = []
        self._root, self._name = root, name
        self._writer = None
        self._end = 0

    def add(self, record: bytes) -> tuple[int, int]:
        """Writes a record; returns the number of its shard, and its place there."""
        import tensorflow as tf

        if self._writer is None or self._end + len(record) > SHARD_BYTES:
            self.close()
            number = f"{len(self.paths):05d}"
            self.paths.append(self._root / f"{self._name}-{number}.tfrecord")
            self._writer, self._end = tf.io.TFRecordWriter(str(self.paths[-1])), 0
        self._writer.write(record)
        # A length and its checksum stand before a record, the record's behind it.
        begin = self._end + 12
        self._end = begin + len(record) + 4
        return len(self.paths) - 1, begin

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> "_Shards":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _encoded(split: Split, level: int) -> Iterator[tuple[bytes, bytes]]:
    """Each image and its labels, as files would hold them."""
    for index, (image, labels) in enumerate(split):
        stored = split.stored[index] if split.stored and level else None
        content = stored and _as_it_is(stored.image, image)
        yield content or _png(image, level), _png(labels, level)


def _as_it_is(place: Place, image: np.ndarray) -> bytes | None:
    """The bytes of an image, if they are plain and hold these pixels."""
    found, channels = plain_file(place), image.shape[2]
    if found is None or found.kind not in KINDS[channels]:
        return None
    content = _bytes_at(place.path, place.begin, found.length)
    return content if np.array_equal(_decoded(content, channels), image) else None


def _png(pixels: np.ndarray, level: int) -> bytes:
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG", compress_level=level)
        return file.getvalue()


def _record(image: bytes, labels: bytes, name: str) -> bytes:
    import tensorflow as tf

    def feature(content: bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))

    features = {"image": image, "labels": labels, "name": name.encode()}
    features = {key: feature(content) for key, content in features.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def load(split: str, data_dir: str | os.PathLike | None = None) -> Split:
    """A split of a pack.

    Args:
        split: its name in the pack.
        data_dir: the folder of the pack.

    Raises:
        MissingSplit: if the pack does not have this split.
        UserError: if the folder is no pack, or if a part of it is missing or damaged.
    """
    if not data_dir:
        raise UserError("packed: no folder given: use --data-dir FOLDER, a pack")
    root = Path(data_dir)
    splits = _manifest(root)
    if split not in splits:
        raise MissingSplit(
            f"packed: {root} has no split {split!r}; it has {', '.join(splits)}"
        )
    return _split(root, split, splits[split])


def _manifest(root: Path) -> dict[str, Any]:
    path = root / MANIFEST
    if not path.is_file():
        raise UserError(f"packed: {path}: no such file, so {root} is no pack")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        checksum = content.pop("checksum")
        version = content["version"]
    except (OSError, ValueError, KeyError, AttributeError, RecursionError):
        raise _damage(path) from None
    if checksum != _checksum(content):
        raise _damage(path)
    if version != VERSION:
        raise UserError(f"{path}: of version {version}, not {VERSION}: pack again")
    return content["splits"]


def _split(root: Path, name: str, stored: dict[str, Any]) -> Split:
    paths = [root / file for file, _ in stored["shards"]]
    for path, (_, size) in zip(paths, stored["shards"], strict=True):
        if not path.is_file() or path.stat().st_size != size:
            raise _damage(path)
    info = DatasetInfo(**{key: _tuples(value) for key, value in stored["info"].items()})
    names, rows = tuple(stored["names"]), stored["examples"]
    groups = _tuples(stored["groups"])

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        shard, begin, length, checksum, *places = rows[index]
        record = _bytes_at(paths[shard], begin, length)
        if zlib.crc32(record) != checksum:
            raise _damage(paths[shard], f"{names[index]}: ")
        image, labels = (
            record[place - begin : place - begin + size]
            for place, size in (places[:2], places[2:4])
        )
        return _decoded(image, info.channels), _decoded(labels, 1)[..., 0]

    labels = Stored.ids(info.num_classes + len(groups))
    return Split(
        info,
        name,
        names,
        read,
        tuple(stored["sources"]),
        groups,
        _tuples(stored["shares"]),
        mask_ids=tuple(stored["mask_ids"]),
        stored=tuple(
            Stored(
                Place(paths[row[0]], row[4], row[5], row[8]),
                Place(paths[row[0]], row[6], row[7], row[9]),
                labels,
            )
            for row in rows
        ),
    )


def _damage(path: Path, what: str = "") -> UserError:
    return UserError(f"{path}: {what}missing or damaged: write the pack again")


def _decoded(content: bytes, channels: int) -> np.ndarray:
    with (
        io.BytesIO(content) as file,
        Image.open(file, formats=("PNG", "JPEG")) as image,
    ):
        pixels = np.asarray(image.convert(_MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def _bytes_at(path: Path, begin: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(begin)
        return file.read(length)


def _checksum(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
