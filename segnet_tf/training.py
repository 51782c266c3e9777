"""One training run: a frozen configuration in, a folder of results out."""

import math
import sys
import time
from dataclasses import asdict
from inspect import signature
from pathlib import Path

import keras
import numpy as np

from segnet_tf import datasets
from segnet_tf.class_weights import median_frequency_weights
from segnet_tf.config import TrainConfig
from segnet_tf.datasets.split import Split, class_pixel_counts
from segnet_tf.errors import UserError
from segnet_tf.evaluation import evaluate, score_table, write_metrics
from segnet_tf.losses import PixelCrossEntropy
from segnet_tf.metrics import MeanIoU
from segnet_tf.models import MODELS
from segnet_tf.pipeline import (
    Augmentation,
    evaluation_batches,
    reading_errors,
    training_batches,
)
from segnet_tf.runs import Run
from segnet_tf.saving import load_model, save_model

__all__ = ["build", "train"]


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
    train_split = datasets.load(config.dataset, config.train_split, config.data_dir)
    val_split = datasets.load(config.dataset, config.val_split, config.data_dir)
    run = (Run.resumed if resume else Run.new)(asdict(config), output)
    steps = max(1, round(len(train_split) / config.batch_size))
    _say_plan(config, run, train_split, val_split, steps)
    if run.epoch < config.epochs:
        _fit(config, run, train_split, val_split, steps)
    model = load_model(run.model_path)
    print(f"scoring {run.model_path} on {val_split.name}")
    scores = evaluate(model, val_split)
    print(score_table(scores, val_split.info.classes))
    write_metrics(run.folder / "metrics.json", scores, val_split)
    return run.folder


def _fit(config, run, train_split, val_split, steps) -> None:
    model = run.checkpointed_model()
    if model is None:
        model = build(config, train_split.info.num_classes)
        model.compile(
            optimizer=_optimizer(config, steps),
            loss=PixelCrossEntropy(_class_weights(config, train_split)),
            metrics=[MeanIoU(train_split.info.num_classes)],
        )
    augmentation = Augmentation(config.crop, config.scale, light=config.light)
    consumed = run.epoch * steps * config.batch_size
    batches = training_batches(
        train_split, augmentation, config.batch_size, config.seed, consumed
    )
    with reading_errors():
        model.fit(
            batches,
            epochs=config.epochs,
            initial_epoch=run.epoch,
            steps_per_epoch=steps,
            validation_data=evaluation_batches(val_split),
            validation_freq=_validated_epochs(config),
            shuffle=False,  # the stream has an order of its own
            callbacks=[
                Estimate(config, run.epoch, steps, val_split),
                Keeper(run, config, train_split.info),
            ],
            # A bar redraws itself; in a file that would be thousands of lines.
            verbose=1 if sys.stdout.isatty() else 2,
        )


def _check_network(config: TrainConfig) -> None:
    if config.model not in MODELS:
        raise UserError(f"model: no {config.model!r}: there is {', '.join(MODELS)}")
    if config.encoder_weights == "imagenet" and not _takes(config, "encoder_weights"):
        raise UserError(f"encoder_weights: none come with {config.model}")
    if config.pooling_mode != "argmax" and not _takes(config, "pooling_mode"):
        raise UserError(f"pooling_mode: {config.model} keeps no positions")


def _takes(config: TrainConfig, argument: str) -> bool:
    # A builder says what it can do by what it takes.
    return argument in signature(MODELS[config.model]).parameters


def build(config: TrainConfig, num_classes: int) -> keras.Model:
    """The configured network with fresh (or pretrained encoder) weights."""
    options = {}
    if _takes(config, "pooling_mode"):
        options["pooling_mode"] = config.pooling_mode
    if config.encoder_weights != "none" and _takes(config, "encoder_weights"):
        options["encoder_weights"] = "imagenet"
    return MODELS[config.model](num_classes, **options)


def _optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    total = steps * config.epochs
    warmup = min(config.warmup_steps, total // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else config.learning_rate,
        total - warmup,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _class_weights(config: TrainConfig, split: Split) -> np.ndarray | None:
    if config.class_weights == "none":
        return None
    counts, pixels = class_pixel_counts(split)
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
    print(
        f"{config.model} on {config.dataset}: {len(train_split)} training and "
        f"{len(val_split)} validation images, {config.epochs} epochs of {steps} steps, "
        f"{config.batch_size} crops of {config.crop[0]}x{config.crop[1]} a step"
    )
    if run.epoch:
        print(f"going on after epoch {run.epoch}")
    print(f"results go to {run.folder}/")


class Keeper(keras.callbacks.Callback):
    """Ends every epoch by writing what a kill must not take: weights and history."""

    def __init__(self, run: Run, config: TrainConfig, info):
        super().__init__()
        self.run = run
        self.keep = config.keep
        self.info = info
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
            save_model(self.model, self.run.model_path, self.info)
        seconds = round(time.monotonic() - self.started, 1)
        self.run.finish_epoch(
            self.model, {"epoch": epoch + 1, **scores, "seconds": seconds}
        )


class Estimate(keras.callbacks.Callback):
    """Says early how long the run will take, from its own first steps."""

    SKIPPED, MEASURED = 2, 5

    def __init__(self, config: TrainConfig, epoch: int, steps: int, val_split: Split):
        super().__init__()
        self.epochs = config.epochs - epoch
        self.total_steps = self.epochs * steps
        validated = [number for number in _validated_epochs(config) if number > epoch]
        image = val_split.read(0)[0]
        pixels_a_step = config.batch_size * config.crop[0] * config.crop[1]
        # A forward pass is about a third of a training step over the same pixels.
        a_validation = len(val_split) * image[..., 0].size / pixels_a_step / 3
        self.total_steps += a_validation * len(validated)
        self.done = 0
        self.started = 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        if self.done == self.SKIPPED:
            # The first steps trace the graph and are no measure.
            self.started = time.monotonic()
        elif self.done == self.SKIPPED + self.MEASURED:
            seconds = (time.monotonic() - self.started) / self.MEASURED
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
