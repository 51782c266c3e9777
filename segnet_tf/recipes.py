"""Named runs that are worth repeating: `python train.py --recipe NAME`."""

from dataclasses import dataclass

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """What differs from TrainConfig's defaults, and what to expect.

    Attributes:
        expects: what it costs and reaches, and where that was met.
        options: fields of TrainConfig; a flag given beside --recipe wins.
    """

    expects: str
    options: dict


# What the released train prototxts and solvers have in common: whole images, four a
# batch, nothing but median-frequency weights, SGD with momentum 0.9 at a constant
# rate, statistics of batch normalisation taken anew before testing. Their weight decay
# of 5e-4 is part of the gradient and so is gathered by the momentum, ten times in all;
# Keras' is not.
_RELEASED = {
    "dataset": "camvid",
    "batch_size": 4,
    "crop": (360, 480),
    "scale": (1.0, 1.0),
    "flip": False,
    "light": 0.0,
    "optimizer": "sgd",
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 5e-3,
    "class_weights": "median",
    "validate_every": 10,
    "reestimate_bn": True,
}

_VGG16 = {"on_cpu": "weeks", "learning_rate": 1e-3, "encoder_weights": "imagenet"}
_BASIC = {"on_cpu": "days", "learning_rate": 0.1}

_FCNS = ("fcn32s", "fcn16s", "fcn8s")
_TABLE_1 = (
    "basic_bilinear",
    "segnet_basic",
    "basic_encoder_addition",
    "basic_single_channel_decoder",
    "fcn_basic",
    "fcn_basic_no_addition",
    "fcn_basic_no_dim_reduction",
    "fcn_basic_no_addition_no_dim_reduction",
)
"""Written out: reading the names from `segnet_tf.models` would import TensorFlow."""


def _paper(model: str, steps: int, on_cpu: str, **options) -> Recipe:
    """The released training of a network, on CamVid."""
    return Recipe(
        f"{steps:,} steps, for a GPU (on two cores {on_cpu}); untested so far",
        # 367 training images, four a step, make 92 steps an epoch.
        {**_RELEASED, **options, "model": model, "epochs": round(steps / 92)},
    )


# What docs/training-log.md came to.
_SHIPPED = {
    "model": "segnet_lite",
    "pooling_mode": "window",
    "scale": (0.6, 1.5),
    "light": 0.4,
    "degrade": 0.3,
    "learning_rate": 5e-3,
    "encoder_rate_factor": 0.25,
    "keep": "last",
}

RECIPES = {
    "segnet_lite_camvid": Recipe(
        "11,040 steps: about 2 hours on two cores; mIoU 70.5 on val, which flatters",
        {**_SHIPPED, "dataset": "camvid", "epochs": 240, "validate_every": 40},
    ),
    "segnet_lite_synthetic": Recipe(
        "2,000 steps: about 25 minutes on two cores; mIoU 72.3 on val",
        {**_SHIPPED, "dataset": "synthetic", "epochs": 40, "validate_every": 10},
    ),
    "paper_segnet": _paper("segnet", 40_000, **_VGG16),
    "paper_bayesian_segnet": _paper("bayesian_segnet", 60_000, **_VGG16),
    # No solver for FCN was released beside SegNet's: it is SegNet's, as in table 3. Of
    # VGG16 the convolutions are loaded, as for SegNet; fc6 and fc7 start at random,
    # where Long et al. take VGG16's.
    **{f"paper_{name}": _paper(name, 40_000, **_VGG16) for name in _FCNS},
    "paper_bayesian_segnet_basic": _paper("bayesian_segnet_basic", 10_000, **_BASIC),
    # The paper trains the decoders of table 1 alike, SegNet-Basic among them.
    **{f"paper_{name}": _paper(name, 10_000, **_BASIC) for name in _TABLE_1},
}
"""Configurations by name."""
