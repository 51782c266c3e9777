"""A model in any of its file forms, ready to run on an image.

Each form's runtime is imported when a file of that form is opened: a `.tflite` file
needs LiteRT and NumPy alone.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segnet_tf.datasets.split import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.quiet import import_tensorflow
from segnet_tf.saving import LABELS_ENTRY, load_model, read_labels
from segnet_tf.tflite_file import interpreter, litert_errors, read_facts, resize
from segnet_tf.tiling import Footprint

__all__ = ["Program", "open_program"]

MOST_THREADS = 1024
"""Beyond, runtimes fail in ways of their own."""


@dataclass(frozen=True)
class Program:
    """A model file, ready to run.

    Attributes:
        run: uint8 (H, W, info.channels) -> float32 (H, W, classes), or uint8 (H, W) of
            labels.
        output: which it is: "logits", "probabilities" or "labels".
        info: the classes it predicts.
        multiple: what the image's height and width must be multiples of.
        footprint: how tiles of a large image must overlap; None: run it whole.
        model: the keras.Model that a `.keras` file holds; None: another form.
    """

    run: Callable[[np.ndarray], np.ndarray]
    output: str
    info: DatasetInfo
    multiple: int = 1
    footprint: Footprint | None = None
    model: object = None


def _tflite(path: Path, threads: int | None) -> Program:
    facts = read_facts(path)
    loaded = interpreter(path, threads)
    [source], [target] = loaded.get_input_details(), loaded.get_output_details()
    depth = target["shape"][-1]
    if facts.output != "labels" and depth != facts.info.num_classes:
        raise UserError(
            f"{path}: damaged: it names {facts.info.num_classes} classes, "
            f"and gives {depth}"
        )
    ready = None

    def run(image):
        nonlocal ready
        # The size costs nothing where it is the one before.
        if image.shape != ready:
            facts.check_size(*image.shape[:2])
        with litert_errors(path):
            if image.shape != ready:
                resize(loaded, *image.shape[:2])
                ready = image.shape
            loaded.set_tensor(source["index"], image[None].astype(source["dtype"]))
            loaded.invoke()
            return loaded.get_tensor(target["index"])[0]

    if facts.multiple is None:
        return Program(run, facts.output, facts.info)
    return Program(run, facts.output, facts.info, facts.multiple, facts.footprint)


def _keras(path: Path, threads: int | None) -> Program:
    info = read_labels(path)
    if info is None:
        raise UserError(
            f"{path}: does not name its classes: write it with segnet_tf.save_model"
        )
    tf = _tensorflow(threads)
    from segnet_tf.footprint import footprint

    model = load_model(path)

    # Without a graph, Keras would keep every layer's output until the last is there.
    @tf.function(reduce_retracing=True)
    def logits(image):
        return model(tf.cast(image, tf.float32), training=False)

    def run(image):
        return logits(tf.constant(image[None])).numpy()[0]

    return Program(run, "logits", info, footprint=footprint(model), model=model)


def _savedmodel(path: Path, threads: int | None) -> Program:
    labels = path / "assets.extra" / LABELS_ENTRY
    if not labels.is_file():
        raise UserError(f"{path}: names no classes: not written by export.py")
    stored = labels.read_text(encoding="utf-8", errors="replace")
    tf = _tensorflow(threads)
    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
        dtype = serve.structured_input_signature[1]["image"].dtype
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path}: no SavedModel that can be loaded ({reason})"
        ) from None

    def run(image):
        # A signature's function does not keep its model alive.
        assert loaded is not None
        return serve(image=tf.constant(image[None], dtype))["probabilities"].numpy()[0]

    return _of_any_size(run, "probabilities", stored, path)


def _of_any_size(run: Callable, output: str, stored: str, path: Path) -> Program:
    """A program from what its file says of itself, in JSON."""
    try:
        facts = json.loads(stored)
        reach = facts.get("footprint")
        footprint = reach and Footprint(**reach)
        return Program(run, output, DatasetInfo.from_dict(facts), footprint=footprint)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path}: its {LABELS_ENTRY} is damaged") from None


def _onnx(path: Path, threads: int | None) -> Program:
    try:
        import onnxruntime
    except ImportError:
        raise UserError(
            "running an ONNX file needs onnxruntime: pip install 'segnet-tf[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(str(path), options)
    except Exception as error:  # of many kinds, which it does not name in public
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: onnxruntime cannot load it ({reason})") from None
    source = session.get_inputs()[0].name
    labels = session.get_modelmeta().custom_metadata_map.get("labels")
    if labels is None:
        raise UserError(f"{path}: names no classes: not written by export.py")

    def run(image):
        return session.run(None, {source: image[None].astype(np.float32)})[0][0]

    return _of_any_size(run, "logits", labels, path)


FORMS = {"tflite": _tflite, "keras": _keras, "savedmodel": _savedmodel, "onnx": _onnx}


def open_program(
    path: str | os.PathLike, threads: int | None = None, form: str | None = None
) -> Program:
    """Opens a `.tflite`, `.keras` or `.onnx` file, or the folder of a SavedModel.

    Args:
        threads: on how many to compute; all cores by default. TensorFlow takes it
            before its first computation only.
        form: a key of `FORMS`; by default, the name says it.

    Raises:
        UserError: where there is no such model, or it is damaged, or does not name
            its classes, or for no such number of threads.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UserError(f"{threads} threads: 1 to {MOST_THREADS} can be had")
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such model")
    form = form or ("savedmodel" if path.is_dir() else path.suffix[1:])
    if form not in FORMS:
        raise UserError(
            f"{path}: no model that can be run: name a .tflite, .keras or .onnx file, "
            "or the folder of a SavedModel"
        )
    return FORMS[form](path, threads)


def _tensorflow(threads: int | None):
    """TensorFlow, imported quietly, to compute on so many threads."""
    tf = import_tensorflow()
    if threads is not None:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:
            raise UserError(
                f"{threads} threads: TensorFlow has begun to compute, it is too late"
            ) from None
    return tf
