"""Callbacks that find faults of a run and print, once and in one line, what to do."""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.console.cli import command
from segnet_tf.errors import UserError
from segnet_tf.metrics.confusion import MeanIoU, Scores
from segnet_tf.training.run_folder import Run

__all__ = ["ClassWatch", "LossGuard", "ReadingWatch"]


def _say(line: str) -> None:
    # On a terminal the cursor stands at the end of Keras' progress bar.
    print(f"\nwarning: {line}", flush=True)


class LossGuard(keras.callbacks.Callback):
    """Stops a run whose loss or weights are nan or inf, before they are saved.

    Args:
        run: its finished epochs stay as they are.
        names: step, counted from the run's first -> file names of its batch.
        steps: of a whole epoch.
        accumulate: number of steps that make one update.

    Raises:
        UserError: from `fit`; the message names the files of the batch.
    """

    def __init__(
        self,
        run: Run,
        names: Callable[[int], tuple[str, ...]],
        steps: int,
        accumulate: int = 1,
    ):
        super().__init__()
        self.run = run
        self.names = names
        self.steps = steps
        self.accumulate = accumulate
        self.epoch = self.batch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs: Any = None):
        self.batch = batch
        # Keras gives the mean over the epoch so far; one nan makes the mean nan.
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            self._stop(f"the loss is {loss}")

    def on_epoch_end(self, epoch, logs=None):
        # The last step's update comes after its loss and may break the weights.
        if not all(tf.reduce_all(tf.math.is_finite(w)) for w in _floats(self.model)):
            self._stop("the weights are nan or inf")

    def _stop(self, what: str) -> None:
        batch = self.run.step + self.batch
        step = self.epoch * self.steps + batch
        files = self._files(step, step + 1)
        # A bad loss may come from its own batch or from the update before it.
        updated = step - step % self.accumulate
        if updated:
            earlier = self._files(updated - self.accumulate, updated)
            files += f" (after an update from {earlier})"
        kept = (
            f"{self.run.folder} stays as epoch {self.run.epoch} left it"
            if self.run.epoch
            else "no epoch was finished"
        )
        print()
        raise UserError(
            f"{what} at epoch {self.epoch + 1}, step {batch + 1}, whose batch was "
            f"{files}: train with a lower --learning-rate, or look at these files; "
            f"{kept}"
        )

    def _files(self, first: int, last: int) -> str:
        names = [name for step in range(first, last) for name in self.names(step)]
        return ", ".join(dict.fromkeys(names))


def _floats(model: keras.Model) -> list[tf.Tensor]:
    values = [tf.convert_to_tensor(weight) for weight in model.weights]
    return [value for value in values if value.dtype.is_floating]


class ClassWatch(keras.callbacks.Callback):
    """Warns if a validation finds one class only, or if a class is never found.

    Args:
        classes: the names of the classes.
    """

    EVERYTHING = 0.999
    """If a class has this share of the predictions, it counts as the only one."""

    PATIENCE = 5
    """Validations in a row with IoU 0 before a class is named."""

    def __init__(self, classes: tuple[str, ...]):
        super().__init__()
        self.classes = classes
        self.missed = np.zeros(len(classes), np.int64)
        self.named = np.zeros(len(classes), bool)
        self.said_everything = False

    def on_epoch_end(self, epoch, logs: Any = None):
        if "val_loss" not in logs:
            return
        confusion = _mean_iou(self.model).confusion.numpy()
        self._look_for_one_class(epoch, confusion)
        self._look_for_missed_classes(epoch, confusion)

    def _look_for_one_class(self, epoch: int, confusion: np.ndarray) -> None:
        total = max(confusion.sum(), 1)
        predicted, true = confusion.sum(axis=0) / total, confusion.sum(axis=1) / total
        index = predicted.argmax()
        if (
            predicted[index] >= self.EVERYTHING
            and true[index] < 0.99
            and not self.said_everything
        ):
            self.said_everything = True
            _say(
                f"epoch {epoch + 1} predicts {self.classes[index]!r} for every "
                f"validation pixel; it is right for {true[index]:.0%} of them. This is "
                "usual in the first hundred steps; later, try a lower --learning-rate "
                "or --class-weights median"
            )

    def _look_for_missed_classes(self, epoch: int, confusion: np.ndarray) -> None:
        # A class without a pixel in the truth has IoU NaN, which is no miss.
        zero = Scores.from_confusion(confusion).per_class_iou == 0
        self.missed = np.where(zero, self.missed + 1, 0)
        new = (self.missed >= self.PATIENCE) & ~self.named
        self.named |= new
        if new.any():
            names = ", ".join(self.classes[index] for index in np.flatnonzero(new))
            _say(
                f"IoU 0 in the last {self.PATIENCE} validations, epoch {epoch + 1} the "
                f"newest: {names}: check with `{command('data')}` that the training "
                "images show enough of each; --class-weights median, a larger --zoom "
                "or more epochs may help"
            )


def _mean_iou(model: keras.Model) -> MeanIoU:
    """The metric that a validation has just filled."""
    found = [
        inner
        for metric in model.metrics
        for inner in (metric, *getattr(metric, "metrics", ()))
        if isinstance(inner, MeanIoU)
    ]
    return found[0]


class ReadingWatch(keras.callbacks.Callback):
    """Warns if the training steps spend much of their time waiting for batches."""

    SKIPPED, MEASURED = 5, 20
    """Steps. The first ones trace the graph and take batches that were ready before."""

    LARGE = 0.2
    """If a step waits for this share of its time, there is a warning."""

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.waited = self.total = 0.0  # seconds, over the measured steps
        self._begun = self._delivered = 0.0

    def measured(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches; this callback notes the time at which each is delivered."""

        def note() -> None:
            self._delivered = time.monotonic()

        def hand_out(*batch):
            tf.numpy_function(note, [], [])
            return batch

        # Readers may occupy every thread of tf.data's pool, so the note needs a thread
        # of its own.
        noted = batches.map(hand_out, use_unbounded_threadpool=True)
        options = tf.data.Options()
        # Otherwise tf.data adds a buffer, and the note tells when that was filled.
        options.experimental_optimization.inject_prefetch = False
        return noted.with_options(options)

    def on_train_batch_begin(self, batch, logs=None):
        self._begun = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if not self.SKIPPED < self.steps <= self.SKIPPED + self.MEASURED:
            return
        self.waited += max(self._delivered - self._begun, 0.0)
        self.total += time.monotonic() - self._begun
        if self.steps == self.SKIPPED + self.MEASURED:
            self._judge(self.waited, self.total)

    def _judge(self, waited: float, total: float) -> None:
        if waited >= self.LARGE * total:
            _say(
                f"reading is the bottleneck: {waited / total:.0%} of a step's "
                f"{total / self.MEASURED:.2f} s is spent waiting for its batch. "
                "Smaller image files (with --zoom adapted) help most, then a local "
                "disk and more CPU cores"
            )
