"""Training: takes a frozen configuration and writes a folder of results."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.datasets import registry
from segnet_tf.datasets.class_weights import CLASS_WEIGHTS
from segnet_tf.datasets.dataset import (
    DatasetInfo,
    MissingSplit,
    Split,
    class_pixel_counts,
    typical_size,
)
from segnet_tf.datasets.pipeline import (
    batch_names,
    evaluation_batches,
    reading_errors,
    training_batches,
)
from segnet_tf.datasets.reading import Reading
from segnet_tf.evaluation.evaluate import evaluate, score_table, write_metrics
from segnet_tf.inference.model_file import find_model, load_model, save_model
from segnet_tf.layers.batch_norm import recalibrate_batch_norm
from segnet_tf.metrics.confusion import MeanIoU
from segnet_tf.models import networks
from segnet_tf.models.pretrained import copy_matching_weights
from segnet_tf.training.augmentation import augment
from segnet_tf.training.callbacks import (
    EarlyStop,
    RunCheckpoint,
    TimeEstimate,
    validated_epochs,
)
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.diagnostics import ClassWatch, LossGuard, ReadingWatch
from segnet_tf.training.length import planned, stalled, steps_of
from segnet_tf.training.optimizers import (
    build_optimizer,
    decay_kernels_only,
    encoder_layers,
)
from segnet_tf.training.pixel_loss import PixelLoss
from segnet_tf.training.run_folder import Run
from segnet_tf.training.tensorboard import Panels, writing_errors

__all__ = ["build", "callbacks_of", "train"]


def train(config: TrainConfig, output: str | None = None, resume: bool = False) -> Path:
    """Trains a network, or goes on training it, and writes the run's folder.

    Args:
        config: all options of the run.
        output: the run's folder; None: `runs/<dataset>-<model>`, with a number if that
            is taken.
        resume: whether to go on after the last finished epoch of `output`, or of the
            newest run with this configuration.

    Returns:
        The run's folder.

    Raises:
        UserError: if data or weights are missing, if the output folder is taken, if
            there is nothing to resume, or if the loss becomes nan or inf.
    """
    keras.utils.set_random_seed(config.run.seed)
    train_split = _split(config, config.data.train_split, config.folder)
    # The model file stores the size: predictions scale images to it.
    info = replace(train_split.info, image_size=typical_size(train_split))
    train_split = replace(train_split, info=info)
    val_split = _validation_split(config, info)
    if val_split:
        _warn_of_overlap(train_split, val_split)
    asked, config = config, planned(config, len(train_split))
    run = (Run.resumed if resume else Run.new)(config, output)
    steps = steps_of(config, len(train_split))
    _say_plan(config, run, train_split, val_split, steps)
    if not asked.optimization.epochs:
        print("so many epochs for so many images; --epochs sets another number")
    if run.epoch < config.optimization.epochs and not stalled(config, run.rows):
        with _precision(config):
            _fit(config, run, train_split, val_split, steps)
    _finish(config, run, train_split, val_split)
    return run.folder


def _split(config: TrainConfig, name: str, reading: Reading) -> Split:
    data = config.data
    return registry.load(data.dataset, name, data.data_dir, data.channels, reading)


def _validation_split(config: TrainConfig, info: DatasetInfo) -> Split | None:
    # Both splits are scaled alike.
    reading = config.folder.with_range(info.value_range)
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
    for line in train_split.remarks():
        print(line)
    validation = len(val_split) if val_split else "no"
    optimization, (height, width) = config.optimization, config.augmentation.crop
    print(
        f"{config.network.model} on {config.data.dataset}: {len(train_split)} training "
        f"and {validation} validation images, {optimization.epochs} epochs of {steps} "
        f"steps, {optimization.batch_size} crops of {height}x{width} in each step"
    )
    if run.epoch:
        print(f"going on after epoch {run.epoch}")
    print(f"results go to {run.folder}/")


@contextmanager
def _precision(config: TrainConfig) -> Iterator[None]:
    """Inside, new layers compute in half precision if the configuration says so."""
    before = keras.config.dtype_policy()
    if config.run.mixed_precision:
        # CPUs have bfloat16, which needs no loss scaling; GPUs are fast in float16.
        half = "float16" if tf.config.list_physical_devices("GPU") else "bfloat16"
        keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _fit(config, run, train_split, val_split, steps) -> None:
    if val_split:
        _read_once(val_split)
    model = _compiled(config, run, train_split, steps)
    optimization = config.optimization
    batches = training_batches(
        train_split,
        lambda image, labels, seed: augment(image, labels, config.augmentation, seed),
        optimization.batch_size,
        config.run.seed,
        start=run.epoch * steps * optimization.batch_size,
    )
    run.begin(config)
    reading = ReadingWatch()
    with reading_errors(), writing_errors(run.folder / "tensorboard"):
        model.fit(
            reading.measured(batches),
            epochs=optimization.epochs,
            initial_epoch=run.epoch,
            steps_per_epoch=steps,
            validation_data=evaluation_batches(val_split) if val_split else None,
            validation_freq=validated_epochs(config),
            # `training_batches` shuffles.
            shuffle=False,
            callbacks=[
                reading,
                *callbacks_of(config, run, train_split, val_split, steps),
            ],
            # A progress bar redraws itself; in a file that makes thousands of lines.
            verbose=1 if sys.stdout.isatty() else 2,
        )


def _read_once(split: Split) -> None:
    """Finds broken files before training: at a validation they would cost an epoch."""
    with reading_errors():
        evaluation_batches(split).reduce(0, lambda count, _: count + 1)


def _compiled(config, run, train_split, steps) -> keras.Model:
    """The run's checkpoint, or a fresh network, compiled."""
    model = run.checkpointed_model()
    if model is not None:
        decay_kernels_only(model.optimizer)
        return model
    optimization, num_classes = config.optimization, train_split.info.num_classes
    model = build(config, num_classes)
    encoder = []
    if optimization.encoder_lr_multiplier != 1:
        last = networks.NETWORKS[config.network.model].encoder
        encoder = encoder_layers(model, last)
    model.compile(
        optimizer=build_optimizer(config, steps * optimization.epochs, encoder),
        loss=PixelLoss(
            optimization.loss,
            _class_weights(config, train_split),
            groups=train_split.groups,
            logit_adjustment=optimization.logit_adjustment,
        ),
        metrics=[MeanIoU(num_classes)],
        jit_compile=config.run.jit_compile,
    )
    return model


