"""Curves and pictures of validation images in TensorBoard."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import Split
from segnet_tf.errors import UserError
from segnet_tf.evaluation.labelling import label_function
from segnet_tf.evaluation.visualize import comparison_sheet
from segnet_tf.metrics.confusion import Scores, confusion_matrix
from segnet_tf.training.run_folder import Run

__all__ = ["Curves", "Panels", "writing_errors"]

PARTS = ("train", "validation")


class Curves(keras.callbacks.Callback):
    """Shows the history of a run in TensorBoard.

    Each start writes all of it anew. Keras' own callback adds files at each start, so
    that a run that is stopped often has many, and shows epochs twice.

    Args:
        folder: for the event files.
        run: its rows are the epochs that are finished.
    """

    def __init__(self, folder: Path, run: Run):
        super().__init__()
        self.folder = folder
        self.run = run
        self.writers: dict[str, Any] = {}

    def on_train_begin(self, logs=None):
        for part in PARTS:
            shutil.rmtree(self.folder / part, ignore_errors=True)
            writer = tf.summary.create_file_writer(str(self.folder / part))
            self.writers[part] = writer
        for row in self.run.rows:
            self._write(row["epoch"] - 1, row)

    def on_epoch_end(self, epoch, logs=None):
        self._write(epoch, logs or {})

    def _write(self, epoch: int, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            part = PARTS[name.startswith("val_")]
            if name not in ("epoch", "seconds"):
                with self.writers[part].as_default():
                    tag = f"epoch_{name.removeprefix('val_')}"
                    tf.summary.scalar(tag, value, step=epoch)
        for writer in self.writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self.writers.values():
            writer.close()


class Panels(keras.callbacks.Callback):
    """Shows image | truth | prediction | errors in TensorBoard at each validation.

    Args:
        folder: the folder of the event file.
        split: the validation split.
        count: number of images, spread over the split and always the same.
    """

    def __init__(self, folder, split: Split, count: int = 4):
        super().__init__()
        places = np.linspace(0, len(split) - 1, min(count, len(split)))
        self.indices = places.round().astype(int).tolist()
        self.split = split
        self.folder = folder
        # A start without a validation leaves no file.
        self.writer: Any = None
        self.predict: Any = None  # set when training begins
        self.epoch = 0

    def on_train_begin(self, logs=None):
        self.predict = label_function(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_test_end(self, logs=None):
        self.writer = self.writer or tf.summary.create_file_writer(str(self.folder))
        for index in self.indices:
            image, truth = self.split.read(index)
            panel = self._panel(index, image, truth, self.predict(image[None])[0])
            with self.writer.as_default():
                tf.summary.image(self.split.names[index], panel[None], step=self.epoch)
        self.writer.flush()

    def _panel(self, index: int, image, truth, prediction) -> np.ndarray:
        split = self.split
        confusion = confusion_matrix(
            truth, prediction, split.info.num_classes, num_groups=len(split.groups)
        )
        mean_iou = Scores.from_confusion(confusion, split.groups).mean_iou
        caption = f"{split.names[index]}   mIoU {100 * mean_iou:.1f}"
        row = (caption, image, truth, prediction)
        return np.asarray(comparison_sheet([row], split.labels))

    def on_train_end(self, logs=None):
        if self.writer:
            self.writer.close()


@contextmanager
def writing_errors(folder) -> Iterator[None]:
    """Raises a UserError for an error of TensorFlow's summary operators.

    Args:
        folder: the folder of the event files, for the message.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if "Summary" not in str(error):
            raise
        raise UserError(
            f"{folder}: TensorBoard's files cannot be written: is there room, and "
            "permission?"
        ) from None
