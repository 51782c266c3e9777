"""The metadata of our `.tflite` files, read without TensorFlow.

A `.tflite` file may have a zip archive behind its last byte; runtimes do not look
there. Ours has the entry `labels.json`, the same as in a `.keras` file (see
`segnet_tf.inference.labels_json`), with five more keys:

    output     "logits", "probabilities" or "labels"
    size       [height, width] that the file was exported for
    multiple   height and width may be any multiples of this number;
               null: only `size` is possible
    footprint  the receptive field: how tiles must overlap, see
               `segnet_tf.inference.tiling`; null: not known
    crc32      of all bytes of the flatbuffer, verified before the file is run

Beside the file lies another labels.json, without these five keys.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.inference import labels_json
from segnet_tf.inference.labels_json import LABELS_ENTRY
from segnet_tf.inference.tiling import ReceptiveField, check_values

__all__ = [
    "OUTPUTS",
    "Metadata",
    "append_metadata",
    "checked_tensors",
    "interpreter",
    "litert_errors",
    "read_metadata",
    "resize",
    "stored_metadata",
]

OUTPUTS = ("logits", "probabilities", "labels")
"""The possible outputs of a file."""

CHECKSUM = "crc32"

MAGIC = b"TFL3"
"""The bytes 4 to 7 of every TFLite flatbuffer."""


@dataclass(frozen=True)
class Metadata:
    """The meaning of the tensors of a `.tflite` file.

    Attributes:
        info: the classes, and the rest of labels.json. If the file takes one size only,
            `image_size` is None after reading, since images cannot be scaled.
        output: one of `OUTPUTS`.
        size: height and width that the file was exported for.
        multiple: height and width must be multiples of it; None: `size` only.
        receptive_field: of the network; None: not known.
    """

    info: DatasetInfo
    output: str
    size: tuple[int, int]
    multiple: int | None
    receptive_field: ReceptiveField | None = None

    def check_size(self, height: int, width: int) -> None:
        """Refuses a size for which LiteRT would give a wrong result.

        Raises:
            UserError: the message says which sizes are allowed.
        """
        check_values(height, width, self.receptive_field)
        if (height, width) == self.size:
            return
        if self.multiple is None:
            allowed = "{}x{} (height x width) only".format(*self.size)
            step = (
                self.receptive_field.step if self.receptive_field else "2 ** poolings"
            )
            raise UserError(
                f"{height}x{width}: this file takes {allowed}: export one whose height "
                f"and width are multiples of {step}, for images of any size"
            )
        if min(height, width) < 1 or height % self.multiple or width % self.multiple:
            raise UserError(
                f"{height}x{width}: this file takes multiples of {self.multiple} only"
            )

    def as_dict(self) -> dict:
        """The content of `labels.json`."""
        return {
            **asdict(self.info),
            "output": self.output,
            "size": list(self.size),
            "multiple": self.multiple,
            "footprint": self.receptive_field and asdict(self.receptive_field),
        }

    @classmethod
    def from_dict(cls, labels: dict) -> "Metadata":
        """The metadata of a `labels.json`.

        Raises:
            ValueError: if an entry is missing or has a value that it cannot have.
        """
        multiple = labels.get("multiple")
        if multiple is not None:
            multiple = labels_json.whole(multiple, "multiple", 1, 2**10)
        if labels.get("output") not in OUTPUTS:
            raise ValueError(f"output: {labels.get('output')!r:.40}")
        info = labels_json.dataset_info(labels)
        return cls(
            info if multiple else replace(info, image_size=None),
            labels["output"],
            labels_json.image_size(labels.get("size"), "size"),
            multiple,
            labels_json.receptive_field(labels),
        )


def append_metadata(path: str | os.PathLike, metadata: Metadata) -> None:
    """Writes the metadata, and a checksum, behind the flatbuffer's last byte."""
    content = {**metadata.as_dict(), CHECKSUM: crc32(Path(path).read_bytes())}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS_ENTRY, json.dumps(content, indent=2))


def read_metadata(path: str | os.PathLike) -> Metadata:
    """The metadata in a `.tflite` file.

    Raises:
        UserError: if the file is missing, cut off, no TFLite file, or not ours.
    """
    metadata = stored_metadata(path)
    if metadata is None:
        raise UserError(
            f"{path}: names no classes: damaged, or not an export of segnet_tf"
        )
    return metadata


