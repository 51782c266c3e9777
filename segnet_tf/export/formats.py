"""The export formats and precisions by name: one light record each.

`export.py` takes its choices, and their help, from here. A format of your own is a
function that writes it and a record in `FORMATS`; both can stand in this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["FORMATS", "PRECISIONS", "Bound", "Format", "Precision"]


@dataclass(frozen=True)
class Format:
    """How a model leaves.

    Attributes:
        help: what it is for, in a few words.
        write: "module:function" that writes it: (model, path, info) and, by name, what
            `takes` lists. Imported when it is needed.
        open: "module:function" that opens what was written, to compare it with its
            model: (path, threads) to a `segnet_tf.inference.runtimes.Runtime`.
        suffix: of the file; "" if it is a folder.
        takes: options of `export.py` that have a meaning here.
    """

    help: str
    write: str
    open: str
    suffix: str
    takes: tuple[str, ...] = ()

    def writer(self) -> Callable[..., Any]:
        """The function that writes it."""
        return _imported(self.write)

    def opener(self) -> Callable[..., Any]:
        """The function that opens what was written."""
        return _imported(self.open)


def _imported(path: str) -> Callable[..., Any]:
    module, name = path.split(":")
    return getattr(import_module(module), name)


FORMATS = {
    "tflite": Format(
        help="for phones, browsers and servers, in builtin operators",
        write="segnet_tf.export.tflite:export_tflite",
        open="segnet_tf.inference.runtimes:open_tflite",
        suffix=".tflite",
        takes=("size", "quantize", "result", "input", "calibration"),
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
class Bound:
    """What a form must keep of its Keras model; None is not asked for.

    Attributes:
        difference: largest difference of 99.9 % of the pixels, of the output's range.
        labels: least share of equal labels.
        mean_iou: largest loss of mIoU; 0.01 is one point.
    """

    difference: float | None = None
    labels: float | None = None
    mean_iou: float | None = None


@dataclass(frozen=True)
class Precision:
    """In what numbers a .tflite file computes.

    Attributes:
        help: what it is, in a few words.
        bound: what the file must keep.
    """

    help: str
    bound: Bound


PRECISIONS = {
    "none": Precision("float32", Bound(difference=1e-3, labels=0.9999)),
    "float16": Precision("large constants halved", Bound(labels=0.999)),
    "dynamic": Precision("8-bit weights, float sums", Bound(mean_iou=0.01)),
    "int8": Precision("8-bit arithmetic", Bound(mean_iou=0.01)),
}
"""By what `--quantize` calls them."""
