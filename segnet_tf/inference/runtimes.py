"""Opens a model file of any form with its own runtime, ready to run on an image.

The runtime is imported when a file of its form is opened, so that a `.tflite` file
needs only LiteRT and NumPy.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from segnet_tf.console.quiet import import_tensorflow
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.inference import labels_json
from segnet_tf.inference.labels_json import LABELS_ENTRY
from segnet_tf.inference.model_file import load_model, read_labels
from segnet_tf.inference.tflite_metadata import (
    checked_tensors,
    interpreter,
    litert_errors,
    read_metadata,
    resize,
)
from segnet_tf.inference.tiling import ReceptiveField

__all__ = [
    "OPENERS",
    "Runtime",
    "open_keras",
    "open_onnx",
    "open_runtime",
    "open_savedmodel",
    "open_tflite",
]

MOST_THREADS = 1024
"""With more threads, runtimes fail without a clear message."""


@dataclass(frozen=True)
class Runtime:
    """A model file, ready to run.

    Attributes:
        run: image uint8 (H, W, info.channels) -> float32 (H, W, classes), or labels
            uint8 (H, W).
        output: what `run` gives: "logits", "probabilities" or "labels".
        info: the classes that it predicts.
        multiple: the image's height and width must be multiples of it.
        receptive_field: tells how tiles of a large image must overlap; None: it is not
            known, and images run whole.
        model: the keras.Model of a `.keras` file; None for other forms.
        release: lets go of the memory that the last image took, if it can; `run` takes
            it again.
    """

    run: Callable[[np.ndarray], np.ndarray]
    output: str
    info: DatasetInfo
    multiple: int = 1
    receptive_field: ReceptiveField | None = None
    model: object = None
    release: Callable[[], None] = lambda: None


def open_tflite(path: Path, threads: int | None = None) -> Runtime:
    """Opens a `.tflite` file with LiteRT.

    Raises:
        UserError: if it is damaged or not ours. `run` raises it if the file does not
            take the size of the image.
    """
    metadata = read_metadata(path)
    # Kept, since the file may be another one when it is opened again.
    content = path.read_bytes()
    loaded = interpreter(path, threads, content)
    source, target = checked_tensors(path, metadata, loaded)
    ready = None
    # An interpreter holds one image.
    lock = Lock()

    def run(image):
        nonlocal loaded, ready
        # Images of the size before need no check and no allocation.
        if image.shape != ready:
            metadata.check_size(*image.shape[:2])
        with lock, litert_errors(path):
            if loaded is None:
                loaded = interpreter(path, threads, content)
            if image.shape != ready:
                resize(loaded, *image.shape[:2])
                ready = image.shape
            loaded.set_tensor(source["index"], image[None].astype(source["dtype"]))
            loaded.invoke()
            return loaded.get_tensor(target["index"])[0]

    def release() -> None:
        nonlocal loaded, ready
        # LiteRT keeps the memory of the largest image as long as there is one.
        with lock:
            loaded = ready = None

    field = None if metadata.multiple is None else metadata.receptive_field
    output, info, multiple = metadata.output, metadata.info, metadata.multiple or 1
    return Runtime(run, output, info, multiple, field, release=release)


def open_keras(path: Path, threads: int | None = None) -> Runtime:
    """Opens a `.keras` file with Keras and TensorFlow.

    Raises:
        UserError: if it cannot be loaded or does not name its classes.
    """
    info = read_labels(path)
    if info is None:
        raise UserError(
            f"{path}: does not name its classes: write it with segnet_tf.save_model"
        )
    tf = _tensorflow(threads)
    from segnet_tf.inference.receptive_field import receptive_field

    model = load_model(path)
    if tuple(model.output_shape[3:]) != (info.num_classes,):
        raise UserError(
            f"{path}: damaged: it names {info.num_classes} classes, but gives "
            f"{model.output_shape}"
        )

    # Without a graph, Keras would keep the outputs of all layers until the end.
    @tf.function(reduce_retracing=True)
    def logits(image):
        return model(tf.cast(image, tf.float32), training=False)

    def run(image):
        _check_process()
        return logits(tf.constant(image[None])).numpy()[0]

    return Runtime(
        run, "logits", info, receptive_field=receptive_field(model), model=model
    )


def open_savedmodel(path: Path, threads: int | None = None) -> Runtime:
    """Opens the folder of a SavedModel with TensorFlow.

    A SavedModel can hold any operation, such as one that reads or writes files, and
    runs it. A warning says so once.

    Raises:
        UserError: if it cannot be loaded or does not name its classes.
    """
    labels = path / "assets.extra" / LABELS_ENTRY
    if not labels.is_file():
        raise UserError(f"{path}: names no classes: not an export of segnet_tf")
    with labels.open("rb") as file:
        stored = file.read(labels_json.MOST_BYTES + 1)
    warnings.warn(
        "a SavedModel runs whatever is in it: open only those that you trust",
        stacklevel=2,
    )
    tf = _tensorflow(threads)
    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
        dtype = serve.structured_input_signature[1]["image"].dtype
        shape = serve.structured_outputs["probabilities"].shape
        if len(shape) != 4:
            raise ValueError(f"probabilities {shape}, expected four dimensions")
    except (
        AttributeError,
        IndexError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
        tf.errors.OpError,
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{path}: no SavedModel that can be loaded ({reason})"
        ) from None

    def run(image):
        _check_process()
        # This use keeps the model alive: a signature's function does not.
        assert loaded is not None
        return serve(image=tf.constant(image[None], dtype))["probabilities"].numpy()[0]

    return _of_any_size(run, "probabilities", stored, path)


def _of_any_size(
    run: Callable, output: str, stored: str | bytes, path: Path
) -> Runtime:
    """A runtime with the classes and receptive field that the file stores as JSON."""
    try:
        labels = labels_json.parsed(stored)
        return Runtime(
            run,
            output,
            labels_json.dataset_info(labels),
            receptive_field=labels_json.receptive_field(labels),
        )
    except ValueError as error:
        raise UserError(f"{path}: its {LABELS_ENTRY} is damaged ({error})") from None


def open_onnx(path: Path, threads: int | None = None) -> Runtime:
    """Opens an `.onnx` file with onnxruntime.

    Raises:
        UserError: if onnxruntime is missing, or if the file cannot be loaded or names
            no classes.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "running an ONNX file needs onnxruntime: pip install onnxruntime"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(str(path), options)
    except Exception as error:  # onnxruntime documents no exception types
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: onnxruntime cannot load it ({reason})") from None
    source = session.get_inputs()[0].name
    labels = session.get_modelmeta().custom_metadata_map.get("labels")
    if labels is None:
        raise UserError(f"{path}: names no classes: not an export of segnet_tf")

    def run(image):
        return session.run(None, {source: image[None].astype(np.float32)})[0][0]

    return _of_any_size(run, "logits", labels, path)


