"""TFLite: one file of builtin operators, for phones, browsers and servers."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.export.contract import checked, head
from segnet_tf.export.converter import converted
from segnet_tf.export.mediapipe import append_class_names, with_mediapipe_metadata
from segnet_tf.export.quantization import check_calibration, sum_limits
from segnet_tf.export.xnnpack import xnnpack_model
from segnet_tf.files import replacing, write_json
from segnet_tf.inference.labels_json import (
    LABELS_ENTRY,
    MOST_BYTES,
    dataset_info,
    parsed,
)
from segnet_tf.inference.receptive_field import receptive_field, size_multiple
from segnet_tf.inference.tflite_metadata import (
    Metadata,
    append_metadata,
    multiple_that_runs,
)

__all__ = ["export_tflite"]


def export_tflite(
    model: keras.Model,
    path: str | os.PathLike,
    info: DatasetInfo,
    size: tuple[int, int],
    quantize: str = "none",
    result: str = "logits",
    input: str = "uint8",
    calibration: Sequence[np.ndarray] = (),
    consumer: str | None = None,
) -> Metadata:
    """Writes a `.tflite` file of builtin operators only.

    Args:
        model: logits (B, H, W, classes) from float32 (B, H, W, C) in [0, 255].
        path: the file; it is replaced in one step.
        info: the classes that the model predicts.
        size: height and width of the input tensor.
        quantize: a key of `segnet_tf.export.formats.PRECISIONS`.
        result: "logits" or "probabilities", float32 (1, H, W, classes), or "labels",
            uint8 (1, H, W).
        input: dtype of the images, "uint8" or "float32"; both go from 0 to 255.
        calibration: images, uint8 (height, width, C), for int8.
        consumer: a key of `segnet_tf.export.formats.CONSUMERS` that the file is made
            for; None: none in particular.

    Returns:
        The metadata that is stored in the file.

    Raises:
        UserError: if the model, the size or the calibration does not fit, or if the
            consumer's package is missing.
    """
    info = checked(model, info, size)
    beside = Path(path).with_name(LABELS_ENTRY)
    _refuse_anothers_file(beside)
    check_calibration(quantize, len(calibration))
    multiple = size_multiple(model)
    fits = size[0] % multiple == 0 and size[1] % multiple == 0
    if quantize == "int8":
        limits = sum_limits(model, (image.astype(np.float32) for image in calibration))
        twin = xnnpack_model(model, *size, integer=True, limits=limits)
    else:
        # Winograd's kernels are faster but larger; the other precisions save bytes.
        # Graphics processors have lists of operators of their own.
        gpu = consumer == "gpu"
        winograd = quantize == "none" and not gpu
        twin = xnnpack_model(model, *size, winograd=winograd, floor=gpu)
    # The quantiser gives an int8 file its uint8 input.
    dtype = "float32" if quantize == "int8" else input
    image = tf.TensorSpec((1, *size, model.input_shape[-1]), dtype, name="image")

    @tf.function(input_signature=[image])
    def serve(image):
        logits = twin(tf.cast(image, tf.float32), training=False)
        return {result: head(logits, result)}

    flat = converted(serve, twin, quantize, input, calibration)
    if consumer == "mediapipe":
        flat = with_mediapipe_metadata(flat, info)
    with replacing(path) as temporary:
        temporary.write_bytes(flat)
        multiple = multiple_that_runs(temporary, multiple) if fits else None
        metadata = Metadata(info, result, size, multiple, receptive_field(model))
        append_metadata(temporary, metadata)
        if consumer == "mediapipe":
            append_class_names(temporary, info)
    write_json(beside, asdict(info))
    return metadata


def _refuse_anothers_file(labels: Path) -> None:
    """Raises UserError if a labels.json is there that no export wrote."""
    if not labels.exists():
        return
    try:
        with labels.open("rb") as file:
            dataset_info(parsed(file.read(MOST_BYTES + 1)))
    except (OSError, ValueError):
        raise UserError(
            f"{labels}: would be overwritten, and is not of an export: choose another "
            "folder with --output"
        ) from None
