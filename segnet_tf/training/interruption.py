"""Saving inside an epoch: from time to time, and when a signal asks the run to end."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import keras

from segnet_tf.errors import Stopped
from segnet_tf.training.run_folder import Run

__all__ = ["StepCheckpoint"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StepCheckpoint(keras.callbacks.Callback):
    """Writes checkpoints inside an epoch, and ends the run at a signal.

    Ctrl-C or SIGTERM lets the step finish, saves it, and raises `Stopped`. A second one
    ends the process at once. During a validation, the epoch is finished first, because
    a validation has no state that could be saved. It comes after the callback that
    saves the epoch.

    Args:
        run: the run's folder.
        steps: of a whole epoch.
        minutes: between two checkpoints; 0: only at a signal.
        summed: the sum of an array over all processes of the run: they save and stop
            together.
    """

    def __init__(
        self,
        run: Run,
        steps: int,
        minutes: float,
        summed: Callable[[Any], Any] = lambda values: values,
    ):
        super().__init__()
        self.summed = summed
        self.run = run
        self.steps = steps
        self.seconds = 60 * minutes
        self.saved = time.monotonic()
        self.signal: int | None = None
        self.validating = False
        self._before: dict[int, Any] = {}
        self._pipe: int | None = None

    def on_train_begin(self, logs=None):
        # Other threads cannot set handlers, and get no signals.
        if threading.current_thread() is threading.main_thread():
            self._listen()

    def on_train_end(self, logs=None):
        self.restore_signals()

    def restore_signals(self) -> None:
        """Gives the signals back to those that had them before."""
        while self._before:
            signal.signal(*self._before.popitem())
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup)
            os.close(self._pipe)
            self._pipe = None

    def _listen(self) -> None:
        """Has a thread hear the signals, since handlers wait until a step returns."""
        reader, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self._wakeup = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        threading.Thread(target=self._hear, args=[reader], daemon=True).start()
        for number in SIGNALS:
            # A handler has to be there, or no byte comes.
            self._before[number] = signal.signal(number, lambda *_: None)

    def _hear(self, reader: int) -> None:
        with open(reader, "rb", buffering=0) as pipe:
            while numbers := pipe.read(64):
                for number in numbers:
                    if number in SIGNALS:
                        self._asked(number)

    def _asked(self, number: int) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        what = "the validation" if self.validating else "the step"
        print(f"\nfinishing {what}, then saving; again: stop at once", flush=True)

    def on_test_begin(self, logs=None):
        self.validating = True

    def on_test_end(self, logs=None):
        self.validating = False

    def on_train_batch_end(self, batch, logs=None):
        step = self.run.step + batch + 1
        # After the last step the epoch is saved.
        if step == self.steps:
            return
        due = bool(self.seconds) and time.monotonic() - self.saved >= self.seconds
        due, asked = self._agreed(due and self.run.writes)
        if due or asked:
            self.run.save_step(self.model, step)
            self.saved = time.monotonic()
        if asked:
            self._stop(f"step {step} of epoch {self.run.epoch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self.saved = time.monotonic()
        if self._agreed(False)[1]:
            self._stop(f"epoch {self.run.epoch}")

    def _agreed(self, due: bool) -> tuple[bool, bool]:
        """Whether a process wants to save, and whether one was asked to stop."""
        due, asked = self.summed([int(due), int(self.signal is not None)])
        return bool(due), bool(asked)

    def _stop(self, place: str) -> None:
        self.restore_signals()
        raise Stopped(
            # Another process may have got it.
            self.signal or signal.SIGTERM,
            f"stopped after {place}, and saved: the same command with --resume goes on",
        )
