"""What a `.tflite` file of ours says about itself, read without TensorFlow.

A `.tflite` file may carry a zip archive behind its last byte; runtimes do not look
there. Ours has the entry `labels.json`, the same as a `.keras` file's (see
`segnet_tf.inference.model_file`) with four more keys:

    output     "logits", "probabilities" or "labels"
    size       [height, width] the file was exported for
    multiple   any multiple of this will do as height and as width,
               or null where only `size` will
    receptive_field  how tiles must overlap, see `segnet_tf.inference.tiling`; or null

Beside the file lies another labels.json, without these four.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import LABELS_ENTRY
from segnet_tf.inference.tiling import ReceptiveField

__all__ = [
    "OUTPUTS",
    "Metadata",
    "append_metadata",
    "interpreter",
    "litert_errors",
    "read_metadata",
    "resize",
    "stored_metadata",
]

OUTPUTS = ("logits", "probabilities", "labels")

MAGIC = b"TFL3"
"""At byte 4 of every TFLite flatbuffer."""


@dataclass(frozen=True)
class Metadata:
    """What the tensors of a `.tflite` file mean.

    Attributes:
        info: the classes, and what else labels.json says; as it is read from a file of
            a single size, without `image_size`: there is nothing to scale images to.
        output: one of `OUTPUTS`.
        size: height and width the file was exported for.
        multiple: what height and width must be multiples of; None: `size` only.
        receptive_field: of the network, where it is known.
    """

    info: DatasetInfo
    output: str
    size: tuple[int, int]
    multiple: int | None
    receptive_field: ReceptiveField | None = None

    def check_size(self, height: int, width: int) -> None:
        """Refuses a size for which LiteRT would compute something, but not this.

        Raises:
            UserError: naming what is allowed.
        """
        if (height, width) == self.size:
            return
        if self.multiple is None:
            allowed = "{}x{} (height x width) only".format(*self.size)
            step = (
                self.receptive_field.step if self.receptive_field else "2 ** poolings"
            )
            raise UserError(
                f"{height}x{width}: this file takes {allowed}: export one whose height "
                f"and width are multiples of {step}, it will take any size"
            )
        if min(height, width) < 1 or height % self.multiple or width % self.multiple:
            raise UserError(
                f"{height}x{width}: this file takes multiples of {self.multiple} only"
            )

    def as_dict(self) -> dict:
        """What `labels.json` holds."""
        return {
            **asdict(self.info),
            "output": self.output,
            "size": list(self.size),
            "multiple": self.multiple,
            "footprint": self.receptive_field and asdict(self.receptive_field),
        }

    @classmethod
    def from_dict(cls, labels: dict) -> "Metadata":
        receptive_field, multiple = labels.get("footprint"), labels["multiple"]
        if multiple is not None and not (isinstance(multiple, int) and multiple > 0):
            raise ValueError(f"multiple: {multiple!r}")
        if labels["output"] not in OUTPUTS:
            raise ValueError(f"output: {labels['output']!r}")
        info = DatasetInfo.from_dict(labels)
        return cls(
            info if multiple else replace(info, image_size=None),
            labels["output"],
            tuple(labels["size"]),
            multiple,
            receptive_field and ReceptiveField(**receptive_field),
        )


def append_metadata(path: str | os.PathLike, metadata: Metadata) -> None:
    """Writes the metadata behind the flatbuffer's last byte."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS_ENTRY, json.dumps(metadata.as_dict(), indent=2))


def read_metadata(path: str | os.PathLike) -> Metadata:
    """The metadata in a `.tflite` file.

    Raises:
        UserError: if the file is missing, cut off, no TFLite file, or not ours.
    """
    metadata = stored_metadata(path)
    if metadata is None:
        raise UserError(
            f"{path}: names no classes: damaged, or not written by export.py"
        )
    return metadata


def stored_metadata(path: str | os.PathLike) -> Metadata | None:
    """The metadata in a `.tflite` file, or None if it has none.

    A file that was cut off has none either: the archive lies at the end.

    Raises:
        UserError: if the file is missing or no TFLite file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    with path.open("rb") as file:
        if file.read(8)[4:] != MAGIC:
            raise UserError(f"{path}: not a .tflite file")
    try:
        with zipfile.ZipFile(path) as archive:
            return Metadata.from_dict(json.loads(archive.read(LABELS_ENTRY)))
    except (zipfile.BadZipFile, AttributeError, KeyError, TypeError, ValueError):
        return None


def interpreter(path: str | os.PathLike, threads: int | None = None):
    """A LiteRT interpreter, its tensors not yet allocated.

    Args:
        threads: all of the machine's by default.

    Raises:
        UserError: if LiteRT cannot make sense of the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    # From Python 3.13 on: the cores this process may use, not all of the machine's.
    cores = getattr(os, "process_cpu_count", os.cpu_count)()
    with notices_kept_back(), litert_errors(path):
        return Interpreter(str(path), num_threads=threads or cores)


def resize(loaded, height: int, width: int) -> None:
    """Makes an interpreter of ours ready for images of a size."""
    [source] = loaded.get_input_details()
    channels = source["shape"][-1]
    loaded.resize_tensor_input(source["index"], (1, height, width, channels))
    with notices_kept_back():
        loaded.allocate_tensors()


def multiple_that_runs(path: str | os.PathLike, multiple: int) -> int | None:
    """Of what height and width must be multiples for a file to run at other sizes.

    Tried, since an operator may hold the size that it was exported at, and another may
    need even sizes where there is no pooling left to say so.

    Args:
        multiple: what the network's poolings ask for.

    Returns:
        `multiple`, twice that, or None if neither runs.
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
    """Says in one line that LiteRT does not get along with a file."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: LiteRT cannot run it ({reason})") from None
