"""Describes a `.tflite` file: tensors, operators, memory. It needs no TensorFlow."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.datasets.images import CHANNELS
from segnet_tf.errors import UserError
from segnet_tf.inference.tflite_metadata import (
    Metadata,
    interpreter,
    litert_errors,
    stored_metadata,
)

__all__ = ["describe", "operators", "peak_memory"]

MEANING = {
    "logits": "one score for each class; the largest one names the class",
    "probabilities": "one probability for each class; their sum is 1",
    "labels": "class ids",
}


def describe(path: str | os.PathLike) -> str:
    """The tensors, classes and operators of a file, as lines of text.

    A file of another program has no class names; its description then says what the
    flatbuffer holds.

    Raises:
        UserError: if the file is missing, damaged or no TFLite file.
    """
    metadata = stored_metadata(path)
    loaded = interpreter(path)
    lines = [f"file       {path}, {Path(path).stat().st_size:,} bytes"]
    for details in loaded.get_input_details():
        lines += _tensor_lines("input", details, _input_notes(metadata, details))
    for details in loaded.get_output_details():
        notes = [f"{metadata.output}: {MEANING[metadata.output]}"] if metadata else []
        lines += _tensor_lines("output", details, notes)
    lines += _class_lines(metadata)
    try:
        with notices_kept_back(), litert_errors(path):
            loaded.allocate_tensors()
    except UserError as error:
        lines.append(f"LiteRT     {error}")
    return "\n".join(lines + operator_lines(operators(loaded)))


def _tensor_lines(kind: str, details: dict, notes: list[str]) -> list[str]:
    # A free size is -1 in the signature and 1 in the shape.
    shape = ", ".join(map(str, details["shape_signature"]))
    dtype = np.dtype(details["dtype"]).name
    quantization = "not quantised"
    parameters = details["quantization_parameters"]
    scales, zeros = parameters["scales"], parameters["zero_points"]
    if len(scales) == 1:
        quantization = f"value = {scales[0]:.9g} * (stored - {zeros[0]})"
    elif len(scales):
        quantization = f"{len(scales)} scales, one for each channel"
    lines = [f"{details['name']}: {dtype} ({shape}), {quantization}", *notes]
    return [f"{kind if i == 0 else '':<11}{line}" for i, line in enumerate(lines)]


def _input_notes(metadata: Metadata | None, details: dict) -> list[str]:
    if metadata is None:
        kind = np.dtype(details["dtype"])
        if kind.kind not in "iu":
            return []
        return [f"{np.iinfo(kind).min} to {np.iinfo(kind).max}"]
    if metadata.multiple is None:
        size = "exactly this size"
    else:
        size = f"any height and width that are multiples of {metadata.multiple}, after "
        size += "the input tensor is resized"
    channels = CHANNELS[metadata.info.channels]
    lines = [f"batch, height, width, {channels}; 0 to 255, nothing subtracted", size]
    if metadata.info.image_size:
        trained = "trained on images of {}x{}: scale others to as many pixels"
        lines.append(trained.format(*metadata.info.image_size))
    return lines


def _class_lines(metadata: Metadata | None) -> list[str]:
    if metadata is None:
        return ["classes    none named: not an export of segnet_tf, or damaged"]
    names = [f"{index} {name}" for index, name in enumerate(metadata.info.classes)]
    width = max(map(len, names))
    lines = [
        f"{name:<{width}}  #{red:02x}{green:02x}{blue:02x}"
        for name, (red, green, blue) in zip(names, metadata.info.colours, strict=True)
    ]
    return [f"{'' if i else 'classes':<11}{line}" for i, line in enumerate(lines)]


def operators(loaded) -> dict:
    """Counts the operators of a file, and those that XNNPACK runs.

    Args:
        loaded: a LiteRT interpreter. LiteRT hands operators to XNNPACK when the tensors
            are allocated.

    Returns:
        `operators`: name -> count; `nodes`: all operators; `delegated_nodes`: those
        that XNNPACK runs, in `delegated_pieces` pieces; `not_delegated`: name -> count
        of the others.
    """
    # `_get_ops_details` is private: LiteRT has no public list of operators.
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


def operator_lines(found: dict) -> list[str]:
    """The result of `operators` as two lines of text."""
    names = ", ".join(f"{n} {name}" for name, n in found["operators"].items())
    left = ", ".join(f"{n} {name}" for name, n in found["not_delegated"].items())
    return [
        f"operators  {names}",
        f"XNNPACK    {found['delegated_nodes']} of {found['nodes']} nodes in "
        f"{found['delegated_pieces']} piece(s), without {left or 'none'}",
    ]


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
# On Linux getrusage would give the peak of the parent process, if that is higher.


def peak_memory(path: str | os.PathLike) -> float:
    """Peak MiB of a process that loads a file and runs it once, Python included."""
    probe = [sys.executable, "-c", MEMORY_PROBE, str(path)]
    output = subprocess.run(probe, capture_output=True, text=True, check=True).stdout
    return round(float(output.split()[-1]), 1)
