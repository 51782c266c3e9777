"""Callbacks of a run: saving after each epoch, and an estimate of the run's time."""

import math
import time

import keras

from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.inference.model_file import save_model
from segnet_tf.models.clone import as_float32
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.length import stalled
from segnet_tf.training.run_folder import Run

__all__ = ["EarlyStop", "Restored", "RunCheckpoint", "TimeEstimate", "validated_epochs"]


class Restored(keras.callbacks.Callback):
    """Sets what Keras leaves out of a checkpoint: seeds, metrics of a begun epoch."""

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    def on_epoch_begin(self, epoch, logs=None):
        # Keras has just made the metrics, or set them to zero.
        self.run.restore(self.model)


class RunCheckpoint(keras.callbacks.Callback):
    """Saves the kept model, the checkpoint and the history at the end of each epoch.

    Args:
        run: the run's folder.
        best: whether to keep the model with the best validation mIoU, not the last.
        info: the classes that the model predicts.
        averaging: the callback that swaps averaged weights in, if the run has it.
    """

    def __init__(self, run: Run, best: bool, info: DatasetInfo, averaging=None):
        super().__init__()
        self.run = run
        self.best = best
        self.info = info
        self.averaging = averaging
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        scores = {name: float(value) for name, value in (logs or {}).items()}
        validated = scores.get("val_mean_iou")
        earlier = [row.get("val_mean_iou", -1.0) for row in self.run.rows]
        is_best = validated is not None and validated > max(earlier, default=-1.0)
        # The kept model is written before the checkpoint: a run that is killed between
        # the two repeats the epoch. In the other order it would lose the best model.
        due = not self.best or is_best or not self.run.model_path.exists()
        if due and self.run.writes:
            self._save_model()
        seconds = round(time.monotonic() - self.started, 1)
        self.run.finish_epoch(
            self.model, {"epoch": epoch + 1, **scores, "seconds": seconds}
        )

    def _save_model(self) -> None:
        """Writes the kept model in float32, with averaged weights if there are any."""
        if self.averaging:
            self.averaging.on_test_begin()
        model = self.model
        if any(layer.compute_dtype != "float32" for layer in model.layers):
            model = as_float32(model)
        save_model(model, self.run.model_path, self.info)
        if self.averaging:
            self.averaging.on_test_end()


class EarlyStop(keras.callbacks.Callback):
    """Ends the run if its validations bring no better mIoU for a while.

    It reads the history, so that a resumed run stops where an unbroken one does.

    Args:
        config: of the run.
        run: its folder; its rows have this epoch's already.
    """

    def __init__(self, config: TrainConfig, run: Run):
        super().__init__()
        self.config = config
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 < self.config.optimization.epochs and stalled(
            self.config, self.run.rows
        ):
            print(
                f"\n{self.config.run.patience} validations without a better mIoU: "
                f"stopped after epoch {epoch + 1} (--patience 0 goes on)"
            )
            self.model.stop_training = True


class TimeEstimate(keras.callbacks.Callback):
    """Prints how long the run will take, measured on its first steps.

    Args:
        config: of the run.
        epoch: how many epochs are finished.
        steps: in one epoch.
        val_split: the validation split, or None.
    """

    SKIPPED, MEASURED = 2, 5

    def __init__(
        self, config: TrainConfig, epoch: int, steps: int, val_split: Split | None
    ):
        super().__init__()
        self.epochs = config.optimization.epochs - epoch
        self.total_steps = float(self.epochs * steps)
        own, light = (
            NETWORKS[name].parameters
            for name in (config.network.model, TrainConfig().network.model)
        )
        self.is_light = own <= 2 * light
        if val_split:
            validated = [n for n in validated_epochs(config) if n > epoch]
            image = val_split.read(0)[0]
            height, width = config.augmentation.crop
            step_pixels = config.optimization.batch_size * height * width
            # A forward pass is about a third of a training step over as many pixels.
            steps_of_one = len(val_split) * image[..., 0].size / step_pixels / 3
            self.total_steps += steps_of_one * len(validated)
        self.done = 0
        self.seconds = self.started = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        # The first steps trace the graph, which takes longer.
        if self.SKIPPED < self.done <= self.SKIPPED + self.MEASURED:
            self.seconds += time.monotonic() - self.started
        if self.done == self.SKIPPED + self.MEASURED:
            seconds = self.seconds / self.MEASURED
            total = seconds * self.total_steps
            print(
                f"\n{seconds:.2f} s per step: about {_duration(total)} for "
                f"{self.epochs} epochs with their validations"
            )
            if total > 3600 and not self.is_light:
                print("--model segnet_lite trains many times faster")


def validated_epochs(config: TrainConfig) -> list[int]:
    """The epochs that are validated: every n-th, counted back from the last."""
    return list(range(config.optimization.epochs, 0, -config.run.validate_every))[::-1]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
