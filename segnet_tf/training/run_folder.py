"""The folder of a training run.

    runs/<name>/
        config.json    the options
        checkpoint/    the newest finished epoch, optimizer and history included
        history.csv    one line per epoch
        curves.png     plots of history.csv
        model.keras    the kept weights, with class names, without the optimizer
        metrics.json   their scores on the validation split
        tensorboard/   scalars, and panels of a few validation images

A run can be killed at any moment and resumed.
"""

import csv
import json
import re
import shutil
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

import keras

from segnet_tf.errors import UserError
from segnet_tf.evaluation.plots import draw_curves
from segnet_tf.files import replacing, write_json
from segnet_tf.training.config import TrainConfig

__all__ = ["Run"]

HISTORY_ENTRY = "history.json"
"""The entry of a checkpoint that holds the rows of the history."""

_COLUMNS = {"epoch", "loss", "mean_iou", "val_loss", "val_mean_iou", "seconds"}
_DAMAGED = "{}: damaged, the run cannot go on from it: move {} aside and train anew"


class Run:
    """The folder of a run and the epochs that are finished in it.

    Attributes:
        folder: the folder that holds all files of the run.
        epoch: number of finished epochs.
        model_path: file of the kept weights.
        rows: the history, one dict per epoch.
    """

    def __init__(self, folder: Path, epoch: int = 0):
        self.folder = folder
        self.epoch = epoch
        self.model_path = folder / "model.keras"
        self.rows = _history(folder, epoch) if epoch else []

    @classmethod
    def new(cls, config: TrainConfig, output: str | None) -> "Run":
        """A run in a fresh folder. Nothing is written before `begin`.

        Args:
            config: the options of the run.
            output: the folder; None: `runs/<dataset>-<model>`, with a number if that is
                taken.

        Raises:
            UserError: if `output` already holds something.
        """
        folder = Path(output) if output else _free_folder(config)
        if folder.exists() and not _is_unused(folder):
            raise UserError(
                f"{folder}: already there: choose another --output, or --resume it"
            )
        return cls(folder)

    @classmethod
    def resumed(cls, config: TrainConfig, output: str | None) -> "Run":
        """An earlier run with this configuration, to go on with.

        Args:
            config: the options of the run; only the paths of the data may differ.
            output: the folder; None: the newest run under runs/ that fits.

        Raises:
            UserError: if there is none; the message lists the options that differ. Or
                if the history of its finished epochs is damaged.
        """
        folders = [Path(output)] if output else _runs_newest_first(config)
        wanted = _as_json(config)
        differing = []
        for folder in folders:
            if not (folder / "config.json").is_file():
                continue
            try:
                stored = _read_options(folder / "config.json")
            except UserError as error:
                # Another run's folder must not keep this one from going on.
                differing.append(str(error))
                continue
            # A run that is older than an option had the option's default.
            found = {**_as_json(TrainConfig()), **stored}
            # The data may have moved since.
            names = [
                name
                for name in wanted
                if found.get(name) != wanted[name]
                and name not in ("data_dir", "classes")
            ]
            if not names:
                for left_by_a_kill in folder.glob("**/.writing-*"):
                    _delete(left_by_a_kill)
                epochs = [_epoch(path) for path in _checkpoints(folder)]
                return cls(folder, max(epochs, default=0))
            differing.append(f"{folder} has another {', '.join(names)}")
        reason = "; ".join(differing) or "no run found"
        raise UserError(f"nothing to resume with this configuration: {reason}")

    def begin(self, config: TrainConfig) -> None:
        """Makes the folder and writes config.json."""
        write_json(self.folder / "config.json", asdict(config))

    def checkpointed_model(self) -> keras.Model | None:
        """The model of the newest finished epoch, compiled, with its optimizer's state.

        Returns:
            None if no epoch is finished.

        Raises:
            UserError: if the checkpoint is damaged.
        """
        # These imports register the loss and the schedule of the checkpoint.
        from segnet_tf.training import pixel_loss, warmup  # noqa: F401

        paths = _checkpoints(self.folder)
        if not paths:
            return None
        try:
            return keras.models.load_model(paths[-1])
        # As for model files, the set of errors is not documented.
        except Exception as error:
            raise UserError(_DAMAGED.format(paths[-1], self.folder)) from error

    def finish_epoch(self, model: keras.Model, row: dict) -> None:
        """Writes history, checkpoint and curves of an epoch.

        The epoch counts as finished once its checkpoint has its name.

        Args:
            model: the compiled model.
            row: the line of the history; `row["epoch"]` counts from 1.
        """
        self.rows.append(row)
        self.epoch = row["epoch"]
        _write_history(self.folder / "history.csv", self.rows)
        old = _checkpoints(self.folder)
        path = self.folder / "checkpoint" / f"epoch-{self.epoch:05d}.keras"
        with replacing(path) as temporary:
            model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(HISTORY_ENTRY, json.dumps(self.rows))
        for checkpoint in old:
            checkpoint.unlink()
        draw_curves(self.rows, self.folder / "curves.png")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_unused(folder: Path) -> bool:
    """Whether it holds only what a run leaves that is killed in its first epoch."""
    left = {"config.json", "tensorboard"}
    return folder.is_dir() and all(
        path.name in left or path.name.startswith(".writing-")
        for path in folder.iterdir()
    )


