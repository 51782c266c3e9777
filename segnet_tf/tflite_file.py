"""What a `.tflite` file of ours says about itself, read without TensorFlow.

A `.tflite` file may carry a zip archive behind its last byte; runtimes do not look
there. Ours has the entry `labels.json`, the same as a `.keras` file's (see
`segnet_tf.saving`) with three more keys:

    output     "logits", "probabilities" or "labels"
    size       [height, width] the file was exported for
    multiple   any multiple of this will do as height and as width,
               or null where only `size` will

Beside the file lies another labels.json, with the classes alone.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from segnet_tf.datasets.split import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.saving import LABELS_ENTRY

__all__ = [
    "OUTPUTS",
    "Facts",
    "append_facts",
    "describe",
    "interpreter",
    "operators",
    "peak_memory",
    "read_facts",
]

OUTPUTS = ("logits", "probabilities", "labels")

MAGIC = b"TFL3"
"""At byte 4 of every TFLite flatbuffer."""


@dataclass(frozen=True)
class Facts:
    """What the tensors of a `.tflite` file mean.

    Attributes:
        info: class names, colours and void id.
        output: one of `OUTPUTS`.
        size: height and width the file was exported for.
        multiple: what height and width must be multiples of; None: `size` only.
    """

    info: DatasetInfo
    output: str
    size: tuple[int, int]
    multiple: int | None

    def check_size(self, height: int, width: int) -> None:
        """Refuses a size for which LiteRT would compute something, but not this.

        Raises:
            UserError: naming what is allowed.
        """
        if (height, width) == self.size:
            return
        if self.multiple is None:
            allowed = "takes {}x{} (height x width) only".format(*self.size)
            raise UserError(f"{height}x{width}: this file {allowed}")
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
        }


def append_facts(path: str | os.PathLike, facts: Facts) -> None:
    """Writes the facts behind the flatbuffer's last byte."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS_ENTRY, json.dumps(facts.as_dict(), indent=2))


def read_facts(path: str | os.PathLike) -> Facts:
    """The facts in a `.tflite` file.

    Raises:
        UserError: where the file is missing, cut off, no TFLite file, or not ours.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    with path.open("rb") as file:
        if file.read(8)[4:] != MAGIC:
            raise UserError(f"{path}: not a .tflite file")
    # A file that was cut off has lost the archive first: it lies at the end.
    foreign = UserError(
        f"{path}: names no classes: damaged, or not written by export.py"
    )
    if not zipfile.is_zipfile(path):
        raise foreign
    try:
        with zipfile.ZipFile(path) as archive:
            return _parsed(json.loads(archive.read(LABELS_ENTRY)))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError):
        raise foreign from None


def _parsed(labels: dict) -> Facts:
    info = DatasetInfo(
        name=labels["name"],
        classes=tuple(labels["classes"]),
        colours=tuple(tuple(colour) for colour in labels["colours"]),
        ignore_label=labels["ignore_label"],
    )
    return Facts(info, labels["output"], tuple(labels["size"]), labels["multiple"])


def interpreter(path: str | os.PathLike, threads: int | None = None):
    """A LiteRT interpreter with its tensors allocated.

    Args:
        threads: all of the machine's by default.

    Raises:
        UserError: where LiteRT cannot make sense of the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        loaded = Interpreter(str(path), num_threads=threads or os.cpu_count())
        loaded.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: LiteRT cannot load it ({reason})") from None
    return loaded


def describe(path: str | os.PathLike) -> str:
    """The exact tensors of a file of ours, as lines for whoever has to feed it."""
    facts = read_facts(path)
    loaded = interpreter(path)
    sizes = (
        "exactly this size"
        if facts.multiple is None
        else f"any height and width that are multiples of {facts.multiple}, "
        "after resizing the input tensor"
    )
    meaning = {
        "logits": "one score a class; the largest one names the class",
        "probabilities": "one probability a class, their sum is 1",
        "labels": "class ids",
    }[facts.output]
    classes = ", ".join(f"{i} {name}" for i, name in enumerate(facts.info.classes))
    return "\n".join(
        [
            f"file     {path}, {Path(path).stat().st_size:,} bytes",
            f"input    {_tensor(loaded.get_input_details()[0])}",
            "         batch, height, width, RGB; 0 to 255, nothing subtracted",
            f"         {sizes}",
            f"output   {_tensor(loaded.get_output_details()[0])}",
            f"         {facts.output}: {meaning}",
            f"classes  {classes}",
        ]
    )


def _tensor(details: dict) -> str:
    shape = ", ".join(map(str, details["shape"]))
    text = f"{details['name']}: {details['dtype'].__name__} ({shape})"
    scale, zero = details["quantization"]
    return text if scale == 0 else f"{text}, value = {scale:.9g} * (q - {zero})"


def operators(loaded) -> dict:
    """Operators by name, and how many of them XNNPACK runs, in how many pieces."""
    # LiteRT has no public list of a model's operators.
    details = loaded._get_ops_details()
    pieces = [op for op in details if op["op_name"] == "DELEGATE"]
    nodes = [op for op in details if op["op_name"] != "DELEGATE"]
    maker = {output: op for op in nodes for output in op["outputs"]}
    delegated, inside = set(), set()
    for piece in pieces:
        outside = set(piece["inputs"])
        wanted = list(piece["outputs"])
        while wanted:
            tensor = wanted.pop()
            if tensor in outside or tensor in inside or tensor not in maker:
                continue
            inside.add(tensor)
            delegated.add(maker[tensor]["index"])
            wanted.extend(maker[tensor]["inputs"])
    left = Counter(op["op_name"] for op in nodes if op["index"] not in delegated)
    return {
        "operators": dict(Counter(op["op_name"] for op in nodes).most_common()),
        "nodes": len(nodes),
        "delegated_nodes": len(delegated),
        "delegated_pieces": len(pieces),
        "not_delegated": dict(left),
    }


MEMORY_PROBE = """
import pathlib, re, resource, sys
from ai_edge_litert.interpreter import Interpreter
loaded = Interpreter(sys.argv[1])
loaded.allocate_tensors()
loaded.invoke()
status = pathlib.Path("/proc/self/status")
if status.exists():
    print(int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
# Linux hands the peak that getrusage knows of from a parent down to its child.


def peak_memory(path: str | os.PathLike) -> float:
    """MiB of a process that only loads the file and runs it once, Python included."""
    probe = [sys.executable, "-c", MEMORY_PROBE, str(path)]
    output = subprocess.run(probe, capture_output=True, text=True, check=True).stdout
    return round(float(output.split()[-1]), 1)
