"""The folder of a training run.

    runs/<name>/
        config.json    the options
        checkpoint/    the two newest states, optimizer and history included
        history.csv    one line per epoch
        curves.png     plots of history.csv
        model.keras    the kept weights, with class names, without the optimizer
        metrics.json   their scores on the validation split
        tensorboard/   scalars, and panels of a few validation images

A run can be killed at any moment and resumed. While it goes on, no other process can
write into its folder: of a run on several machines, all read it and one writes.
"""

import csv
import shutil
from dataclasses import asdict
from pathlib import Path

import keras

from segnet_tf.errors import UserError
from segnet_tf.evaluation.plots import draw_curves
from segnet_tf.files import FolderLock, replacing, write_json
from segnet_tf.training.checkpoint import (
    IMAGES,
    Checkpoint,
    checkpoints,
    state_of,
    write_checkpoint,
)
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.run_options import read_options, unlike

__all__ = ["Run"]

KEPT = 2
"""Checkpoints in a run's folder: the newest, and one to go on from if it is damaged."""

_DAMAGED = "{}: damaged, the run cannot go on from it: move {} aside and train anew"


class Run:
    """The folder of a run and the epochs that are finished in it.

    Attributes:
        folder: the folder that holds all files of the run.
        rows: the history, one dict per finished epoch.
        step: finished steps of the next epoch, from an earlier process.
        images: number of training images.
        model_path: file of the kept weights.
        writes: whether this process writes the files.
    """

    def __init__(self, folder: Path, images: int, writes: bool = True):
        self.folder = folder
        self.images = images
        self.writes = writes
        self.rows: list[dict] = []
        self.step = 0
        self.model_path = folder / "model.keras"
        self._checkpoint: Checkpoint | None = None
        self._damaged: list[Path] = []
        self._lock = FolderLock(folder)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.rows)

    @classmethod
    def new(
        cls, config: TrainConfig, output: str | None, images: int, writes: bool = True
    ) -> "Run":
        """A run in a fresh folder. Nothing is written before `begin`.

        Args:
            config: the options of the run.
            output: the folder; None: `runs/<dataset>-<model>`, with a number if that is
                taken.
            images: number of training images.
            writes: whether this process writes the files.

        Raises:
            UserError: if `output` already holds something.
        """
        folder = Path(output) if output else _free_folder(config)
        run = cls(folder, images, writes)
        run._refuse_a_used_folder()
        return run

    @classmethod
    def resumed(
        cls, config: TrainConfig, output: str | None, images: int, writes: bool = True
    ) -> "Run":
        """An earlier run with this configuration, to go on with.

        A run that was killed before it saved anything begins anew, so that a service
        can start its run with the same command each time.

        Args:
            config: the options of the run; those of `FREE` may differ.
            output: the folder; None: the newest run under runs/ that fits.
            images: number of training images.
            writes: whether this process writes the files.

        Raises:
            UserError: if there is none, but others; the message lists the options that
                differ. Or if another process trains in the folder, if no checkpoint of
                it is sound, or if the data had another number of images.
        """
        folders = [Path(output)] if output else _runs_newest_first(config)
        differing = []
        for folder in folders:
            if not (folder / "config.json").is_file():
                continue
            try:
                names = unlike(config, read_options(folder / "config.json"))
            except UserError as error:
                # Another run's folder must not keep this one from going on.
                differing.append(str(error))
                continue
            if not names:
                run = cls(folder, images, writes)
                if writes:
                    run._lock.acquire()
                    run._clear_litter()
                run._go_on()
                return run
            differing.append(f"{folder} has another {', '.join(names)}")
        if differing:
            raise UserError(
                f"nothing to resume with this configuration: {'; '.join(differing)}"
            )
        if output and Path(output).exists() and not _is_unused(Path(output)):
            raise UserError(
                f"{output}: has no config.json, so that no run can go on in it: choose "
                "another --output"
            )
        print("nothing to resume: the run begins")
        return cls.new(config, output, images, writes)

    def _clear_litter(self) -> None:
        """Deletes what a kill left."""
        for path in self.folder.glob("**/.writing-*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _go_on(self) -> None:
        """Finds the newest sound checkpoint."""
        found = checkpoints(self.folder / "checkpoint")
        for checkpoint in reversed(found):
            rows = checkpoint.rows()
            if rows is not None:
                self._refuse_other_data(checkpoint.images())
                self.rows, self.step = rows, checkpoint.step
                self._checkpoint = checkpoint
                return
            self._damaged.append(checkpoint.path)
            print(f"warning: {checkpoint.path}: damaged; the one before it counts")
        if found:
            raise UserError(_DAMAGED.format(found[-1].path, self.folder))
        if not _is_unused(self.folder, begun=True):
            raise UserError(
                f"{self.folder}: has no checkpoint to go on from: choose another "
                f"--output; --init-from {self.folder} starts with its weights"
            )

    def _refuse_other_data(self, images: int | None) -> None:
        if images not in (None, self.images):
            raise UserError(
                f"{self.folder}: trains on {images:,} images, and there are "
                f"{self.images:,} now: give it the same data, or start with its "
                f"weights: --init-from {self.folder} and another --output"
            )

    def _refuse_a_used_folder(self) -> None:
        if self.folder.exists() and not _is_unused(self.folder):
            raise UserError(
                f"{self.folder}: already there: choose another --output, or --resume it"
            )

    def begin(self, config: TrainConfig) -> None:
        """Makes the folder, keeps others out of it, and writes config.json.

        Raises:
            UserError: if another process trains in it.
        """
        if not self.writes:
            return
        if not self._lock.held:
            self._lock.acquire()
            # Another run may have ended in it since.
            self._refuse_a_used_folder()
        write_json(self.folder / "config.json", asdict(config))

    def close(self) -> None:
        """Lets others into the folder."""
        self._lock.release()

    def checkpointed_model(self) -> keras.Model | None:
        """The model of the checkpoint that the run goes on from, compiled.

        Returns:
            None if nothing was saved.

        Raises:
            UserError: if the checkpoint is damaged.
        """
        if self._checkpoint is None:
            return None
        try:
            model = self._checkpoint.model()
            if not getattr(model, "optimizer", None):
                raise ValueError("no optimizer")
            return model
        # As for model files, the set of errors is not documented.
        except Exception as error:
            line = _DAMAGED.format(self._checkpoint.path, self.folder)
            raise UserError(line) from error

    def restore(self, model: keras.Model) -> None:
        """Sets what Keras leaves out of the checkpoint that the run goes on from.

        It happens once, when the metrics exist: a later epoch has its own, and setting
        those takes all processes of a run.
        """
        if self._checkpoint is not None:
            self._checkpoint.restore(model)
            self._checkpoint = None

    def save_step(self, model: keras.Model, step: int) -> None:
        """Writes a checkpoint inside an epoch.

        Args:
            model: the compiled model.
            step: finished steps of the epoch, those of earlier processes included.
        """
        # All processes take part in reading the metrics.
        state = state_of(model, ("seed", "metric"))
        if self.writes:
            self._write(model, self.rows, state, step)

    def finish_epoch(self, model: keras.Model, row: dict) -> None:
        """Writes history, checkpoint and curves of an epoch.

        The epoch counts as finished once its checkpoint has its name.

        Args:
            model: the compiled model.
            row: the line of the history; `row["epoch"]` counts from 1.
        """
        rows = [*self.rows, row]
        if self.writes:
            _write_history(self.folder / "history.csv", rows)
            # The metrics are those of the validation by now.
            self._write(model, rows, state_of(model, ("seed",)))
        self.rows, self.step = rows, 0
        if self.writes:
            draw_curves(rows, self.folder / "curves.png")

    def _write(self, model: keras.Model, rows: list[dict], state: dict, step=0) -> None:
        folder = self.folder / "checkpoint"
        write_checkpoint(folder, model, rows, {**state, IMAGES: self.images}, step)
        for path in self._damaged:
            path.unlink(missing_ok=True)
        self._damaged.clear()
        for old in checkpoints(folder)[:-KEPT]:
            old.path.unlink()


def _is_unused(folder: Path, begun: bool = False) -> bool:
    """Whether it holds only what a run leaves that is killed in its first epoch.

    Args:
        folder: of the run.
        begun: whether that may have been between the epoch's files. Its plots come
            last, so that no run that has a checkpoint is without them.
    """
    left = {"config.json", "tensorboard", FolderLock.NAME}
    if begun:
        left |= {"model.keras", "history.csv", "checkpoint"}
    return folder.is_dir() and all(
        path.name in left or path.name.startswith(".writing-")
        for path in folder.iterdir()
    )


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


def _write_history(path: Path, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