def _as_json(config: TrainConfig) -> dict:
    """The options as JSON gives them back: lists in place of tuples."""
    return json.loads(json.dumps(config.as_options()))


def _read_options(path: Path) -> dict:
    """The options in a config.json, without their groups."""
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: value for group in groups.values() for name, value in group.items()
        }
    except (OSError, RecursionError, ValueError):
        raise UserError(f"{path}: damaged, no JSON: train anew") from None
    except AttributeError:
        raise UserError(
            f"{path}: of a version before 0.1.0, which cannot be resumed: train anew, "
            "or start from its weights with --init-from"
        ) from None


def _checkpoints(folder: Path) -> list[Path]:
    found = (folder / "checkpoint").glob("epoch-*.keras")
    return sorted(path for path in found if _epoch(path) and path.is_file())


def _epoch(path: Path) -> int:
    """The epoch of a checkpoint, or 0 for a file of another name."""
    found = re.fullmatch(r"epoch-(\d{5,9})\.keras", path.name)
    return int(found[1]) if found else 0


def _stem(config: TrainConfig) -> str:
    return f"{config.data.dataset}-{config.network.model}"


def _free_folder(config: TrainConfig) -> Path:
    base = Path("runs") / _stem(config)
    folder, number = base, 2
    while folder.exists():
        folder, number = base.with_name(f"{base.name}-{number}"), number + 1
    return folder


def _runs_newest_first(config: TrainConfig) -> list[Path]:
    configs = Path("runs").glob(f"{_stem(config)}*/config.json")
    newest = sorted(configs, key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent for path in newest]


def _history(folder: Path, epoch: int) -> list[dict]:
    """The rows of the finished epochs: those in the checkpoint.

    Older checkpoints have none; then history.csv must have them.

    Raises:
        UserError: if a row is missing or damaged: the best score would be lost, and
            with it the kept model.
    """
    path = _checkpoints(folder)[-1]
    try:
        with zipfile.ZipFile(path) as archive:
            stored = HISTORY_ENTRY in archive.namelist()
            rows = json.loads(archive.read(HISTORY_ENTRY)) if stored else None
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error):
        raise UserError(_DAMAGED.format(path, folder)) from None
    if rows is None:
        path = folder / "history.csv"
        rows = _read_csv(path)[:epoch]
    if [row.get("epoch") for row in rows] != list(range(1, epoch + 1)):
        raise UserError(f"{path}: its rows are not those of the epochs 1 to {epoch}")
    return rows


def _read_csv(path: Path) -> list[dict]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            unknown = set(reader.fieldnames or ()) - _COLUMNS
            rows = [
                {
                    name: (int(text) if name == "epoch" else float(text))
                    for name, text in row.items()
                    if text
                }
                for row in reader
            ]
    except (AttributeError, OSError, TypeError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({error}): train anew") from None
    if unknown:
        raise UserError(f"{path}: damaged: no column {min(map(str, unknown))!r}")
    return rows


def _write_history(path: Path, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
