"""What a training run shows of itself: TensorBoard, and a line where it goes wrong.

Every warning is said once, and says what to do about it.
"""

import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.config import TrainConfig
from segnet_tf.datasets.split import Split
from segnet_tf.errors import UserError
from segnet_tf.evaluation import label_function
from segnet_tf.metrics import MeanIoU, Scores, confusion_matrix
from segnet_tf.pipeline import batch_names
from segnet_tf.runs import Run
from segnet_tf.visualize import comparison_sheet

__all__ = ["ClassWatch", "LossGuard", "Panels", "ReadingWatch", "watched"]


def watched(
    batches: tf.data.Dataset,
    config: TrainConfig,
    run: Run,
    train_split: Split,
    val_split: Split | None,
) -> tuple[tf.data.Dataset, list[keras.callbacks.Callback]]:
    """The training batches, their waiting measured, and the callbacks of this module.

    The callbacks belong before those that write the model: one of them stops the run
    before a bad epoch is kept; and before one that swaps weights for a validation.
    """

    def names(step: int) -> tuple[str, ...]:
        return batch_names(train_split, config.batch_size, config.seed, step)

    reading = ReadingWatch()
    folder = run.folder / "tensorboard"
    callbacks = [
        LossGuard(run, names, config.accumulate),
        reading,
        keras.callbacks.TensorBoard(folder, write_graph=False),
    ]
    if val_split:
        callbacks += [
            ClassWatch(val_split.info.classes),
            Panels(folder / "panels", val_split),
        ]
    return reading.measured(batches), callbacks


def _say(line: str) -> None:
    # On a terminal the cursor is at the end of Keras' bar.
    print(f"\nwarning: {line}", flush=True)


class LossGuard(keras.callbacks.Callback):
    """Stops a run whose loss or weights are no longer numbers, before it is kept.

    Args:
        run: the run whose finished epochs stay as they are.
        names: step, counted from the run's first, -> names of its batch's files.
        accumulate: how many steps make one update.

    Raises:
        UserError: out of `fit`.
    """

    def __init__(
        self, run: Run, names: Callable[[int], tuple[str, ...]], accumulate: int = 1
    ):
        super().__init__()
        self.run = run
        self.names = names
        self.accumulate = accumulate
        self.epoch = self.batch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.batch = batch
        # The mean over the epoch so far turns bad with the first batch that is.
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            self._stop(f"the loss is {loss}")

    def on_epoch_end(self, epoch, logs=None):
        # The last step's gradients come after its loss.
        if not all(tf.reduce_all(tf.math.is_finite(w)) for w in _floats(self.model)):
            self._stop("the weights are nan or inf")

    def _stop(self, what: str) -> None:
        step = self.epoch * self.params["steps"] + self.batch
        files = self._files(step, step + 1)
        # A bad loss may come from the update before it as well as from its own batch.
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
            f"{what} at epoch {self.epoch + 1}, step {self.batch + 1}, whose batch was "
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
    """Says so where a validation finds one class alone, or never finds a class.

    Args:
        classes: their names.
    """

    EVERYTHING = 0.999
    """Share of the predictions from which one class counts as all of them."""

    PATIENCE = 5
    """Validations in a row with IoU 0 before a class is named."""

    def __init__(self, classes: tuple[str, ...]):
        super().__init__()
        self.classes = classes
        self.missed = np.zeros(len(classes), np.int64)
        self.named = np.zeros(len(classes), bool)
        self.said_everything = False

    def on_epoch_end(self, epoch, logs=None):
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
                f"validation pixel, which is right for {true[index]:.0%}: usual in the "
                "first hundred steps; later, lower --learning-rate or take "
                "--class-weights median"
            )

    def _look_for_missed_classes(self, epoch: int, confusion: np.ndarray) -> None:
        # NaN, of a class that is not there to be found, is no miss.
        zero = Scores.from_confusion(confusion).per_class_iou == 0
        self.missed = np.where(zero, self.missed + 1, 0)
        new = (self.missed >= self.PATIENCE) & ~self.named
        self.named |= new
        if new.any():
            names = ", ".join(self.classes[index] for index in np.flatnonzero(new))
            _say(
                f"IoU 0 in the last {self.PATIENCE} validations, epoch {epoch + 1} the "
                f"newest: {names}: see with `python -m segnet_tf.datasets` that the "
                "training images show enough of it; --class-weights median, a larger "
                "--scale or more epochs may help"
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
    """Says so where the training step spends its time waiting for batches."""

    SKIPPED, MEASURED = 5, 20
    """The first steps trace the graph, and take batches that were ready before."""

    LARGE = 0.2
    """Share of a step's time from which waiting is worth a line."""

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.waited = self.total = 0.0  # seconds, over the measured steps
        self._begun = self._delivered = 0.0

    def measured(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches; the time at which each is handed out is noted."""

        def note() -> None:
            self._delivered = time.monotonic()

        def hand_out(*batch):
            tf.numpy_function(note, [], [])
            return batch

        # Readers may hold every thread of tf.data's own pool: the note must not wait
        # for one of them, nor the batch for the note.
        noted = batches.map(hand_out, use_unbounded_threadpool=True)
        options = tf.data.Options()
        # tf.data would put a buffer of its own behind, and hand out into that.
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
                f"{total / self.MEASURED:.2f} s goes by waiting for its batch. Images "
                "stored smaller (and --scale adapted) help most, then a local disk "
                "and more CPU cores"
            )


class Panels(keras.callbacks.Callback):
    """image | truth | prediction | errors in TensorBoard, at each validation.

    Args:
        folder: of the event file.
        split: the validation split.
        count: how many of its images, spread over it and always the same.
    """

    def __init__(self, folder, split: Split, count: int = 4):
        super().__init__()
        places = np.linspace(0, len(split) - 1, min(count, len(split)))
        self.indices = places.round().astype(int).tolist()
        self.split = split
        self.writer = tf.summary.create_file_writer(str(folder))
        self.predict = None
        self.epoch = 0

    def on_train_begin(self, logs=None):
        self.predict = label_function(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_test_end(self, logs=None):
        for index in self.indices:
            image, truth = self.split.read(index)
            panel = self._panel(index, image, truth, self.predict(image[None])[0])
            with self.writer.as_default():
                tf.summary.image(self.split.names[index], panel[None], step=self.epoch)
        self.writer.flush()

    def _panel(self, index: int, image, truth, prediction) -> np.ndarray:
        info = self.split.info
        confusion = confusion_matrix(truth, prediction, info.num_classes)
        mean_iou = Scores.from_confusion(confusion).mean_iou
        caption = f"{self.split.names[index]}   mIoU {100 * mean_iou:.1f}"
        row = (caption, image, truth, prediction)
        return np.asarray(comparison_sheet([row], info))

    def on_train_end(self, logs=None):
        self.writer.close()
