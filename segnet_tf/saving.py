"""Model files that know their classes.

A `.keras` file is a zip archive; ours carries one more entry, `labels.json`, with the
class names, their colours, the void id, the number of an image's channels and the size
of the training images, so that whoever has the file can feed it and read its
predictions.
"""

import json
import os
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

from segnet_tf.datasets.split import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.files import replacing

__all__ = ["LABELS_ENTRY", "load_model", "read_labels", "save_model"]

LABELS_ENTRY = "labels.json"


def save_model(model, path: str | os.PathLike, info: DatasetInfo) -> None:
    """Writes what gets shipped: the network and its classes, no optimizer state.

    Args:
        model: a functional keras.Model, compiled or not.
        path: must end in ".keras"; replaced in one step.
        info: the data set whose classes the model predicts; how many channels its
            images have is the model's to say.
    """
    import keras

    info = replace(info, channels=model.inputs[0].shape[-1])
    bare = keras.Model(model.input, model.output, name=model.name)
    with replacing(path) as temporary:
        bare.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(LABELS_ENTRY, json.dumps(asdict(info), indent=2))


def load_model(path: str | os.PathLike):
    """Loads a `.keras` file, ours or one that plain Keras saved with our layers.

    Keras' safe mode stays on: a file cannot bring code of its own.

    Returns:
        An uncompiled keras.Model.

    Raises:
        UserError: where the file is missing, damaged, no `.keras` file, or holds
            layers that are not known here.
    """
    path = _checked(path)
    import keras

    # Importing registers the layers that the file names.
    import segnet_tf.models  # noqa: F401

    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path}: no model that can be loaded ({reason})") from error


def read_labels(path: str | os.PathLike) -> DatasetInfo | None:
    """The classes a model file carries, or None where it carries none.

    Raises:
        UserError: where the file is missing, damaged or no zip archive.
    """
    path = _checked(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if LABELS_ENTRY not in archive.namelist():
                return None
            labels = json.loads(archive.read(LABELS_ENTRY))
        return DatasetInfo.from_dict(labels)
    except (ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: its {LABELS_ENTRY} is damaged") from error


def _checked(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a .keras model file, or a damaged one")
    return path
