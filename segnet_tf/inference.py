"""From a model file and an image to labels."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from segnet_tf.errors import UserError
from segnet_tf.programs import open_program
from segnet_tf.scaling import enlarged, enlarged_argmax, scaled
from segnet_tf.tiling import in_tiles, padded, plan

__all__ = ["FORMS", "SHIPPED_MODEL", "Predictor", "find_model"]

SHIPPED_MODEL = Path(__file__).parent.parent / "saved_models" / "segnet_lite_camvid"

FORMS = ("model.tflite", "model.keras", "saved_model.pb")
"""What makes a folder a model's, the fastest to run first."""


def find_model(
    model: str | os.PathLike | None = None, forms: tuple[str, ...] = FORMS
) -> Path:
    """The model that a path, or its absence, stands for.

    Args:
        model: a model file, or a folder that holds one of `forms`: a run's, a shipped
            model's, a SavedModel's. Without it: the shipped model, else the newest
            run under runs/.

    Returns:
        A file, or the folder of a SavedModel.

    Raises:
        UserError: where there is none.
    """
    if model is not None:
        path = Path(model)
        found = _in_folder(path, forms) if path.is_dir() else path
        if found is None or not found.exists():
            raise UserError(
                f"{model}: no model there: name a model file, or a folder that holds "
                + " or ".join(forms)
            )
        if forms == ("model.keras",) and found.suffix != ".keras":
            raise UserError(f"{model}: is not a .keras file, which is needed here")
        return found
    runs = sorted(Path("runs").glob("*/model.keras"), key=lambda p: p.stat().st_mtime)
    found = _in_folder(SHIPPED_MODEL, forms) or (runs[-1] if runs else None)
    if found is None:
        raise UserError("no model: train one with `python train.py`, or name --model")
    return found


def _in_folder(folder: Path, forms: tuple[str, ...]) -> Path | None:
    for name in forms:
        if (folder / name).is_file():
            return folder if name == "saved_model.pb" else folder / name
    return None


class Predictor:
    """A model ready to label images of any size.

    An image much larger or smaller than those that the model was trained on is scaled
    to as many pixels, and the answer back to its size (see `segnet_tf.scaling`). One of
    which the file's form does not take the size is mirrored at its bottom and right
    edge, and the answer is cut back; one that is too large for the memory is run in
    tiles that give the same answer (see `segnet_tf.tiling`).

    Args:
        path: a `.tflite`, `.keras` or `.onnx` file, or the folder of a run, a shipped
            model or a SavedModel, as train.py and export.py write them.
        threads: on how many to compute; all cores by default.
        native: run every image as large as it is, as parts of a large one should be
            that the model was trained on parts of.

    Attributes:
        info: the classes that the labels stand for, the channels of an image, and the
            size that images are scaled to; None: not known, or the file's form takes a
            single size.

    Raises:
        UserError: where the file is no model, or does not name its classes. The
            methods raise it for what the file does not give, for an image of other
            channels, and for its size where the file was exported for a single other
            one.
    """

    def __init__(
        self, path: str | os.PathLike, threads: int | None = None, native: bool = False
    ):
        self._path = find_model(path)
        self._program = open_program(self._path, threads)
        self._native = native
        self.info = self._program.info

    def keras_model(self):
        """The keras.Model that a `.keras` file holds."""
        if self._program.model is None:
            raise UserError(f"{self._path}: no .keras file: name one, or a run")
        return self._program.model

    def logits(self, image: np.ndarray) -> np.ndarray:
        """Logits float32 (H, W, classes) of an image uint8 (H, W, channels)."""
        self._must_give("logits")
        scores = self._collected(self.scaled(image), np.asarray)
        return enlarged(scores, image.shape[:2])

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Probabilities float32 (H, W, classes) of an image uint8 (H, W, channels)."""
        self._must_give("probabilities", "logits")
        finish = _softmax if self._program.output == "logits" else np.asarray
        return enlarged(self._collected(self.scaled(image), finish), image.shape[:2])

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Class ids uint8 (H, W) of an image uint8 (H, W, channels)."""
        size, image = image.shape[:2], self.scaled(image)
        if self._program.output == "labels":
            labels = Image.fromarray(self._collected(image, np.asarray))
            return np.asarray(labels.resize(size[::-1], Image.Resampling.NEAREST))
        if image.shape[:2] == size:
            return self._collected(
                image, lambda scores: scores.argmax(-1).astype(np.uint8)
            )
        return enlarged_argmax(self._collected(image, np.asarray), size)

    def scaled(self, image: np.ndarray) -> np.ndarray:
        """The image uint8 (H, W, channels) as large as the network is to see it."""
        channels = self.info.channels
        size = image.shape[:2]
        shaped = image.shape == (*size, channels) and min(size) > 0
        if not shaped or image.dtype != np.uint8:
            raise UserError(
                f"{self._path}: takes images (height, width, {channels}) of uint8, "
                f"not {image.shape} of {image.dtype}"
            )
        return image if self._native else scaled(image, self.info.image_size)

    def _must_give(self, *outputs: str) -> None:
        given, wanted = self._program.output, outputs[0]
        if given not in outputs:
            raise UserError(
                f"{self._path}: gives {given}, no {wanted}: a .tflite file exported "
                f"with --result {wanted} does"
            )

    def _collected(self, image: np.ndarray, finish: Callable) -> np.ndarray:
        """`finish` of the program's output, whole or tile by tile."""
        height, width = image.shape[:2]
        multiple = self._program.multiple
        image = padded(image, height + -height % multiple, width + -width % multiple)

        def run(source: np.ndarray) -> list[np.ndarray]:
            scores = self._program.run(source)
            if scores.shape[:2] != source.shape[:2]:
                raise UserError(
                    "{}: gives {}x{} for an image of {}x{}: it does not keep the "
                    "size".format(self._path, *scores.shape[:2], *source.shape[:2])
                )
            return [finish(scores)]

        tiles = plan(*image.shape[:2], self._program.footprint)
        [collected] = in_tiles(image, tiles, run)
        return collected[:height, :width]


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
