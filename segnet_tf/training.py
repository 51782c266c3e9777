"""One training run: a frozen configuration in, a folder of results out."""

import math
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from inspect import signature
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from segnet_tf import datasets
from segnet_tf.batch_norm import reestimate_batch_norm
from segnet_tf.class_weights import log_frequency_weights, median_frequency_weights
from segnet_tf.config import TrainConfig
from segnet_tf.datasets.split import (
    MissingSplit,
    Split,
    class_pixel_counts,
    typical_size,
)
from segnet_tf.errors import UserError
from segnet_tf.evaluation import evaluate, score_table, write_metrics
from segnet_tf.inference import find_model
from segnet_tf.losses import (
    CrossEntropyDice,
    HardPixelCrossEntropy,
    PixelCrossEntropy,
)
from segnet_tf.metrics import MeanIoU
from segnet_tf.models import MODELS, as_float32
from segnet_tf.models.pretrained import copy_matching_weights, load_vgg16_kernels
from segnet_tf.optimizers import build_optimizer, decay_kernels_only
from segnet_tf.pipeline import (
    Augmentation,
    evaluation_batches,
    reading_errors,
    training_batches,
)
from segnet_tf.runs import Run
from segnet_tf.saving import load_model, save_model
from segnet_tf.watching import watched

__all__ = ["augmentation_of", "build", "train"]

LOSSES = {
    "cross-entropy": PixelCrossEntropy,
    "ohem": HardPixelCrossEntropy,
    "dice": CrossEntropyDice,
}


def train(config: TrainConfig, output: str | None = None, resume: bool = False) -> Path:
    """Trains, or goes on training, and writes the run's folder.

    Args:
        config: what to train and how.
        output: the run's folder; by default runs/<dataset>-<model>, numbered when
            taken.
        resume: go on from the last finished epoch of `output`, or of the newest run
            with this configuration.

    Returns:
        The run's folder.

    Raises:
        UserError: for data that is missing, an output folder that is taken, or
            nothing to resume.
    """
    _check_network(config)
    keras.utils.set_random_seed(config.seed)
    train_split = _split(config, config.train_split)
    # For the model to remember.
    info = replace(train_split.info, image_size=typical_size(train_split))
    train_split = replace(train_split, info=info)
    val_split = _validation_split(config)
    if val_split:
        _warn_of_overlap(train_split, val_split)
    run = (Run.resumed if resume else Run.new)(asdict(config), output)
    steps = max(1, round(len(train_split) / config.batch_size))
    _say_plan(config, run, train_split, val_split, steps)
    if run.epoch < config.epochs:
        with _precision(config):
            _fit(config, run, train_split, val_split, steps)
    _finish(config, run, train_split, val_split)
    return run.folder


def _split(config: TrainConfig, name: str) -> Split:
    return datasets.load(config.dataset, name, config.data_dir, config.channels)


def _validation_split(config: TrainConfig) -> Split | None:
    try:
        return _split(config, config.val_split)
    except MissingSplit as error:
        print(f"{error}: no validation, the last weights are kept")
        return None


def _warn_of_overlap(train_split: Split, val_split: Split) -> None:
    shared = set(train_split.sources) & set(val_split.sources)
    if shared:
        print(
            f"warning: {len(shared)} of the {len(val_split)} images of "
            f"{val_split.name!r} are in {train_split.name!r} too, which flatters "
            "the score: choose --train-split and --val-split without common images"
        )


def _read_once(split: Split) -> None:
    """Finds a broken file before an epoch is spent whose validation it would end."""
    with reading_errors():
        evaluation_batches(split).reduce(0, lambda count, _: count + 1)


def _finish(config, run, train_split, val_split) -> None:
    """What follows the last epoch: statistics, if asked for, and scores."""
    model = load_model(run.model_path)
    if config.reestimate_bn:
        print(f"batch-norm statistics over the {len(train_split)} training images")
        with reading_errors():
            images = (images for images, _ in evaluation_batches(train_split))
            reestimate_batch_norm(model, images)
        save_model(model, run.model_path, train_split.info)
    if val_split is None:
        return
    print(f"scoring {run.model_path} on {val_split.name}")
    evaluation = evaluate(model, val_split)
    print(score_table(evaluation, val_split.info.classes))
    write_metrics(run.folder / "metrics.json", evaluation, val_split, run.model_path)


