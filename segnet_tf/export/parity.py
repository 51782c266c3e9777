"""Measures whether an exported file gives what its Keras model gives, and how fast.

Two correct runtimes differ at some pixels: if two values of a pooling window are equal
but for rounding, the runtimes may find the maximum at different places, and a value
ends up one pixel further. So the bound on the difference holds for 99.9 % of the
pixels. The report also has the largest difference of all pixels.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.console.quiet import notices_kept_back
from segnet_tf.datasets.dataset import IGNORE_LABEL, Split
from segnet_tf.datasets.images import grey
from segnet_tf.datasets.registry import load
from segnet_tf.export.describe import operator_lines, operators, peak_memory
from segnet_tf.export.formats import PRECISIONS, Tolerance
from segnet_tf.files import unfinished, write_json
from segnet_tf.inference.labels_json import LABELS_ENTRY
from segnet_tf.inference.runtimes import Runtime
from segnet_tf.inference.tflite_metadata import interpreter, read_metadata
from segnet_tf.inference.tiling import padded
from segnet_tf.metrics.confusion import Scores, confusion_matrix
from segnet_tf.models.clone import one_tensor

__all__ = [
    "accept",
    "fitted",
    "measure",
    "summary",
    "tflite_report",
    "trial_images",
]

RUNS = 15
"""Alternating timings of each runtime; the report has their medians."""


PIXELS_WITHIN = 0.999
"""Share of the pixels that the bound on the difference holds for."""

TRIALS = 8
"""Number of images that outputs are compared on."""


def tflite_report(path: str | os.PathLike) -> dict:
    """The part of a report that describes a `.tflite` file: input, operators, memory.

    Raises:
        UserError: if the file is missing, damaged or not ours.
    """
    metadata = read_metadata(path)
    loaded = interpreter(path)
    with notices_kept_back():
        loaded.allocate_tensors()
    return {
        "input": np.dtype(loaded.get_input_details()[0]["dtype"]).name,
        "size": list(metadata.size),
        "multiple": metadata.multiple,
        **operators(loaded),
        "peak_mib": peak_memory(path),
    }


def measure(
    model: keras.Model,
    runtime: Runtime,
    quantize: str,
    images: list[np.ndarray],
    split: Split | None = None,
    about: dict | None = None,
) -> dict:
    """Compares an exported file with the model it was exported from.

    Args:
        model: the Keras model.
        runtime: the exported file, opened.
        quantize: a key of `segnet_tf.export.formats.PRECISIONS`.
        images: uint8 (H, W, C), all of one size that the file takes; outputs are
            compared on them.
        split: mIoU is compared on it, each image padded or cut to that size.
        about: further entries of the report.

    Returns:
        The report, ready for JSON. `failures` lists each bound that is not kept;
        `passed` is None if nothing could be judged.
    """
    reference = _reference(model)
    report = {
        "model": model.name,
        "quantize": quantize,
        "output": runtime.output,
        **(about or {}),
        **_timings(runtime, reference, images[0]),
        **_agreement(runtime, reference, images),
    }
    if split is not None:
        report["split"] = f"{split.info.name} {split.name}, {len(split)} images"
        size = images[0].shape[:2]
        report["mean_iou"] = _mean_ious(runtime, reference, size, split)
    return {**report, **_verdict(report, PRECISIONS[quantize].bound)}


def trial_images(
    size: tuple[int, int],
    split: Split | None,
    others: list[np.ndarray],
    channels: int = 3,
) -> list[np.ndarray]:
    """Up to `TRIALS` images to compare outputs on, uint8 (height, width, channels).

    They come from the split, if there is one, or from `others`, or are generated.

    Args:
        size: height and width; images are padded or cut to it.
        split: a data set, if there is one.
        others: uint8 (H, W, C).
        channels: 1, 3 or 4. A missing fourth channel is filled with the brightness.
    """
    if split is None and others:
        found = others[:: max(1, len(others) // TRIALS)][:TRIALS]
    else:
        split = split or load("synthetic", "val", channels=min(channels, 3))
        indices = range(0, len(split), max(1, len(split) // TRIALS))
        found = [split.read(index)[0] for index in indices[:TRIALS]]
    if found[0].shape[-1] < channels:
        found = [np.concatenate([image, grey(image)], axis=-1) for image in found]
    return [fitted(image, size) for image in found]


def accept(
    path: str | os.PathLike, write: Callable[[Path], object], check: Callable
) -> dict:
    """Writes a file and judges it. It is named `path`, or `<path>.rejected`.

    Args:
        path: the file, or the folder of a SavedModel.
        write: writes to a path, and perhaps labels.json beside it.
        check: path -> report, as `measure` makes it.

    Returns:
        The report. It is also written beside the file, as `<name>.json`.
    """
    path = Path(path)
    rejected = path.with_name(f"{path.name}.rejected")
    with unfinished(path) as folder:
        candidate = folder / path.name
        write(candidate)
        report = check(candidate)
        failed = report["passed"] is False
        name = rejected if failed else path
        if rejected.is_dir():
            shutil.rmtree(rejected)
        os.replace(candidate, name)
        labels = folder / LABELS_ENTRY
        if labels.is_file() and not failed:
            os.replace(labels, path.with_name(LABELS_ENTRY))
    write_json(name.with_name(f"{name.name}.json"), report)
    return report


def fitted(
    image: np.ndarray, size: tuple[int, int], fill: int | None = None
) -> np.ndarray:
    """An image (H, W, ...), cut or padded at the bottom and right to a size.

    Args:
        image: of any dtype.
        size: height and width.
        fill: the value of the padding; None: the image is mirrored.
    """
    cut = image[: size[0], : size[1]]
    grown = padded(cut, *size)
    if fill is not None:
        grown = grown.copy()
        grown[cut.shape[0] :] = grown[:, cut.shape[1] :] = fill
    return grown


def _reference(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    single = one_tensor(model)

    @tf.function(reduce_retracing=True)
    def logits(image):
        return single(image, training=False)

    return lambda image: logits(tf.constant(image[None], tf.float32)).numpy()[0]


def _timings(runtime: Runtime, reference, image: np.ndarray) -> dict:
    """Milliseconds per image of both runtimes, in turns, after two warm-ups."""
    runs = {"ms": runtime.run, "keras_ms": reference}
    times = {name: [] for name in runs}
    for turn in range(-2, RUNS):
        for name, run in runs.items():
            started = time.perf_counter()
            run(image)
            if turn >= 0:
                times[name].append(1000 * (time.perf_counter() - started))
    medians = {name: round(float(np.median(t)), 1) for name, t in times.items()}
    return {
        **medians,
        "speedup": round(medians["keras_ms"] / medians["ms"], 2),
        "runs": RUNS,
        "threads": os.cpu_count(),
    }


def _agreement(runtime: Runtime, reference, images: list[np.ndarray]) -> dict:
    """Differences of the outputs, over all images together."""
    differences, same, low, high = [], 0.0, np.inf, -np.inf
    for image in images:
        expected, output = reference(image), runtime.run(image)
        labels = expected.argmax(axis=-1)
        same += (_labels(runtime, output) == labels).mean() / len(images)
        if runtime.output == "labels":
            continue
        if runtime.output == "probabilities":
            expected = tf.nn.softmax(expected).numpy()
        low, high = min(low, expected.min()), max(high, expected.max())
        differences.append(np.abs(output - expected).max(axis=-1))
    result = {"images": len(images), "label_agreement": float(same)}
    if differences:
        pooled = np.stack(differences) / (high - low)
        result["largest_difference"] = float(pooled.max())
        result["typical_difference"] = float(np.quantile(pooled, PIXELS_WITHIN))
        result["output_range"] = [float(low), float(high)]
    return result


def _labels(runtime: Runtime, output: np.ndarray) -> np.ndarray:
    return output if runtime.output == "labels" else output.argmax(axis=-1)


def _mean_ious(runtime: Runtime, reference, size, split: Split) -> dict:
    """mIoU of both runtimes on the same pixels of a split."""
    classes = split.info.num_classes
    confusion = {name: np.zeros((classes,) * 2, np.int64) for name in ("keras", "file")}
    for image, labels in split:
        labels = fitted(labels, size, IGNORE_LABEL)
        image = fitted(image, size)
        predictions = {
            "keras": reference(image).argmax(axis=-1),
            "file": _labels(runtime, runtime.run(image)),
        }
        for name, predicted in predictions.items():
            confusion[name] += confusion_matrix(
                labels, predicted, classes, IGNORE_LABEL
            )
    return {name: Scores.from_confusion(c).mean_iou for name, c in confusion.items()}


def _verdict(report: dict, bound: Tolerance) -> dict:
    """The bounds that the report breaks; `passed` is None if none could be judged."""
    judged, failures = False, []
    if bound.difference is not None and "typical_difference" in report:
        judged, value = True, report["typical_difference"]
        if not value <= bound.difference:
            failures.append(
                f"{PIXELS_WITHIN:.1%} of the pixels differ by up to {value:.2g} of the "
                f"output's range; {bound.difference:.2g} is allowed"
            )
    if bound.labels is not None:
        judged, value = True, report["label_agreement"]
        if not value >= bound.labels:
            failures.append(
                f"{value:.4%} of the labels agree; {bound.labels:.2%} are required"
            )
    if bound.mean_iou is not None and "mean_iou" in report:
        judged, scores = True, report["mean_iou"]
        if not scores["keras"] - scores["file"] <= bound.mean_iou:
            failures.append(
                f"mIoU falls from {scores['keras']:.2%} to {scores['file']:.2%}; "
                f"{100 * bound.mean_iou:g} points are allowed"
            )
    return {"passed": not failures if judged else None, "failures": failures}


def summary(report: dict) -> str:
    """The report as lines of text."""
    lines = []
    if "operators" in report:
        lines += operator_lines(report)
        lines.append(f"memory     {report['peak_mib']:.0f} MiB at most")
    lines += [
        f"time       {report['ms']:.0f} ms, Keras {report['keras_ms']:.0f} ms: "
        f"{report['speedup']:.2f} times as fast (medians of {report['runs']}, "
        f"{report['threads']} threads)",
        f"labels     {report['label_agreement']:.4%} agree, {report['images']} images",
    ]
    if "largest_difference" in report:
        lines.append(
            f"difference {report['largest_difference']:.2g} of the output's range, "
            f"{report['typical_difference']:.2g} for {PIXELS_WITHIN:.1%} of the pixels"
        )
    if "mean_iou" in report:
        scores = report["mean_iou"]
        lines.append(
            f"mIoU       {scores['file']:.2%}, Keras {scores['keras']:.2%} "
            f"({report['split']})"
        )
    verdict = {True: "passed", False: "FAILED", None: "not judged: needs --dataset"}
    lines.append(f"parity     {verdict[report['passed']]}")
    return "\n".join(lines + [f"           {text}" for text in report["failures"]])