def stored_metadata(path: str | os.PathLike) -> Metadata | None:
    """The metadata in a `.tflite` file, or None if it has none.

    A file that was cut off has none, either, since the archive is at the end.

    Raises:
        UserError: if the file is missing or no TFLite file, or if its metadata are
            damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if begin[4:] != MAGIC:
        raise UserError(f"{path}: not a .tflite file")
    try:
        stored = labels_json.archived(path)
        if stored is None:
            return None
        labels = labels_json.parsed(stored)
        metadata = Metadata.from_dict(labels)
    except zipfile.BadZipFile:
        return None
    except ValueError as error:
        raise UserError(f"{path}: its {LABELS_ENTRY} is damaged ({error})") from None
    _verify(path, labels.get(CHECKSUM))
    return metadata


def _verify(path: Path, expected: int | None) -> None:
    """Compares the flatbuffer with its checksum; older files have none.

    LiteRT would run a file with changed weights, and give other labels.
    """
    if expected is None:
        return
    with zipfile.ZipFile(path) as archive:
        end = min(entry.header_offset for entry in archive.infolist())
    with path.open("rb") as file:
        if crc32(file.read(end)) != expected:
            raise UserError(
                f"{path}: damaged: its bytes are not those that were written: copy or "
                "export it again"
            )


def interpreter(
    path: str | os.PathLike, threads: int | None = None, content: bytes | None = None
):
    """A LiteRT interpreter whose tensors are not allocated yet.

    Args:
        path: the file.
        threads: CPU threads; None: all cores.
        content: of the file, if it has been read.

    Raises:
        UserError: if LiteRT cannot read the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    # Python 3.13 and newer tell the cores that this process may use.
    cores = getattr(os, "process_cpu_count", os.cpu_count)()
    # Given a name, LiteRT maps the file, and dies if another one is copied over it.
    content = Path(path).read_bytes() if content is None else content
    with notices_kept_back(), litert_errors(path):
        return Interpreter(model_content=content, num_threads=threads or cores)


def checked_tensors(path: Path, metadata: Metadata, loaded) -> tuple[dict, dict]:
    """The details of a file's input and output, which must be what it says of itself.

    Raises:
        UserError: if they are others.
    """
    inputs, outputs = loaded.get_input_details(), loaded.get_output_details()
    if len(inputs) == len(outputs) == 1:
        [source], [target] = inputs, outputs
        given = tuple(target["shape"][3:]), np.dtype(target["dtype"]).name
        wanted = (metadata.info.num_classes,), "float32"
        if metadata.output == "labels":
            wanted = (), "uint8"
        image = len(source["shape"]), source["shape"][-1]
        if given == wanted and image == (4, metadata.info.channels):
            return source, target
    raise UserError(
        f"{path}: damaged: its tensors are not those of {metadata.output} for "
        f"{metadata.info.num_classes} classes"
    )


def resize(loaded, height: int, width: int) -> None:
    """Resizes the image tensor of an interpreter and allocates its tensors."""
    [source] = loaded.get_input_details()
    channels = source["shape"][-1]
    loaded.resize_tensor_input(source["index"], (1, height, width, channels))
    with notices_kept_back():
        loaded.allocate_tensors()


def multiple_that_runs(path: str | os.PathLike, multiple: int) -> int | None:
    """The number that height and width must be multiples of if a file runs at them.

    The function tries sizes, since an operator may hold the size of the export, and
    another may need an even size below the last pooling.

    Args:
        path: a `.tflite` file.
        multiple: the number that the network's poolings need.

    Returns:
        `multiple`, or twice that, or None if neither runs.
    """
    for candidate in (multiple, 2 * multiple):
        size = 3 * candidate, 5 * candidate
        loaded = interpreter(path)
        try:
            resize(loaded, *size)
            loaded.invoke()
        except (ValueError, RuntimeError):
            continue
        [target] = loaded.get_output_details()
        if loaded.get_tensor(target["index"]).shape[1:3] == size:
            return candidate
    return None


@contextmanager
def litert_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turns LiteRT's errors into a UserError that names the file."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: LiteRT cannot run it ({reason})") from None
