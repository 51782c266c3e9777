"""A run's state in a file: all that its next step depends on.

A checkpoint is a `.keras` file with the optimizer, and two entries of our own:

    history.json   the rows of the finished epochs
    state.npz      what Keras leaves out: the seeds of dropout, and the metrics of an
                   epoch that is not finished; and the number of training images

The data need no state: a training stream is a function of its counter.
"""

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.files import replacing
from segnet_tf.inference.labels_json import entry

__all__ = ["IMAGES", "Checkpoint", "checkpoints", "state_of", "write_checkpoint"]

HISTORY_ENTRY = "history.json"
STATE_ENTRY = "state.npz"
IMAGES = "images"
"""Name in the state of the number of training images."""

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

    def images(self) -> int | None:
        """The number of training images; None: it is not there."""
        with suppress(KeyError), self._stored_state() as state:
            return int(state[IMAGES])
        return None

    @contextmanager
    def _stored_state(self) -> Iterator[Any]:
        with (
            zipfile.ZipFile(self.path) as archive,
            np.load(io.BytesIO(archive.read(STATE_ENTRY))) as state,
        ):
            yield state

    def model(self) -> keras.Model:
        """The compiled model, with its optimizer's state.

        Raises what Keras raises for a damaged file; its set is not documented.
        """
        # These imports register the loss and the schedule.
        from segnet_tf.training import pixel_loss, replicas, warmup  # noqa: F401

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
        with self._stored_state() as state:
            for name, variable in _state(model, ("seed", "metric")):
                if name in state:
                    _assign(model, variable, state[name])


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
    folder: Path, model: keras.Model, rows: list[dict], state: dict, step: int = 0
) -> Checkpoint:
    """Writes a checkpoint in one step.

    Args:
        folder: the folder for it.
        model: the compiled model.
        rows: the history of the finished epochs.
        state: as `state_of` gives it.
        step: finished steps of the next epoch.
    """
    name = f"epoch-{len(rows):05d}" + (f"-step-{step:06d}" if step else "")
    path = folder / f"{name}.keras"
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(HISTORY_ENTRY, json.dumps(rows))
            with archive.open(STATE_ENTRY, "w") as file:
                np.savez(file, **state)
    return Checkpoint(len(rows), step, path)


def state_of(model: keras.Model, kinds: Sequence[str]) -> dict[str, Any]:
    """The values that no .keras file holds, by the names that they have in state.npz.

    Args:
        model: the compiled model.
        kinds: "seed" for those of dropout, "metric" for those of a begun epoch.
    """
    return {name: np.asarray(variable) for name, variable in _state(model, kinds)}


def _state(model: keras.Model, kinds: Sequence[str]) -> Iterator[tuple[str, Any]]:
    saved = {id(variable) for variable in model.weights}
    variables = {
        "seed": [v for v in model.variables if id(v) not in saved],
        "metric": model.metrics_variables,
    }
    for kind in kinds:
        for index, variable in enumerate(variables[kind]):
            yield f"{kind}{index}", variable


def _assign(model: keras.Model, variable: Any, value: np.ndarray) -> None:
    """Sets a variable. Of one that is a sum over replicas, the first has all of it."""
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 or variable.aggregation != "sum":
        variable.assign(value)
        return

    def assign() -> None:
        context = tf.distribute.get_replica_context()
        first = context.replica_id_in_sync_group == 0
        variable.assign(tf.where(first, value, tf.zeros_like(value)))

    strategy.run(assign)
