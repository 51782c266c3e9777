"""The export formats and precisions: one light record for each.

`export.py` takes its choices and their help from here. For a format of your own, add a
function that writes it, a function that opens it and a record in `FORMATS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segnet_tf.console.quiet import imported

__all__ = ["CONSUMERS", "FORMATS", "PRECISIONS", "Format", "Precision", "Tolerance"]


@dataclass(frozen=True)
class Format:
    """A format that models are exported to.

    Attributes:
        help: its purpose, in a few words.
        write: "module:function" that writes it: (model, path, info) and, by name, the
            options in `takes`. It is imported when it is needed.
        open: "module:function" that opens the export, to compare it with its model:
            (path, threads) -> a `segnet_tf.inference.runtimes.Runtime`.
        suffix: the suffix of the file; "" if it is a folder.
        takes: the options of `export.py` that this format has.
    """

    help: str
    write: str
    open: str
    suffix: str
    takes: tuple[str, ...] = ()

    def writer(self) -> Callable[..., Any]:
        """The function that writes an export."""
        return imported(self.write)

    def opener(self) -> Callable[..., Any]:
        """The function that opens an export."""
        return imported(self.open)


FORMATS = {
    "tflite": Format(
        help="for phones, browsers and servers, in builtin operators",
        write="segnet_tf.export.tflite:export_tflite",
        open="segnet_tf.inference.runtimes:open_tflite",
        suffix=".tflite",
        takes=("size", "quantize", "result", "input", "calibration", "consumer"),
    ),
    "savedmodel": Format(
        help="for TensorFlow Serving and its like",
        write="segnet_tf.export.savedmodel:export_savedmodel",
        open="segnet_tf.inference.runtimes:open_savedmodel",
        suffix="",
        takes=("input",),
    ),
    "onnx": Format(
        help="for onnxruntime and its like",
        write="segnet_tf.export.onnx:export_onnx",
        open="segnet_tf.inference.runtimes:open_onnx",
        suffix=".onnx",
    ),
}


@dataclass(frozen=True)
class Tolerance:
    """How much an export may differ from its Keras model. None: not judged.

    Attributes:
        difference: the largest difference that 99.9 % of the pixels may have, as a
            share of the output's range.
        labels: the least share of equal labels.
        mean_iou: the largest loss of mIoU; 0.01 is one point.
    """

    difference: float | None = None
    labels: float | None = None
    mean_iou: float | None = None


@dataclass(frozen=True)
class Precision:
    """The numbers that a `.tflite` file stores and computes with.

    Attributes:
        help: what it is, in a few words.
        bound: how much the file may differ from its model.
    """

    help: str
    bound: Tolerance


PRECISIONS = {
    "none": Precision("float32", Tolerance(difference=1e-3, labels=0.9999)),
    "float16": Precision("large constants in float16", Tolerance(labels=0.999)),
    "dynamic": Precision("8-bit weights, float sums", Tolerance(mean_iou=0.01)),
    "int8": Precision("8-bit arithmetic", Tolerance(mean_iou=0.01)),
}
"""Name of `--quantize` -> precision."""

CONSUMERS = {
    "mediapipe": "MediaPipe's ImageSegmenter, whose metadata the file gets as well",
    "gpu": "graphics processors, whose older lists of operators lack CEIL",
}
"""Name of `--for` -> who reads the file."""
