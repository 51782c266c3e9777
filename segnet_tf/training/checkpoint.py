"""A run's state in a file: all that its next step depends on.

A checkpoint is a `.keras` file with the optimizer, and two entries of our own:

    history.json   the rows of the finished epochs
    state.npz      what Keras leaves out: the seeds of dropout, and the metrics of an
                   epoch that is not finished

The data need no state: a training stream is a function of its counter.
"""

import io
import json
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segnet_tf.files import replacing
from segnet_tf.inference.labels_json import entry

__all__ = ["Checkpoint", "checkpoints", "write_checkpoint"]

HISTORY_ENTRY = "history.json"
STATE_ENTRY = "state.npz"

MOST_BYTES = 2**26
COLUMNS = {"epoch", "loss", "mean_iou", "val_loss", "val_mean_iou", "seconds"}
"""The keys that a row of the history may have."""

_NAME = re.compile(r"epoch-(\d{5,9})(?:-step-(\d{6,12}))?\.keras")


@dataclass(frozen=True, order=True)
class Checkpoint:
    """A checkpoint file. Later ones are greater.

    Attributes:
        epoch: number of finished epochs.
        step: finished steps of the next one.
        path: of the file.
    """

    epoch: int
    step: int
    path: Path

    def rows(self) -> list[dict] | None:
        """The history of the finished epochs, or None if the file is damaged."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                if archive.testzip() is not None:
                    return None
            rows = json.loads(entry(self.path, HISTORY_ENTRY, MOST_BYTES) or b"")
            sound = isinstance(rows, list) and all(
                _is_row(row, epoch) for epoch, row in enumerate(rows, start=1)
            )
        # zipfile documents no set of errors for damaged files.
        except (
            AttributeError,
            KeyError,
            NotImplementedError,
            OSError,
            RecursionError,
            RuntimeError,
            TypeError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
        ):
            return None
        return rows if sound and len(rows) == self.epoch else None

    def model(self) -> keras.Model:
        """The compiled model, with its optimizer's state.

        Raises what Keras raises for a damaged file; its set is not documented.
        """
        # These imports register the loss and the schedule.
        from segnet_tf.training import pixel_loss, warmup  # noqa: F401

        return keras.models.load_model(self.path)

    def restore(self, model: keras.Model) -> None:
        """Sets the seeds and the metrics of a model.

        Args:
            model: the model of this checkpoint, from labels (B, H, W) to logits, in an
                epoch that `fit` has just begun; it has set the metrics to zero.
        """
        if self.step:
            # Keras makes them at their first use.
            logits = np.zeros((1, 1, 1, model.output_shape[-1]), np.float32)
            model.compute_metrics(None, np.zeros((1, 1, 1), np.uint8), logits)
        with (
            zipfile.ZipFile(self.path) as archive,
            np.load(io.BytesIO(archive.read(STATE_ENTRY))) as state,
        ):
            for name, variables in _state(model).items():
                for index, variable in enumerate(variables):
                    if f"{name}{index}" in state:
                        variable.assign(state[f"{name}{index}"])


def _is_row(row: dict, epoch: int) -> bool:
    """Whether this can be the row of an epoch: finite numbers, shares of at most 1."""
    return (
        row.keys() <= COLUMNS
        and type(row["epoch"]) is int
        and row["epoch"] == epoch
        and all(
            type(value) in (int, float) and math.isfinite(value)
            for value in row.values()
        )
        and all(0 <= row.get(name, 0) <= 1 for name in ("mean_iou", "val_mean_iou"))
    )


def checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in a folder, the oldest first. Other files do not count."""
    found = []
    for path in folder.glob("epoch-*.keras"):
        name = _NAME.fullmatch(path.name)
        if name and path.is_file():
            found.append(Checkpoint(int(name[1]), int(name[2] or 0), path))
    return sorted(each for each in found if each.epoch or each.step)


def write_checkpoint(
    folder: Path, model: keras.Model, rows: list[dict], step: int = 0
) -> Checkpoint:
    """Writes a checkpoint in one step.

    Args:
        folder: the folder for it.
        model: the compiled model.
        rows: the history of the finished epochs.
        step: finished steps of the next one.
    """
    name = f"epoch-{len(rows):05d}" + (f"-step-{step:06d}" if step else "")
    path = folder / f"{name}.keras"
    # At the end of an epoch the metrics are those of the validation.
    kinds = ("seed", "metric") if step else ("seed",)
    state: dict[str, Any] = {
        f"{kind}{index}": np.asarray(variable)
        for kind in kinds
        for index, variable in enumerate(_state(model)[kind])
    }
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(HISTORY_ENTRY, json.dumps(rows))
            with archive.open(STATE_ENTRY, "w") as file:
                np.savez(file, **state)
    return Checkpoint(len(rows), step, path)


def _state(model: keras.Model) -> dict[str, list]:
    """The variables that no .keras file holds, by kind and always in one order."""
    saved = {id(variable) for variable in model.weights}
    return {
        "seed": [v for v in model.variables if id(v) not in saved],
        "metric": model.metrics_variables,
    }
