"""Training: takes a frozen configuration and writes a folder of results."""

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

from segnet_tf.datasets import registry
from segnet_tf.datasets.dataset import (
    DatasetInfo,
    MissingSplit,
    Split,
    typical_size,
)
from segnet_tf.datasets.pipeline import (
    batch_names,
    evaluation_batches,
    reading_errors,
    training_batches,
)
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.storage.caching import cache_remarks, remembered_bytes
from segnet_tf.evaluation.evaluate import evaluate, score_table, write_metrics
from segnet_tf.inference.model_file import load_model, save_model
from segnet_tf.layers.batch_norm import recalibrate_batch_norm
from segnet_tf.layers.devices import has_gpu
from segnet_tf.training.arithmetic import make_deterministic, precision
from segnet_tf.training.augmentation import augment
from segnet_tf.training.building import compiled
from segnet_tf.training.callbacks import (
    EarlyStop,
    Restored,
    RunCheckpoint,
    TimeEstimate,
    validated_epochs,
)
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.diagnostics import ClassWatch, LossGuard, ReadingWatch
from segnet_tf.training.interruption import StepCheckpoint
from segnet_tf.training.length import planned, stalled, steps_of
from segnet_tf.training.memory import say_memory
from segnet_tf.training.optimizers import decay_kernels_only, keep_own_weights
from segnet_tf.training.replicas import Replicas
from segnet_tf.training.run_folder import Run
from segnet_tf.training.tensorboard import Curves, Panels, writing_errors

__all__ = ["callbacks_of", "train"]


def train(
    config: TrainConfig,
    output: str | None = None,
    resume: bool = False,
    replicas: Replicas | None = None,
) -> Path:
    """Trains a network, or goes on training it, and writes the run's folder.

    Args:
        config: all options of the run.
        output: the run's folder; None: `runs/<dataset>-<model>`, with a number if that
            is taken.
        resume: whether to go on where the run in `output`, or the newest one with this
            configuration, was stopped.
        replicas: the devices and machines that share each batch; None: one device.

    Returns:
        The run's folder.

    Raises:
        UserError: if data or weights are missing, if the output folder is taken, if
            there is nothing to resume, or if the loss becomes nan or inf.
        Stopped: if Ctrl-C or SIGTERM ended it; what was trained is saved. Or if another
            machine of the run is gone; then its last checkpoint counts.
    """
    replicas = replicas or Replicas()
    replicas.check(config)
    if config.run.deterministic:
        make_deterministic(config)
    keras.utils.set_random_seed(config.run.seed)
    train_split = _split(config, config.data.train_split, config.folder)
    # The model file stores the size: predictions scale images to it.
    info = replace(train_split.info, image_size=typical_size(train_split))
    train_split = replace(train_split, info=info)
    val_split = _validation_split(config, info)
    if val_split:
        _warn_of_overlap(train_split, val_split)
    asked, config = config, planned(config, len(train_split))
    find = Run.resumed if resume else Run.new
    images = len(train_split)
    with closing(find(config, output, images, writes=replicas.is_chief)) as run:
        shared = {**config.as_options(), "training images": images}
        with replicas.losses():
            replicas.compare(run.folder, shared, run.epoch, run.step)
        steps = steps_of(config, len(train_split))
        _say_plan(config, run, train_split, val_split, steps)
        if not asked.optimization.epochs:
            print("so many epochs for so many images; --epochs sets another number")
        if not _is_over(config, run):
            with precision(config), replicas.losses():
                _fit(config, run, train_split, val_split, steps, replicas)
        if replicas.is_chief:
            _finish(config, run, train_split, val_split)
    return run.folder


def _is_over(config: TrainConfig, run: Run) -> bool:
    return run.epoch >= config.optimization.epochs or stalled(config, run.rows)


def _split(config: TrainConfig, name: str, reading: Reading) -> Split:
    data = config.data
    return registry.load(data.dataset, name, data.data_dir, data.channels, reading)


def _validation_split(config: TrainConfig, info: DatasetInfo) -> Split | None:
    # Both splits are scaled alike.
    reading = registry.scaled_alike(
        config.data.dataset, config.folder, info.value_range
    )
    try:
        return _split(config, config.data.val_split, reading)
    except MissingSplit as error:
        print(f"{error}: there is no validation, and the last weights are kept")
        return None


def _warn_of_overlap(train_split: Split, val_split: Split) -> None:
    shared = set(train_split.sources) & set(val_split.sources)
    if shared:
        print(
            f"warning: {len(shared)} of the {len(val_split)} images of "
            f"{val_split.name!r} are in {train_split.name!r} too, so that the score "
            "will be too high: choose --train-split and --val-split without common "
            "images"
        )


def _say_plan(config, run, train_split, val_split, steps) -> None:
    for line in (
        *train_split.remarks(),
        *cache_remarks(train_split, config.data.cache),
    ):
        print(line)
    validation = len(val_split) if val_split else "no"
    optimization, (height, width) = config.optimization, config.augmentation.crop
    print(
        f"{config.network.model} on {config.data.dataset}: {len(train_split)} training "
        f"and {validation} validation images, {optimization.epochs} epochs of {steps} "
        f"steps, {optimization.batch_size} crops of {height}x{width} in each step"
    )
    if run.epoch or run.step:
        step = f", step {run.step}" if run.step else ""
        print(f"going on after epoch {run.epoch}{step}")
    if run.writes:
        print(f"results go to {run.folder}/")