def _fit(config, run, train_split, val_split, steps) -> None:
    if val_split:
        _read_once(val_split)
    model = run.checkpointed_model()
    if model is None:
        model = build(config, train_split.info.num_classes)
        model.compile(
            optimizer=build_optimizer(config, steps * config.epochs),
            loss=LOSSES[config.loss](_class_weights(config, train_split)),
            metrics=[MeanIoU(train_split.info.num_classes)],
            jit_compile=config.jit_compile,
        )
    else:
        decay_kernels_only(model.optimizer)
    augmentation = augmentation_of(config)
    consumed = run.epoch * steps * config.batch_size
    batches = training_batches(
        train_split, augmentation, config.batch_size, config.seed, consumed
    )
    # Validates with the averaged weights, then takes the run's own back.
    averaging = [keras.callbacks.SwapEMAWeights()] if config.ema else []
    keep = config.keep if val_split else "last"
    run.begin(asdict(config))
    batches, watchers = watched(batches, config, run, train_split, val_split)
    with reading_errors():
        model.fit(
            batches,
            epochs=config.epochs,
            initial_epoch=run.epoch,
            steps_per_epoch=steps,
            validation_data=evaluation_batches(val_split) if val_split else None,
            validation_freq=_validated_epochs(config),
            shuffle=False,  # the stream has an order of its own
            callbacks=[
                # Before `averaging`, to see a validation's end with its weights.
                *watchers,
                *averaging,
                Estimate(config, run.epoch, steps, val_split),
                Keeper(run, keep, train_split.info, *averaging),
            ],
            # A bar redraws itself; in a file that would be thousands of lines.
            verbose=1 if sys.stdout.isatty() else 2,
        )


def _check_network(config: TrainConfig) -> None:
    if config.model not in MODELS:
        raise UserError(f"model: no {config.model!r}: there is {', '.join(MODELS)}")
    if config.pooling_mode != "argmax" and not _keeps_positions(config):
        raise UserError(f"pooling_mode: {config.model} keeps no positions")


def _keeps_positions(config: TrainConfig) -> bool:
    # Of the builders with a choice of upsampling, only what unpools reads positions.
    choices = signature(MODELS[config.model]).parameters
    unpools = "upsampling" not in choices or choices["upsampling"].default == "unpool"
    return "pooling_mode" in choices and unpools


def _takes(config: TrainConfig, argument: str) -> bool:
    # A builder says what it can do by what it takes.
    return argument in signature(MODELS[config.model]).parameters


@contextmanager
def _precision(config: TrainConfig):
    """New layers compute in half precision meanwhile, where the configuration says."""
    before = keras.config.dtype_policy()
    if config.mixed_precision:
        # CPUs know bfloat16, and it needs no loss scaling; GPUs are fast in float16.
        half = "float16" if tf.config.list_physical_devices("GPU") else "bfloat16"
        keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build(config: TrainConfig, num_classes: int) -> keras.Model:
    """The configured network with fresh, pretrained or another run's weights.

    Raises:
        UserError: where such weights are missing or do not fit.
    """
    builder, source = MODELS[config.model], config.encoder_weights
    options = {} if config.channels == 3 else {"input_channels": config.channels}
    if _takes(config, "pooling_mode"):
        options["pooling_mode"] = config.pooling_mode
    if _takes(config, "encoder_weights"):  # which come with the package
        if source not in ("auto", "imagenet", "none"):
            raise UserError(
                f"encoder_weights: {config.model} takes imagenet or none; "
                "--init-from takes another run's weights"
            )
        options["encoder_weights"] = None if source == "none" else "imagenet"
        model = builder(num_classes, **options)
    else:
        model = builder(num_classes, **options)
        if source not in ("auto", "none"):
            load_vgg16_kernels(model, source)
    if config.init_from:
        path = find_model(config.init_from, forms=("model.keras",))
        kept = copy_matching_weights(load_model(path), model)
        print(f"weights from {path}" + (f"; new: {', '.join(kept)}" if kept else ""))
    return model


