"""A run that goes wrong says so, once; one that explodes keeps what was good."""

import sys
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.datasets.pipeline import (
    batch_names,
    evaluation_batches,
    training_batches,
)
from segnet_tf.errors import UserError
from segnet_tf.metrics.confusion import MeanIoU
from segnet_tf.training.augmentation import Augmentation, augment
from segnet_tf.training.callbacks import RunCheckpoint
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.diagnostics import ClassWatch, LossGuard, ReadingWatch
from segnet_tf.training.pixel_loss import PixelLoss
from segnet_tf.training.run_folder import Run
from segnet_tf.training.tensorboard import Curves, Panels
from segnet_tf.training.trainer import callbacks_of

INFO = DatasetInfo("toy", ("sky", "road", "car"), ((9, 9, 200), (90, 0, 90), (9, 9, 9)))
STILL = Augmentation((32, 32), (1.0, 1.0), flip=False, color_jitter=0.0)


def still(image, labels, seed):
    return augment(image, labels, STILL, seed)


def numbered_split(count: int, delay: float = 0.0) -> Split:
    """Images whose blue is their number; a third of the pixels of each class."""
    labels = np.repeat(np.arange(3, dtype=np.uint8), 12)[:, None].repeat(36, axis=1)

    def read(index):
        time.sleep(delay)
        image = np.full((36, 36, 3), 100, np.uint8)
        image[..., 2] = index
        return image, labels

    names = tuple(f"frame {index}.png" for index in range(count))
    return Split(INFO, "train", names, read)


def pixel_model(learning_rate: float) -> keras.Model:
    """A linear classifier of pixels, which starts by calling everything sky."""
    images = keras.Input((None, None, 3))
    logits = keras.layers.Conv2D(3, 1, kernel_initializer="zeros")(images)
    model = keras.Model(images, logits)
    model.compile(
        keras.optimizers.SGD(learning_rate),
        loss=PixelLoss(),
        metrics=[MeanIoU(3)],
    )
    return model


