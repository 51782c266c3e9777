"""From a model file and an image to labels."""

import os
from pathlib import Path

import numpy as np

from segnet_tf.datasets.split import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.saving import load_model, read_labels

__all__ = ["SHIPPED_MODEL", "Predictor", "find_model"]

SHIPPED_MODEL = Path(__file__).parent.parent / "saved_models" / "segnet_lite_camvid"


def find_model(model: str | os.PathLike | None = None) -> Path:
    """The model file that a path, or its absence, stands for.

    Args:
        model: a `.keras` file, or a folder that holds model.keras, such as a run's.
            Without it: the shipped model, else the newest run under runs/.

    Raises:
        UserError: where there is none.
    """
    if model is not None:
        path = Path(model)
        if path.is_dir():
            path = path / "model.keras"
        if not path.is_file():
            raise UserError(
                f"{model}: no model there: name a run folder or .keras file"
            )
        return path
    shipped = SHIPPED_MODEL / "model.keras"
    if shipped.is_file():
        return shipped
    runs = sorted(Path("runs").glob("*/model.keras"), key=lambda p: p.stat().st_mtime)
    if not runs:
        raise UserError("no model: train one with `python train.py`, or name --model")
    return runs[-1]


class Predictor:
    """A model ready to label images of any size.

    Args:
        path: a `.keras` file that carries its class names.

    Attributes:
        info: the classes that the labels stand for.

    Raises:
        UserError: where the file is no model, or does not name its classes.
    """

    def __init__(self, path: str | os.PathLike):
        info = read_labels(path)
        if info is None:
            raise UserError(
                f"{path}: does not name its classes: write it with segnet_tf.save_model"
            )
        self.info: DatasetInfo = info
        self._model = load_model(path)

    def logits(self, image: np.ndarray) -> np.ndarray:
        """Logits float32 (H, W, classes) of an image uint8 (H, W, 3)."""
        batch = image[None].astype(np.float32)
        return np.asarray(self._model(batch, training=False))[0]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities float32 (H, W, classes) of an image uint8 (H, W, 3)."""
        logits = self.logits(image)
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Class ids uint8 (H, W) of an image uint8 (H, W, 3)."""
        return self.logits(image).argmax(axis=-1).astype(np.uint8)
