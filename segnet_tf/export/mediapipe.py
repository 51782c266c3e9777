"""The metadata that MediaPipe's ImageSegmenter reads.

MediaPipe scales an image to the size of the file's input, runs it, applies the
activation that the metadata names, and scales the scores back. The metadata stands in
the flatbuffer, and the names of the classes in the archive behind it.

MediaPipe's own writer needs a module that its package on PyPI does not have (1.2), so
that only the schema comes from there.
"""

import os
import zipfile

import numpy as np
from tensorflow.lite.python import schema_py_generated as tflite
from tensorflow.lite.tools import flatbuffer_utils

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError

__all__ = ["append_class_names", "with_mediapipe_metadata"]

NAMES = "labels.txt"
"""The entry of the archive that MediaPipe takes the classes' names from."""


def with_mediapipe_metadata(flat: bytes, info: DatasetInfo) -> bytes:
    """A flatbuffer with the metadata of an image segmenter.

    It says that pixels enter as 0 to 255, that the scores need a softmax, and which
    file names the classes.

    Args:
        flat: a flatbuffer whose output is logits (1, H, W, classes).
        info: the classes.

    Raises:
        UserError: if mediapipe is not installed, or if images are not RGB.
    """
    if info.channels != 3:
        raise UserError(
            f"--for mediapipe: gives RGB images, but the model takes {info.channels} "
            "channels"
        )
    file = flatbuffer_utils.convert_bytearray_to_object(bytearray(flat))
    buffer, entry = tflite.BufferT(), tflite.MetadataT()
    buffer.data = np.frombuffer(_metadata(info), np.uint8)
    entry.name, entry.buffer = "TFLITE_METADATA", len(file.buffers)
    file.buffers.append(buffer)
    file.metadata = [*(file.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(file))


def append_class_names(path: str | os.PathLike, info: DatasetInfo) -> None:
    """Adds the names of the classes to the archive behind the flatbuffer."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(NAMES, "\n".join(info.classes))


def _metadata(info: DatasetInfo) -> bytes:
    try:
        from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "mediapipe":
            raise
        raise UserError(
            "--for mediapipe: needs its schema: pip install mediapipe"
        ) from None
    image, scores = schema.TensorMetadataT(), schema.TensorMetadataT()
    image.name, scores.name = "image", "scores"
    image.content = _content(schema, schema.ColorSpaceType.RGB)
    unit = schema.ProcessUnitT()
    unit.optionsType = schema.ProcessUnitOptions.NormalizationOptions
    unit.options = schema.NormalizationOptionsT()
    unit.options.mean, unit.options.std = [0.0], [1.0]
    image.processUnits = [unit]
    scores.content = _content(schema, schema.ColorSpaceType.GRAYSCALE)
    scores.content.range = schema.ValueRangeT()
    scores.content.range.min, scores.content.range.max = 1, 2
    names = schema.AssociatedFileT()
    names.name, names.type = NAMES, schema.AssociatedFileType.TENSOR_AXIS_LABELS
    scores.associatedFiles = [names]
    graph, model = schema.SubGraphMetadataT(), schema.ModelMetadataT()
    graph.inputTensorMetadata, graph.outputTensorMetadata = [image], [scores]
    graph.customMetadata = [_softmax(schema)]
    model.name, model.subgraphMetadata = "ImageSegmenter", [graph]
    model.minParserVersion = "1.0.0"
    return _packed(model, b"M001")


def _content(schema, colours):
    content = schema.ContentT()
    content.contentPropertiesType = schema.ContentProperties.ImageProperties
    content.contentProperties = schema.ImagePropertiesT()
    content.contentProperties.colorSpace = colours
    return content


def _softmax(schema):
    from mediapipe.tasks.metadata import (
        image_segmenter_metadata_schema_py_generated as segmenter,
    )

    options, custom = segmenter.ImageSegmenterOptionsT(), schema.CustomMetadataT()
    options.activation = segmenter.Activation.SOFTMAX
    custom.name = "SEGMENTER_METADATA"
    custom.data = np.frombuffer(_packed(options, b"V001"), np.uint8)
    return custom


def _packed(table, identifier: bytes) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(0)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())
