"""Pictures of validation images in TensorBoard, and one line if it cannot write."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.datasets.dataset import Split
from segnet_tf.errors import UserError
from segnet_tf.evaluation.labelling import label_function
from segnet_tf.evaluation.visualize import comparison_sheet
from segnet_tf.metrics.confusion import Scores, confusion_matrix

__all__ = ["Panels", "writing_errors"]


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
        self.writer = tf.summary.create_file_writer(str(folder))
        self.predict: Any = None  # set when training begins
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
        split = self.split
        confusion = confusion_matrix(
            truth, prediction, split.info.num_classes, num_groups=len(split.groups)
        )
        mean_iou = Scores.from_confusion(confusion, split.groups).mean_iou
        caption = f"{split.names[index]}   mIoU {100 * mean_iou:.1f}"
        row = (caption, image, truth, prediction)
        return np.asarray(comparison_sheet([row], split.labels))

    def on_train_end(self, logs=None):
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
