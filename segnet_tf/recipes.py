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

RECIPES = {
    "segnet_lite_camvid": Recipe(
        "1,932 steps: about an hour on two cores; mIoU 63.3 on val, which flatters",
        {
            "dataset": "camvid",
            "model": "segnet_lite",
            "pooling_mode": "window",
            "epochs": 42,
            "scale": (0.6, 1.5),
            "learning_rate": 5e-3,
            "validate_every": 14,
            "keep": "last",
        },
    ),
    "paper_segnet": Recipe(
        "40,000 steps: for a GPU (two cores would take weeks); untested so far",
        {
            **_RELEASED,
            "model": "segnet",
            "encoder_weights": "imagenet",
            "learning_rate": 1e-3,
            "epochs": 435,
        },
    ),
    "paper_segnet_basic": Recipe(
        "10,000 steps: about two days on two cores; untested so far",
        {**_RELEASED, "model": "segnet_basic", "learning_rate": 0.1, "epochs": 109},
    ),
}
"""Configurations by name."""
