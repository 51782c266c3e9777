"""The options of a training run: one frozen record, in groups."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from segnet_tf.console.options import (
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Bound,
    check_options,
    option,
)
from segnet_tf.datasets.class_weights import CLASS_WEIGHTS
from segnet_tf.datasets.images import CHANNELS
from segnet_tf.datasets.reading import Reading
from segnet_tf.datasets.registry import DATASETS
from segnet_tf.errors import UserError
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.augmentation import Augmentation
from segnet_tf.training.losses import LOSSES
from segnet_tf.training.optimizers import OPTIMIZERS, SCHEDULES

__all__ = ["GROUPS", "TrainConfig"]

SMALLEST_CROP = 32
"""Smallest side of a crop: five poolings leave one position of it."""


@dataclass(frozen=True)
class Data:
    """The data set and its splits."""

    dataset: str = option("synthetic", f"data set: {', '.join(DATASETS)}", DATASETS)
    data_dir: str | None = option(None, "folder of the data set")
    train_split: str = option(
        "train",
        "split to train on; for camvid and folder also a text file of image names",
    )
    val_split: str = option("val", "split to validate on, likewise")
    channels: int = option(
        3,
        "channels of an image: 1 grey, 3 RGB; folder also 4, RGBA as stored, such as "
        "RGB and infrared",
        tuple(CHANNELS),
    )
    cache: str = option(
        "memory",
        "where decoded training images are kept: memory, up to 2 GiB; disk, up to 20 "
        "GiB in ~/.cache/segnet_tf, for later runs too; none",
        ("memory", "disk", "none"),
    )


@dataclass(frozen=True)
class NetworkOptions:
    """The network and the weights it starts with."""

    model: str = option("segnet_lite", "network, listed below", NETWORKS)
    pooling_mode: str = option(
        "argmax",
        "form of the pooling positions; window: less memory; mask: arithmetic only; "
        "input: the pooling's input itself, fastest on a CPU",
        ("argmax", "window", "mask", "input"),
    )
    encoder_weights: str = option(
        "auto",
        "first weights of the encoder: none, imagenet or a file; auto: imagenet if the "
        "network brings them",
    )
    init_from: str | None = option(
        None,
        "run folder, .keras file or name of a shipped model; every weight of it that "
        "fits is taken, and its network unless --model names another; imagenet: the "
        "same as --encoder-weights imagenet",
    )


@dataclass(frozen=True)
class Optimization:
    """Loss, optimizer and learning rate."""

    epochs: int = option(
        0,
        "passes over the training split; 0: by the number of its images",
        bound=NOT_NEGATIVE,
    )
    batch_size: int = option(8, "crops in one step", bound=POSITIVE)
    loss: str = option("cross-entropy", "training loss", LOSSES)
    class_weights: str = option(
        "sqrt", "weights of the classes in the loss", CLASS_WEIGHTS
    )
    logit_adjustment: float = option(
        0.0,
        "share of the class weights that predictions do without: weights teach rare "
        "classes, but make them win too often",
        bound=SHARE,
    )
    optimizer: str = option("adamw", "update rule", OPTIMIZERS)
    learning_rate: float = option(5e-3, "peak learning rate", bound=POSITIVE)
    schedule: str = option("cosine", "how the learning rate falls", SCHEDULES)
    warmup_steps: int = option(
        200, "steps of linear warm-up, at most a tenth of all", bound=NOT_NEGATIVE
    )
    encoder_lr_multiplier: float = option(
        1.0, "factor on the encoder's learning rate", bound=POSITIVE
    )
    weight_decay: float = option(
        1e-4, "decoupled weight decay, of kernels only", bound=NOT_NEGATIVE
    )
    accumulate: int = option(
        1, "number of steps whose gradients make one update", bound=POSITIVE
    )
    ema: float = option(
        0.0,
        "momentum of averaged weights (EMA), which are then the ones that are kept; "
        "0: off",
        bound=BELOW_ONE,
    )


@dataclass(frozen=True)
class RunOptions:
    """Seed, validation and precision."""

    seed: int = option(
        0,
        "seed of initial weights, order and augmentation",
        bound=Bound(f"must be in 0 to {2**31 - 1}", lambda seed: 0 <= seed < 2**31),
    )
    validate_every: int = option(
        0,
        "epochs between validations; 0: about 20 validations in all",
        bound=NOT_NEGATIVE,
    )
    patience: int = option(
        8,
        "stop after so many validations without a better mIoU, if the best weights are "
        "kept; 0: never",
        bound=NOT_NEGATIVE,
    )
    checkpoint_minutes: float = option(
        10.0,
        "minutes between checkpoints inside an epoch; 0: none",
        bound=NOT_NEGATIVE,
    )
    deterministic: bool = option(
        False,
        "slower operators that give the same bits each time, so that a resumed run "
        "ends with the weights of an unbroken one",
    )
    save_best: bool = option(
        True,
        "keep the weights with the best validation mIoU, not the last epoch's",
        opposite="save-last",
    )
    recalibrate_bn: bool = option(
        False,
        "at the end, compute the batch-norm statistics over whole training images",
    )
    mixed_precision: bool = option(
        False, "compute in float16 on a GPU, in bfloat16 on a CPU; weights stay float32"
    )
    jit_compile: bool = option(
        False, "compile with XLA; needs --pooling-mode window or mask"
    )


GROUPS = {
    "data": Data,
    "folder": Reading,
    "network": NetworkOptions,
    "augmentation": Augmentation,
    "optimization": Optimization,
    "run": RunOptions,
}
"""The groups of `TrainConfig`, and of `train.py --help`."""

GROUP_OF = {each.name: name for name, kind in GROUPS.items() for each in fields(kind)}
"""Option -> its group; no name is in two groups."""


@dataclass(frozen=True)
class TrainConfig:
    """All options of a training run. `train.py` makes its flags from the groups.

    >>> TrainConfig.of(model="segnet", epochs=3).optimization.epochs
    3

    Raises:
        UserError: if a value is out of its range, or two do not go together.
    """

    data: Data = field(default_factory=Data)
    folder: Reading = field(default_factory=Reading)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimization: Optimization = field(default_factory=Optimization)
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self):
        for name in ("data", "folder", "network", "optimization", "run"):
            check_options(getattr(self, name))
        if min(self.augmentation.crop) < SMALLEST_CROP:
            raise UserError(
                f"crop: {self.augmentation.crop}, must be at least "
                f"{SMALLEST_CROP}x{SMALLEST_CROP}"
            )
        mode = self.network.pooling_mode
        if self.run.jit_compile and mode not in ("window", "mask"):
            raise UserError(
                f"jit_compile: XLA cannot compile pooling mode {mode}: add "
                "--pooling-mode window or mask"
            )
        if mode != "argmax" and not NETWORKS[self.network.model].unpools:
            raise UserError(
                f"pooling_mode: {self.network.model} keeps no positions: leave the "
                "flag out"
            )

    @classmethod
    def of(cls, **options: Any) -> "TrainConfig":
        """The defaults with these options changed, each by its name without the group.

        Raises:
            TypeError: for an unknown option.
            UserError: as for the class.
        """
        return cls().replaced(**options)

    def replaced(self, **options: Any) -> "TrainConfig":
        """This configuration with these options changed. Raises as `of` does."""
        changes: dict[str, dict] = {}
        for name, value in options.items():
            if name not in GROUP_OF:
                raise TypeError(f"no option {name!r}")
            changes.setdefault(GROUP_OF[name], {})[name] = value
        groups = {
            name: replace(getattr(self, name), **changed)
            for name, changed in changes.items()
        }
        return replace(self, **groups)

    def as_options(self) -> dict[str, Any]:
        """Every option by its name, without the groups."""
        groups: Mapping[str, dict] = asdict(self)
        return {
            name: value for group in groups.values() for name, value in group.items()
        }