def build(config: TrainConfig, num_classes: int) -> keras.Model:
    """The configured network, with random weights, pretrained ones or another run's.

    Args:
        config: its `network` options and `data.channels` count.
        num_classes: channels of the output.

    Returns:
        An uncompiled keras.Model.

    Raises:
        UserError: if the weights that the options name are missing or do not fit.
    """
    options = config.network
    network = networks.NETWORKS[options.model]
    arguments: dict[str, Any] = {}
    if network.unpools:
        arguments["pooling_mode"] = options.pooling_mode
    if config.data.channels != 3:
        arguments["input_channels"] = config.data.channels
    model = networks.build(options.model, num_classes, **arguments)
    source = options.encoder_weights
    if source == "auto":
        source = "imagenet" if network.brings_weights else "none"
    if source != "none":
        network.load_pretrained(model, source)
    if options.init_from:
        path = find_model(options.init_from, forms=("model.keras",))
        kept = copy_matching_weights(load_model(path), model)
        print(f"weights from {path}" + (f"; new: {', '.join(kept)}" if kept else ""))
    return model


def _class_weights(config: TrainConfig, split: Split) -> np.ndarray | None:
    choice = config.optimization.class_weights
    if choice == "none":
        return None
    weights = CLASS_WEIGHTS[choice].make(*class_pixel_counts(split))
    pairs = zip(split.info.classes, weights, strict=True)
    print("class weights:", ", ".join(f"{name} {value:.3f}" for name, value in pairs))
    return weights


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
    callbacks = [
        LossGuard(run, names, config.optimization.accumulate),
        keras.callbacks.TensorBoard(folder, write_graph=False),
    ]
    if val_split:
        callbacks += [
            ClassWatch(val_split.info.classes),
            Panels(folder / "panels", val_split),
        ]
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
