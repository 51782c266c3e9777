"""The folder of a training run, written so that a kill at any moment can be resumed.

runs/<name>/
    config.json    what was asked for
    checkpoint/    the newest finished epoch, optimizer included
    history.csv    one line an epoch
    curves.png     the same, drawn
    model.keras    the kept weights, with class names, without the optimizer
    metrics.json   their scores on the validation split
    tensorboard/   scalars, and panels of a few validation images
"""

import csv
import json
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path

import keras

from segnet_tf.errors import UserError
from segnet_tf.evaluation.plots import draw_curves
from segnet_tf.files import replacing, write_json
from segnet_tf.training.config import TrainConfig

__all__ = ["Run"]


class Run:
    """A run's folder and what has been finished in it.

    Attributes:
        folder: where everything of the run lies.
        epoch: how many epochs are finished.
        model_path: the kept weights.
        rows: the history, one dict an epoch.
    """

    def __init__(self, folder: Path, epoch: int = 0):
        self.folder = folder
        self.epoch = epoch
        self.model_path = folder / "model.keras"
        self.rows = _read_history(folder / "history.csv")[:epoch]

    @classmethod
    def new(cls, config: TrainConfig, output: str | None) -> "Run":
        """A fresh folder: `output`, or runs/<dataset>-<model>, numbered when taken.

        Nothing is written before `begin`.

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
        """The run in `output`, or the newest under runs/, with this configuration.

        Raises:
            UserError: if there is none; the message says what differs.
        """
        folders = [Path(output)] if output else _runs_newest_first(config)
        wanted = json.loads(json.dumps(config.as_options()))
        differing = []
        for folder in folders:
            if not (folder / "config.json").is_file():
                continue
            # An option that is younger than the run had its default.
            found = {
                **TrainConfig().as_options(),
                **_read_options(folder / "config.json"),
            }
            # Where the data lies today does not make it another run.
            names = [
                name
                for name in wanted
                if found.get(name) != wanted[name] and name != "data_dir"
            ]
            if not names:
                for left_by_a_kill in folder.glob("**/.writing-*"):
                    shutil.rmtree(left_by_a_kill)
                epochs = [int(path.stem[6:]) for path in _checkpoints(folder)]
                return cls(folder, max(epochs, default=0))
            differing.append(f"{folder} has another {', '.join(names)}")
        reason = "; ".join(differing) or "no run found"
        raise UserError(f"nothing to resume with this configuration: {reason}")

    def begin(self, config: TrainConfig) -> None:
        """Says in the folder what will be trained there."""
        write_json(self.folder / "config.json", asdict(config))

    def checkpointed_model(self) -> keras.Model | None:
        """The newest finished epoch's model, compiled, its optimizer where it was."""
        # Registers what the checkpoint is compiled with.
        from segnet_tf.training import pixel_loss, warmup  # noqa: F401

        paths = _checkpoints(self.folder)
        if not paths:
            return None
        try:
            return keras.models.load_model(paths[-1])
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{paths[-1]}: damaged, the run cannot go on from it: move "
                f"{self.folder} aside and train anew"
            ) from error

    def finish_epoch(self, model: keras.Model, row: dict) -> None:
        """Makes the epoch durable; the checkpoint's name is what a resume goes by."""
        self.rows.append(row)
        self.epoch = row["epoch"]
        _write_history(self.folder / "history.csv", self.rows)
        old = _checkpoints(self.folder)
        path = self.folder / "checkpoint" / f"epoch-{self.epoch:05d}.keras"
        with replacing(path) as temporary:
            model.save(temporary)
        for checkpoint in old:
            checkpoint.unlink()
        draw_curves(self.rows, self.folder / "curves.png")


def _is_unused(folder: Path) -> bool:
    """Whether it holds nothing but what a run cut short in its first epoch leaves."""
    left = {"config.json", "tensorboard"}
    return folder.is_dir() and all(
        path.name in left or path.name.startswith(".writing-")
        for path in folder.iterdir()
    )


def _read_options(path: Path) -> dict:
    """The options in a config.json, without the groups that they stand in."""
    try:
        groups = json.loads(path.read_text())
        return {
            name: value for group in groups.values() for name, value in group.items()
        }
    except ValueError:
        raise UserError(f"{path}: damaged, no JSON") from None
    except AttributeError:
        raise UserError(
            f"{path}: of a version before 0.1.0, which cannot be resumed: train anew"
        ) from None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoint").glob("epoch-*.keras"))


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


def _read_history(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {
                name: (int(text) if name == "epoch" else float(text))
                for name, text in row.items()
                if text
            }
            for row in csv.DictReader(file)
        ]


def _write_history(path: Path, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