def augmentation_of(config: TrainConfig) -> Augmentation:
    """How a run with this configuration draws its crops."""
    names = [field.name for field in fields(Augmentation)]
    return Augmentation(**{name: getattr(config, name) for name in names})


def _class_weights(config: TrainConfig, split: Split) -> np.ndarray | None:
    if config.class_weights == "none":
        return None
    counts, pixels = class_pixel_counts(split)
    if config.class_weights == "log":
        weights = log_frequency_weights(counts)
    else:
        weights = median_frequency_weights(counts, pixels)
    if config.class_weights == "sqrt":
        weights = np.sqrt(weights)
    pairs = zip(split.info.classes, weights, strict=True)
    print("class weights:", ", ".join(f"{name} {value:.3f}" for name, value in pairs))
    return weights


def _validated_epochs(config: TrainConfig) -> list[int]:
    """Every n-th epoch counted back from the last, which is always validated."""
    return list(range(config.epochs, 0, -config.validate_every))[::-1]


def _say_plan(config, run, train_split, val_split, steps) -> None:
    validation = len(val_split) if val_split else "no"
    print(
        f"{config.model} on {config.dataset}: {len(train_split)} training and "
        f"{validation} validation images, {config.epochs} epochs of {steps} steps, "
        f"{config.batch_size} crops of {config.crop[0]}x{config.crop[1]} a step"
    )
    if run.epoch:
        print(f"going on after epoch {run.epoch}")
    print(f"results go to {run.folder}/")


class Keeper(keras.callbacks.Callback):
    """Ends every epoch by writing what a kill must not take: weights and history."""

    def __init__(self, run: Run, keep: str, info, averaging=None):
        super().__init__()
        self.run = run
        self.keep = keep
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
        # The kept model comes first: were the checkpoint first, a kill between the
        # two would lose the best epoch for good.
        if self.keep == "last" or is_best or not self.run.model_path.exists():
            self._save_model()
        seconds = round(time.monotonic() - self.started, 1)
        self.run.finish_epoch(
            self.model, {"epoch": epoch + 1, **scores, "seconds": seconds}
        )

    def _save_model(self) -> None:
        """Writes what is kept: the averaged weights where there are any, in float32."""
        if self.averaging:
            self.averaging.on_test_begin()
        model = self.model
        if any(layer.compute_dtype != "float32" for layer in model.layers):
            model = as_float32(model)
        save_model(model, self.run.model_path, self.info)
        if self.averaging:
            self.averaging.on_test_end()


class Estimate(keras.callbacks.Callback):
    """Says early how long the run will take, from its own first steps."""

    SKIPPED, MEASURED = 2, 5

    def __init__(
        self, config: TrainConfig, epoch: int, steps: int, val_split: Split | None
    ):
        super().__init__()
        self.epochs = config.epochs - epoch
        self.total_steps = self.epochs * steps
        if val_split:
            validated = [n for n in _validated_epochs(config) if n > epoch]
            image = val_split.read(0)[0]
            pixels_a_step = config.batch_size * config.crop[0] * config.crop[1]
            # A forward pass is about a third of a training step over as many pixels.
            a_validation = len(val_split) * image[..., 0].size / pixels_a_step / 3
            self.total_steps += a_validation * len(validated)
        self.done = 0
        self.seconds = self.started = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        # The first steps trace the graph and are no measure.
        if self.SKIPPED < self.done <= self.SKIPPED + self.MEASURED:
            self.seconds += time.monotonic() - self.started
        if self.done == self.SKIPPED + self.MEASURED:
            seconds = self.seconds / self.MEASURED
            total = seconds * self.total_steps
            print(
                f"\n{seconds:.2f} s a step: about {_duration(total)} for "
                f"{self.epochs} epochs with their validations"
            )
            if total > 3600 and not self.model.name.startswith("segnet_lite"):
                print("--model segnet_lite trains many times faster")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