def _fit(config, run, train_split, val_split, steps, replicas) -> None:
    if val_split:
        _read_once(val_split)
    with replicas.scope():
        model = run.checkpointed_model()
        if model is None:
            model = compiled(config, train_split, steps * config.optimization.epochs)
        else:
            decay_kernels_only(model.optimizer)
    keep_own_weights(model.optimizer)
    if not has_gpu():
        say_memory(model, config, remembered_bytes(train_split, config.data.cache))
    run.begin(config)
    # Keras' epochs are of one length, so what is left of a begun one is a fit of its
    # own.
    while not _is_over(config, run):
        _fit_on(model, config, run, train_split, val_split, steps, replicas)


def _fit_on(model, config, run, train_split, val_split, steps, replicas) -> None:
    """The rest of a begun epoch, or all epochs that are left."""
    optimization = config.optimization
    reading = ReadingWatch()

    def batches(count: int, here: range) -> tf.data.Dataset:
        stream = training_batches(
            train_split,
            lambda image, labels, seed: augment(
                image, labels, config.augmentation, seed
            ),
            optimization.batch_size,
            config.run.seed,
            start=(run.epoch * steps + run.step) * optimization.batch_size,
            cache=config.data.cache,
            replicas=count,
            here=here,
        )
        return reading.measured(stream)

    validation = None
    if val_split:
        validation = replicas.batches(
            lambda count, here: evaluation_batches(val_split, count, here)
        )
    saving = StepCheckpoint(run, steps, config.run.checkpoint_minutes, replicas.summed)
    folder = run.folder / "tensorboard"
    try:
        with reading_errors(), writing_errors(folder):
            model.fit(
                replicas.batches(batches),
                epochs=run.epoch + 1 if run.step else optimization.epochs,
                initial_epoch=run.epoch,
                steps_per_epoch=steps - run.step,
                validation_data=validation,
                validation_steps=replicas.rounds(val_split),
                validation_freq=validated_epochs(config),
                # `training_batches` shuffles.
                shuffle=False,
                callbacks=[
                    Restored(run),
                    reading,
                    *callbacks_of(config, run, train_split, val_split, steps),
                    saving,
                ],
                # A progress bar redraws itself; in a file that makes thousands of
                # lines.
                verbose=_verbosity(run),
            )
    finally:
        saving.restore_signals()


def _verbosity(run: Run) -> int:
    if not run.writes:
        return 0
    return 1 if sys.stdout.isatty() else 2


def _read_once(split: Split) -> None:
    """Finds broken files before training: at a validation they would cost an epoch."""
    with reading_errors():
        evaluation_batches(split).reduce(0, lambda count, _: count + 1)


def callbacks_of(config, run, train_split, val_split, steps) -> list:
    """The callbacks of a run, in the order in which they have to act.

    A callback that stops a bad run comes before the one that saves the model. A
    callback that looks at a validation comes before the one that swaps the averaged
    weights back.

    Args:
        config: all options of the run.
        run: the folder of the run.
        train_split: the training split.
        val_split: the validation split, or None.
        steps: number of steps in an epoch.
    """

    def names(step: int) -> tuple[str, ...]:
        batch_size = config.optimization.batch_size
        return batch_names(train_split, batch_size, config.run.seed, step)

    folder = run.folder / "tensorboard"
    callbacks = [LossGuard(run, names, steps, config.optimization.accumulate)]
    if run.writes:
        callbacks.append(Curves(folder, run))
    if val_split:
        # All processes take part in reading a metric.
        callbacks.append(ClassWatch(val_split.info.classes))
    if val_split and run.writes:
        callbacks.append(Panels(folder / "panels", val_split))
    # It validates with the averaged weights, then swaps the run's own back.
    averaging = [keras.callbacks.SwapEMAWeights()] if config.optimization.ema else []
    best = config.run.save_best and val_split is not None
    return [
        *callbacks,
        *averaging,
        TimeEstimate(config, run.epoch, steps, val_split),
        RunCheckpoint(run, best, train_split.info, *averaging),
        EarlyStop(config, run),
    ]


def _finish(config, run, train_split, val_split) -> None:
    """Recalibrates batch normalisation if that is asked for, and scores the model."""
    model = load_model(run.model_path)
    if config.run.recalibrate_bn:
        print(f"batch-norm statistics over the {len(train_split)} training images")
        with reading_errors():
            images = (images for images, _ in evaluation_batches(train_split))
            recalibrate_batch_norm(model, images)
        save_model(model, run.model_path, train_split.info)
    if val_split is None:
        return
    print(f"scoring {run.model_path} on {val_split.name}")
    evaluation = evaluate(model, val_split)
    print(score_table(evaluation, val_split.labels.classes))
    write_metrics(run.folder / "metrics.json", evaluation, val_split, run.model_path)
