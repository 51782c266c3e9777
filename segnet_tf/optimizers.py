"""The optimizer and the learning rate of a run, put together from Keras' own."""

import keras

from segnet_tf.config import TrainConfig
from segnet_tf.models import ENCODER_VARIABLES

__all__ = ["WarmUp", "build_optimizer", "decay_kernels_only"]

SGD_MOMENTUM = 0.9
"""The released solver's."""

POLY_POWER = 0.9
"""As in DeepLab (arXiv:1606.00915, section 4.1) and the recipes after it."""


def build_optimizer(config: TrainConfig, steps: int) -> keras.optimizers.Optimizer:
    """The configured optimizer.

    Args:
        steps: batches of the whole run, which schedules count even where several
            make one update.
    """
    if config.encoder_rate_factor == 1:
        return _optimizer(config, steps, config.learning_rate)
    slower = config.learning_rate * config.encoder_rate_factor
    rates = keras.optimizers.OptimizerMap(
        _optimizer(config, steps, config.learning_rate),
        {ENCODER_VARIABLES: _optimizer(config, steps, slower)},
    )
    return keras.optimizers.MultiOptimizer(rates)


def _optimizer(config, steps: int, rate: float) -> keras.optimizers.Optimizer:
    options = {
        "learning_rate": _schedule(config, steps, rate),
        "weight_decay": config.weight_decay or None,
        "use_ema": config.ema > 0,
        # Keras averages at every step, also at those that only gather gradients.
        "ema_momentum": config.ema ** (1 / config.accumulate) if config.ema else 0.99,
        "gradient_accumulation_steps": (
            config.accumulate if config.accumulate > 1 else None
        ),
    }
    if config.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=SGD_MOMENTUM, **options)
    else:
        optimizer = keras.optimizers.AdamW(**options)
    decay_kernels_only(optimizer)
    return optimizer


def decay_kernels_only(optimizer: keras.optimizers.Optimizer) -> None:
    """Spares batch normalisation and biases; to be said again after loading.

    Keras does not save this with the optimizer, and fixes it at the first step.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    for each in getattr(inner, "optimizers", [inner]):
        if each.weight_decay:
            each.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])


def _schedule(config, steps: int, rate: float):
    warmup = min(config.warmup_steps, steps // 10)
    rest = steps - warmup
    schedules = {
        "cosine": lambda: keras.optimizers.schedules.CosineDecay(rate, rest),
        "poly": lambda: keras.optimizers.schedules.PolynomialDecay(
            rate, rest, end_learning_rate=0.0, power=POLY_POWER
        ),
        # Decay to 1 times where it began: a constant that WarmUp can call.
        "constant": lambda: keras.optimizers.schedules.CosineDecay(
            rate, rest, alpha=1.0
        ),
    }
    schedule = schedules[config.schedule]()
    return WarmUp(schedule, warmup) if warmup else schedule


@keras.saving.register_keras_serializable("segnet_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Grows linearly from 0 to another schedule's start, which then begins.

    Args:
        schedule: what follows.
        steps: length of the growth; at step `steps` the rate is schedule(0).
    """

    def __init__(self, schedule, steps: int):
        self.schedule = schedule
        self.steps = steps

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        growth = keras.ops.minimum(step / self.steps, 1.0)
        return growth * self.schedule(keras.ops.maximum(step - self.steps, 0.0))

    def get_config(self):
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["steps"])
