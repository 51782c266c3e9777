"""Named sets of options for runs that are worth repeating: `train.py --recipe NAME`."""

from dataclasses import dataclass

from segnet_tf.models.networks import FCNS, TABLE_1

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """Options that differ from TrainConfig's defaults, and what to expect of them.

    Attributes:
        expects: steps, time and mIoU, for `train.py --help`.
        options: name of a TrainConfig's option -> value; a flag beside --recipe wins.
    """

    expects: str
    options: dict


# The released train prototxts and solvers have in common: whole images without
# augmentation, four in a batch, median-frequency class weights, SGD with momentum 0.9
# at a constant rate, and batch-norm statistics that are computed again before testing.
# Their weight decay of 5e-4 is part of the gradient, so that the momentum adds it up to
# ten times as much. Keras' decay is not part of the gradient, hence 5e-3.
_RELEASED = {
    "dataset": "camvid",
    "batch_size": 4,
    "crop": (360, 480),
    "zoom": (1.0, 1.0),
    "flip": False,
    "color_jitter": 0.0,
    "optimizer": "sgd",
    "schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 5e-3,
    "class_weights": "median",
    "validate_every": 10,
    "patience": 0,
    "recalibrate_bn": True,
}

_VGG16 = {"on_cpu": "weeks", "learning_rate": 1e-3, "encoder_weights": "imagenet"}
_BASIC = {"on_cpu": "days", "learning_rate": 0.1}


def _paper(
    model: str, steps: int, on_cpu: str, found: str = "untested", **options
) -> Recipe:
    """The training that was released for a network, on CamVid."""
    return Recipe(
        f"{steps:,} steps, for a GPU ({on_cpu} on two cores); {found}",
        # 367 training images, four in each step, make 92 steps per epoch.
        {**_RELEASED, **options, "model": model, "epochs": round(steps / 92)},
    )


# docs/training-log.md has the trials that led to these options.
_SHIPPED = {
    "model": "segnet_lite",
    "pooling_mode": "input",
    "zoom": (0.6, 1.5),
    "color_jitter": 0.4,
    "corruption": 0.3,
    "learning_rate": 5e-3,
    "encoder_lr_multiplier": 0.25,
    "save_best": False,
}

RECIPES = {
    "demo": Recipe(
        "300 steps on generated streets: about 3 minutes on two cores; mIoU 60 on val",
        {
            "dataset": "synthetic",
            "crop": (128, 176),
            "zoom": (0.7, 1.2),
            "learning_rate": 6e-3,
            "epochs": 6,
        },
    ),
    "segnet_lite_camvid": Recipe(
        "33,120 steps: about 4 hours on two cores; mIoU 73.9 on val, an easy split",
        {
            **_SHIPPED,
            "dataset": "camvid",
            "model": "segnet_lite1",
            "lighting": 0.3,
            "logit_adjustment": 0.5,
            "epochs": 720,
            "validate_every": 40,
        },
    ),
    # The model's card says how its mix is made.
    "segnet_lite_streets": Recipe(
        "18,240 steps: about 4 hours on two cores; mIoU 72.0 on CamVid's val",
        {
            **_SHIPPED,
            "dataset": "mix",
            "init_from": "camvid",
            "model": "segnet_lite1",
            "zoom": (0.5, 2.0),
            "lighting": 0.3,
            "batch_size": 16,
            "learning_rate": 4e-3,
            "logit_adjustment": 0.5,
            "epochs": 120,
            "validate_every": 20,
        },
    ),
    "segnet_lite_synthetic": Recipe(
        "2,000 steps: about 25 minutes on two cores; mIoU 72.3 on val",
        {**_SHIPPED, "dataset": "synthetic", "epochs": 40, "validate_every": 10},
    ),
    "paper_segnet": _paper("segnet", 40_000, **_VGG16),
    "paper_bayesian_segnet": _paper("bayesian_segnet", 60_000, **_VGG16),
    # No solver for FCN was released with SegNet, so that FCN has SegNet's, as in table
    # 3. The convolutions start with VGG16's weights, as for SegNet; fc6 and fc7 start
    # at random, while Long et al. take VGG16's.
    **{f"paper_{name}": _paper(name, 40_000, **_VGG16) for name in FCNS},
    "paper_bayesian_segnet_basic": _paper("bayesian_segnet_basic", 10_000, **_BASIC),
    # The paper trains all decoders of table 1 with one solver, SegNet-Basic included.
    **{f"paper_{name}": _paper(name, 10_000, **_BASIC) for name in TABLE_1},
    "paper_segnet_basic": _paper(
        "segnet_basic", 10_000, found="mIoU 56.9 on val", **_BASIC
    ),
}
"""Name -> recipe."""