OPENERS = {
    "tflite": open_tflite,
    "keras": open_keras,
    "savedmodel": open_savedmodel,
    "onnx": open_onnx,
}
"""Form -> the function that opens it; but for SavedModel, the form is the suffix."""


def open_runtime(
    path: str | os.PathLike, threads: int | None = None, form: str | None = None
) -> Runtime:
    """Opens a `.tflite`, `.keras` or `.onnx` file, or the folder of a SavedModel.

    Args:
        path: the file or folder.
        threads: CPU threads; None: all cores. TensorFlow accepts a number only before
            its first computation.
        form: a key of `OPENERS`; None: the name says it.

    Raises:
        UserError: if there is no such model, if it is damaged or does not name its
            classes, or if the number of threads is out of range.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UserError(f"{threads} threads: must be 1 to {MOST_THREADS}")
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such model")
    form = form or ("savedmodel" if path.is_dir() else path.suffix[1:])
    if form not in OPENERS:
        raise UserError(
            f"{path}: no model that can be run: name a .tflite, .keras or .onnx file, "
            "or the folder of a SavedModel"
        )
    return OPENERS[form](path, threads)


_process: int | None = None
"""The process in which TensorFlow began to compute."""


def _check_process() -> None:
    """Raises UserError in a process that was forked since: it would wait for ever."""
    if _process not in (None, os.getpid()):
        raise UserError(
            "TensorFlow does not compute in a forked process: start workers with "
            "multiprocessing.get_context('spawn'), or take a .tflite file"
        )


def _tensorflow(threads: int | None):
    """TensorFlow, imported quietly and set to compute on so many threads."""
    global _process
    tf = import_tensorflow()
    _process = _process or os.getpid()
    _check_process()
    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:
            raise UserError(
                f"{threads} threads: TensorFlow has already begun to compute: give the "
                "number earlier"
            ) from None
    return tf
