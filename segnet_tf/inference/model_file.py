"""Model files that name their classes.

A `.keras` file is a zip archive. Ours has one more entry, `labels.json`, with the class
names, their colours, the void id, the number of channels of an image and the size of
the training images. So the file alone is enough to prepare images and to read
predictions.
"""

import json
import os
import re
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

from segnet_tf.console.cli import command
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.files import replacing
from segnet_tf.inference import labels_json
from segnet_tf.inference.labels_json import LABELS_ENTRY

__all__ = [
    "FORMS",
    "SHIPPED_MODEL",
    "SHIPPED_MODELS",
    "find_model",
    "load_model",
    "network_name",
    "read_labels",
    "save_model",
    "shipped_names",
]

FORMS = ("model.tflite", "model.keras", "saved_model.pb")
"""A folder with one of these files is a model's; the first one found is run. They stand
in the order of speed."""

MOST_TEXT = 2**24
"""The texts in a `.keras` file are smaller than so many bytes, even if compressed."""

_PACKAGE = Path(__file__).parents[1]

SHIPPED_MODELS = next(
    folder
    for folder in (_PACKAGE / "saved_models", _PACKAGE.parent / "saved_models")
    if folder.is_dir() or folder.parent != _PACKAGE
)
"""The folder of the shipped models: inside an installed package, or beside the package
in a checkout."""

SHIPPED_MODEL = SHIPPED_MODELS / "segnet_lite_streets"
"""The model that the commands use if none is named."""


def shipped_names() -> dict[str, Path]:
    """The shipped models' folders by their short names, such as `camvid`."""
    prefix = "segnet_lite_"
    folders = sorted(SHIPPED_MODELS.glob(f"{prefix}*"))
    return {folder.name.removeprefix(prefix): folder for folder in folders}


def find_model(
    model: str | os.PathLike | None = None, forms: tuple[str, ...] = FORMS
) -> Path:
    """Finds a model file.

    Args:
        model: a model file, the folder of a run or of a SavedModel, or the name of a
            shipped model, which wins over a folder of that name. None: the shipped
            model, else the newest run under runs/.
        forms: the names of files to look for in a folder.

    Returns:
        A file, or the folder of a SavedModel.

    Raises:
        UserError: if there is no such model.
    """
    if model is not None:
        path = shipped_names().get(str(model), Path(model))
        found = _in_folder(path, forms) if path.is_dir() else path
        if found is None or not found.exists():
            raise UserError(
                f"{model}: no model there: name a model file, a folder that holds "
                f"{' or '.join(forms)}, or a shipped model: "
                + ", ".join(shipped_names())
            )
        if forms == ("model.keras",) and found.suffix != ".keras":
            raise UserError(f"{model}: is not a .keras file: name one, or a run folder")
        return found
    runs = sorted(Path("runs").glob("*/model.keras"), key=lambda p: p.stat().st_mtime)
    found = _in_folder(SHIPPED_MODEL, forms) or (runs[-1] if runs else None)
    if found is None:
        raise UserError(
            f"no model: train one with `{command('train')}`, or give --model"
        )
    return found


def _in_folder(folder: Path, forms: tuple[str, ...]) -> Path | None:
    for name in forms:
        if (folder / name).is_file():
            return folder if name == "saved_model.pb" else folder / name
    return None


def save_model(model, path: str | os.PathLike, info: DatasetInfo) -> None:
    """Writes a `.keras` file: the network and its classes, without optimizer state.

    Args:
        model: a functional keras.Model, compiled or not.
        path: ends in ".keras"; the file is replaced in one step.
        info: the data set whose classes the model predicts. The number of channels is
            taken from the model.
    """
    import keras

    info = replace(info, channels=model.inputs[0].shape[-1])
    bare = keras.Model(model.input, model.output, name=model.name)
    with replacing(path) as temporary:
        bare.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(LABELS_ENTRY, json.dumps(asdict(info), indent=2))


def load_model(path: str | os.PathLike):
    """Loads a `.keras` file, from `save_model` or from Keras' own `model.save`.

    Keras' safe mode stays on, so that no code in the file is run.

    Returns:
        An uncompiled keras.Model.

    Raises:
        UserError: if the file is missing, damaged, no `.keras` file, or has layers that
            are neither Keras' nor ours.
    """
    path = _checked(path)
    import keras

    # This import registers our layers.
    import segnet_tf.layers  # noqa: F401

    try:
        return keras.models.load_model(path, compile=False)
    # Keras and HDF5 raise RuntimeError, AttributeError, OverflowError and more for
    # damaged files. The set is not documented.
    except Exception as error:
        unknown = re.search(r"Could not locate class '(\w+)'", str(error))
        if unknown:
            raise UserError(
                f"{path}: has a layer {unknown[1]!r} that is not known here: layers of "
                "your own are registered in segnet_tf/layers/__init__.py"
            ) from error
        if isinstance(error, OSError) and error.errno:
            # Keras unpacks the weights into a temporary file.
            raise UserError(
                f"{path}: cannot be unpacked to load it ({error.strerror})"
            ) from error
        reason = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
        raise UserError(f"{path}: no model that can be loaded ({reason})") from error


def read_labels(path: str | os.PathLike) -> DatasetInfo | None:
    """The classes that a `.keras` or `.tflite` file names, or None if it names none.

    Raises:
        UserError: if the file is missing, damaged or no zip archive.
    """
    path = _checked(path)
    try:
        stored = labels_json.archived(path)
        return None if stored is None else _info(stored)
    except (ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: its {LABELS_ENTRY} is damaged ({error})") from None


def network_name(path: str | os.PathLike) -> str | None:
    """The name that a `.keras` file gives its network, such as "segnet_lite".

    None if it gives none; loading the model will say what is wrong with it.

    Raises:
        UserError: if the file is missing, damaged or no zip archive.
    """
    try:
        stored = labels_json.entry(_checked(path), "config.json", 2**26)
        name = json.loads(stored or b"")["config"]["name"]
    except (KeyError, RecursionError, TypeError, ValueError, zipfile.BadZipFile):
        return None
    return name if isinstance(name, str) else None


def _info(stored: bytes) -> DatasetInfo:
    return labels_json.dataset_info(labels_json.parsed(stored))


def _checked(path: str | os.PathLike) -> Path:
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such model file")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: no permission to read it")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not a .keras model file, or a damaged one")
    try:
        with zipfile.ZipFile(path) as archive:
            swollen = [entry for entry in archive.infolist() if _is_swollen(entry)]
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UserError(f"{path}: a damaged .keras file ({error})") from None
    if swollen:
        raise UserError(
            f"{path}: its {swollen[0].filename!r:.60} claims {swollen[0].file_size:,} "
            f"bytes in {swollen[0].compress_size:,}: no file of Keras does"
        )
    return path


def _is_swollen(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry would take far more memory than the file has bytes."""
    return entry.file_size > max(MOST_TEXT, 10 * entry.compress_size)