def fit(model, split, callbacks, epochs, steps, batch_size=2, validation=None):
    batches = training_batches(split, still, batch_size, seed=3)
    model.fit(
        batches,
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=validation,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.new(TrainConfig(), str(tmp_path / "run"), 7)


class Losses(keras.callbacks.Callback):
    """Every step's loss so far, as the guard sees it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(logs["loss"]))


def test_an_exploding_rate_stops_the_run_and_keeps_the_epoch_before(run):
    split, steps = numbered_split(7), 6
    losses = Losses()
    names = {}

    def named(step):
        names.setdefault("step", step)
        return batch_names(split, 2, 3, step)

    rates = keras.callbacks.LearningRateScheduler(
        lambda epoch: 1e-6 if epoch == 0 else 1e36
    )
    kept = {}

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                kept.update(contents(run))

    guard, checkpoint = LossGuard(run, named, steps), RunCheckpoint(run, True, INFO)
    callbacks = [losses, rates, guard, checkpoint, Look()]
    with pytest.raises(UserError) as caught:
        fit(pixel_model(1e-6), split, callbacks, 3, steps)
    assert np.isfinite(losses.seen[:-1]).all() and not np.isfinite(losses.seen[-1])
    step = len(losses.seen) - 1
    assert names["step"] == step and steps < step < 2 * steps
    assert kept and contents(run) == kept, "the finished epoch's files are untouched"
    # What was in the batch, by its own pixels.
    stream = training_batches(split, still, 2, seed=3)
    *_, before, batch = [images.numpy() for images, _ in stream.take(step + 1)]
    message = str(caught.value)
    broken, earlier = (
        ", ".join(f"frame {int(image[0, 0, 2])}.png" for image in images)
        for images in (batch, before)
    )
    where = f"step {step - steps + 1}, whose batch was {broken} (after an update from"
    assert f"{where} {earlier}):" in message
    assert "at epoch 2" in message and "stays as epoch 1 left it" in message
    assert "\n" not in message and "--learning-rate" in message


def contents(run: Run) -> dict:
    return {
        path.relative_to(run.folder): path.read_bytes()
        for path in run.folder.rglob("*")
        if path.is_file()
    }


def test_weights_that_break_in_an_epochs_last_step_are_not_kept(run):
    guard = LossGuard(run, lambda step: (f"frame {step}.png",), 4)
    model = pixel_model(0.0)
    guard.set_model(model)
    guard.on_epoch_begin(0)
    guard.on_train_batch_end(3, {"loss": 0.5})
    guard.on_epoch_end(0, {})
    kernel = model.layers[-1].kernel
    kernel.assign(kernel + np.nan)
    with pytest.raises(UserError, match="weights are nan.*frame 3.png.*no epoch was"):
        guard.on_epoch_end(0, {})


@pytest.mark.parametrize(
    "accumulate, step, update", [(1, 0, ""), (1, 5, "4"), (3, 2, ""), (3, 7, "3, 4, 5")]
)
def test_the_update_before_a_bad_loss_is_named(run, accumulate, step, update):
    guard = LossGuard(run, lambda step: (str(step),), 4, accumulate)
    guard.on_epoch_begin(step // 4)
    after = f" (after an update from {update})" if update else ""
    with pytest.raises(UserError) as caught:
        guard.on_train_batch_end(step % 4, {"loss": np.nan})
    assert f"whose batch was {step}{after}:" in str(caught.value)


def test_one_class_for_everything_and_classes_never_found(capsys):
    split = numbered_split(2)
    epochs = ClassWatch.PATIENCE + 2
    validation = evaluation_batches(split)
    callback = ClassWatch(INFO.classes)
    fit(pixel_model(0.0), split, [callback], epochs, 1, validation=validation)
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) == 2, "each is said once"
    assert "epoch 1 predicts 'sky' for every" in lines[0] and "33%" in lines[0]
    assert f"IoU 0 in the last {ClassWatch.PATIENCE} validations" in lines[1]
    assert "newest: road, car:" in lines[1]


class Validated:
    """A model as far as `ClassWatch` looks: metrics that hold this confusion."""

    def __init__(self, confusion):
        metric = MeanIoU(len(confusion))
        metric.confusion.assign(confusion)
        self.metrics = [metric]


def watch(*confusions) -> None:
    callback = ClassWatch(INFO.classes)
    for epoch, confusion in enumerate(confusions):
        callback.set_model(Validated(confusion))
        callback.on_epoch_end(epoch, {"val_loss": 1.0})


GOOD = [[50, 1, 1], [1, 50, 1], [1, 1, 50]]
NO_CAR = [[50, 1, 0], [1, 50, 0], [9, 9, 0]]
CAR_ABSENT = [[50, 1, 1], [1, 50, 1], [0, 0, 0]]
ALL_SKY_TRULY = [[9999, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_silence_where_nothing_is_wrong(capsys):
    watch(*[GOOD] * 9)
    watch(*[CAR_ABSENT] * 9)
    watch(*[NO_CAR] * 4, GOOD, *[NO_CAR] * 4)
    watch(*[ALL_SKY_TRULY] * 4)
    assert capsys.readouterr().out == ""


def test_a_missed_class_is_named_once(capsys):
    watch(*[NO_CAR] * 12)
    said = capsys.readouterr().out
    assert said.count("warning") == 1 and ": car:" in said and "epoch 5" in said


def test_epochs_without_validation_do_not_count(capsys):
    callback = ClassWatch(INFO.classes)
    for epoch in range(9):
        callback.on_epoch_end(epoch, {"loss": 1.0})
    assert capsys.readouterr().out == ""


def drive(monkeypatch, split, step_seconds) -> ReadingWatch:
    """Takes batches as `fit` does, each step computing for so long."""
    monkeypatch.setattr(ReadingWatch, "MEASURED", 10)
    reading = ReadingWatch()
    batches = iter(reading.measured(training_batches(split, still, 2, seed=0)))
    for step in range(ReadingWatch.SKIPPED + ReadingWatch.MEASURED + 3):
        reading.on_train_batch_begin(step)
        images, labels = next(batches)
        assert images.shape == (2, 32, 32, 3) and labels.shape == (2, 32, 32)
        time.sleep(step_seconds)
        reading.on_train_batch_end(step, {})
    return reading


def test_a_slow_reader_is_the_bottleneck(monkeypatch, capsys):
    # So many images that none is remembered from an earlier epoch.
    slow = numbered_split(60, delay=0.2)
    reading = drive(monkeypatch, slow, step_seconds=0.01)
    said = capsys.readouterr().out
    assert said.count("reading is the bottleneck") == 1
    waited, total = reading.waited, reading.total
    assert 0.5 * total < waited <= total
    assert f"{waited / total:.0%} of a step's {total / 10:.2f} s" in said


def test_a_fast_reader_is_not(monkeypatch, capsys):
    reading = drive(monkeypatch, numbered_split(4), step_seconds=0.1)
    assert capsys.readouterr().out == ""
    waited, total = reading.waited, reading.total
    assert 0 < waited < 0.2 * total and total > 10 * 0.1


def test_measuring_leaves_the_stream_as_it_was():
    batches = training_batches(numbered_split(5), still, 2, seed=1)
    same = ReadingWatch().measured(batches)
    assert same.element_spec == batches.element_spec
    for one, other in zip(batches.take(6), same.take(6), strict=True):
        for x, y in zip(one, other, strict=True):
            np.testing.assert_array_equal(x, y)


def summaries(folder) -> list:
    from tensorboard.compat.proto.event_pb2 import Event

    files = [str(path) for path in folder.glob("events*")]
    records = tf.data.TFRecordDataset(files).as_numpy_iterator()
    events = [Event.FromString(record) for record in records]
    return [(event.step, value) for event in events for value in event.summary.value]


def test_each_start_shows_the_whole_history_in_one_file(tmp_path):
    rows = [
        {"epoch": 1, "loss": 2.0, "seconds": 9.0},
        {"epoch": 2, "loss": 1.0, "val_loss": 3.0, "seconds": 9.0},
    ]
    for start in (1, 2):
        callback = Curves(tmp_path, SimpleNamespace(rows=rows[:start]))
        callback.on_train_begin()
        callback.on_epoch_end(start, {"loss": 0.5})
        callback.on_train_end()
        assert len(list((tmp_path / "train").iterdir())) == 1
    found = [(step, value.tag) for step, value in summaries(tmp_path / "train")]
    assert found == [(epoch, "epoch_loss") for epoch in (0, 1, 2)]
    [(step, value)] = summaries(tmp_path / "validation")
    assert (step, value.tag) == (1, "epoch_loss")
    assert tf.io.decode_raw(value.tensor.tensor_content, tf.float32) == 3.0


def test_tensorboard_gets_scalars_and_panels_at_validated_epochs(run):
    split = numbered_split(9)
    batches = training_batches(split, still, 2, seed=3)
    config = TrainConfig.of(batch_size=2, seed=3, epochs=4, validate_every=1)
    callbacks = callbacks_of(config, run, split, split, steps=1)
    pixel_model(1e-6).fit(
        batches,
        epochs=4,
        steps_per_epoch=1,
        validation_data=evaluation_batches(split),
        validation_freq=2,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    folder = run.folder / "tensorboard"
    for part in ("train", "validation"):
        tags = {value.tag for _, value in summaries(folder / part)}
        assert {"epoch_loss", "epoch_mean_iou"} <= tags
    panels = summaries(folder / "panels")
    names = [split.names[index] for index in (0, 3, 5, 8)]
    assert [(step, value.tag) for step, value in panels] == [
        (epoch, name) for epoch in (1, 3) for name in names
    ]
    width, height, png = panels[0][1].tensor.string_val
    assert "tensorboard.program" not in sys.modules, "no server to write with"
    picture = tf.io.decode_png(png).numpy()
    assert picture.shape == (int(height), int(width), 3)
    assert len({value.tensor.string_val[2] for _, value in panels[:4]}) > 1


def test_panels_show_the_averaged_weights(tmp_path, monkeypatch):
    """Those that the validation scored, by a bias that only they have."""
    split = numbered_split(3)
    model = pixel_model(1e-6)
    model.compile(
        keras.optimizers.SGD(1e-6, use_ema=True, ema_momentum=0.5),
        loss=PixelLoss(),
        metrics=[MeanIoU(3)],
    )
    seen = []
    monkeypatch.setattr(
        Panels, "_panel", lambda self, *row: seen.append(row[3]) or row[1]
    )

    class Average(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            bias = self.model.optimizer._model_variables_moving_average[1]
            bias.assign([0.0, 0.0, 9.0])

    panels = Panels(tmp_path, split)
    averaging = keras.callbacks.SwapEMAWeights()
    callbacks = [Average(), panels, averaging]
    fit(model, split, callbacks, 1, 1, validation=evaluation_batches(split))
    assert len(seen) == 3 and all((labels == 2).all() for labels in seen)


def test_panels_of_a_split_smaller_than_their_count(tmp_path):
    panels = Panels(tmp_path, numbered_split(2))
    assert panels.indices == [0, 1]
