"""The optimizer and the learning rate schedule of a run, made of Keras' own.

`OPTIMIZERS` and `SCHEDULES` hold the choices of `train.py`, each with its help.
"""

import re
from collections.abc import Sequence

from segnet_tf.console.options import Choice
from segnet_tf.console.quiet import keras

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "build_optimizer",
    "decay_kernels_only",
    "encoder_layers",
    "keep_own_weights",
]

SGD_MOMENTUM = 0.9
"""The momentum of the released solver."""

POLY_POWER = 0.9
"""As in DeepLab (arXiv:1606.00915, section 4.1) and the recipes after it."""

OPTIMIZERS = {
    "adamw": Choice(
        "Adam with decoupled weight decay", lambda **o: keras.optimizers.AdamW(**o)
    ),
    "sgd": Choice(
        "with momentum 0.9",
        lambda **o: keras.optimizers.SGD(momentum=SGD_MOMENTUM, **o),
    ),
}
"""Each choice maps the arguments of a Keras optimizer to the optimizer."""

SCHEDULES = {
    "cosine": Choice(
        "half a cosine to 0",
        lambda rate, steps: keras.optimizers.schedules.CosineDecay(rate, steps),
    ),
    "poly": Choice(
        "(1 - part done) ** 0.9",
        lambda rate, steps: keras.optimizers.schedules.PolynomialDecay(
            rate, steps, end_learning_rate=0.0, power=POLY_POWER
        ),
    ),
    "constant": Choice(
        "it does not fall",
        # CosineDecay to 1 times the peak is a constant that WarmUp can call.
        lambda rate, steps: keras.optimizers.schedules.CosineDecay(
            rate, steps, alpha=1.0
        ),
    ),
}
"""Each choice maps the peak rate, and the number of steps to fall in, to a schedule."""


def build_optimizer(config, steps: int, encoder: Sequence[str] = ()):
    """The configured Keras optimizer, with its schedule.

    Args:
        config: a `TrainConfig`.
        steps: number of batches in the whole run. Schedules count batches, even if
            several of them make one update.
        encoder: names of the encoder's layers, as `encoder_layers` gives them. They get
            their own learning rate if encoder_lr_multiplier is not 1.

    Raises:
        ValueError: if the multiplier is not 1 and `encoder` is empty.
    """
    options = config.optimization
    rate, multiplier = options.learning_rate, options.encoder_lr_multiplier
    if multiplier == 1:
        return _optimizer(options, steps, rate)
    if not encoder:
        raise ValueError(
            f"encoder_lr_multiplier: {multiplier} needs the names of the encoder's "
            "layers"
        )
    pattern = "|".join(re.escape(name) for name in encoder)
    optimizers = keras.optimizers.OptimizerMap(
        _optimizer(options, steps, rate),
        {f"({pattern})/.*": _optimizer(options, steps, rate * multiplier)},
    )
    return keras.optimizers.MultiOptimizer(optimizers)


def encoder_layers(model, last: str) -> list[str]:
    """Names of the encoder's layers that have weights.

    These are the layers that the layer `last` is computed from, itself included.

    Args:
        model: a functional keras.Model.
        last: name of the layer that the encoder ends in.

    Raises:
        ValueError: if the network has no such layer.
    """
    encoder = keras.Model(model.inputs[0], model.get_layer(last).output)
    return [layer.name for layer in encoder.layers if layer.weights]


def _optimizer(options, steps: int, rate: float):
    accumulate = options.accumulate
    optimizer = OPTIMIZERS[options.optimizer].make(
        learning_rate=_schedule(options, steps, rate),
        weight_decay=options.weight_decay,
        use_ema=options.ema > 0,
        # Keras averages at every step, even if it only accumulates gradients there.
        ema_momentum=options.ema ** (1 / accumulate) if options.ema else 0.99,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
    )
    decay_kernels_only(optimizer)
    return optimizer


def decay_kernels_only(optimizer) -> None:
    """Excludes batch normalisation and biases from weight decay.

    Call it before the first step, and again after loading: Keras fixes the choice at
    the first step and does not save it with the optimizer.
    """
    # Loss scaling wraps the optimizer.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for each in getattr(inner, "optimizers", [inner]):
        if each.weight_decay:
            each.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])


def keep_own_weights(optimizer) -> None:
    """Has `fit` leave the network its own weights when it ends.

    Keras would put the averaged ones in their place. They have been saved by then, and
    a run that goes on inside an epoch is more than one fit.
    """
    optimizer.finalize_variable_values = lambda variables: None


def _schedule(options, steps: int, rate: float):
    from segnet_tf.training.warmup import WarmUp

    warmup = min(options.warmup_steps, steps // 10)
    schedule = SCHEDULES[options.schedule].make(rate, steps - warmup)
    return WarmUp(schedule, warmup) if warmup else schedule
