"""What decides a training run, as one frozen record."""

from dataclasses import dataclass, field, fields

from segnet_tf.datasets import DATASETS
from segnet_tf.errors import UserError
from segnet_tf.images import CHANNELS

__all__ = ["TrainConfig"]

CLASS_WEIGHTS = ("none", "median", "sqrt", "log")
LOSSES = ("cross-entropy", "ohem", "dice")
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "poly", "constant")
KEEP = ("best", "last")
POSITIVE = (
    "epochs",
    "batch_size",
    "validate_every",
    "learning_rate",
    "encoder_rate_factor",
    "accumulate",
)


def _option(default, text: str, choices: tuple | None = None):
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run. `train.py` makes its flags from these fields."""

    dataset: str = _option("synthetic", "data set", tuple(DATASETS))
    data_dir: str | None = _option(None, "folder of the data set")
    train_split: str = _option("train", "split, or text file of frame names")
    val_split: str = _option("val", "split, or text file of frame names")
    channels: int = _option(
        3,
        "of an image: 1 grey, 3 RGB; folder also 4, RGBA as stored: RGB and infrared",
        tuple(CHANNELS),
    )
    model: str = _option("segnet_lite", "network, a key of segnet_tf.MODELS")
    pooling_mode: str = _option(
        "argmax", "how pooling positions are held", ("argmax", "window", "mask")
    )
    encoder_weights: str = _option(
        "auto", "none, imagenet, a file; auto: imagenet where it comes with the network"
    )
    init_from: str | None = _option(
        None, "run or .keras file to take every weight from that fits"
    )
    epochs: int = _option(30, "passes over the training split")
    batch_size: int = _option(8, "crops a step")
    crop: tuple[int, int] = _option((192, 256), "crop the network sees, as HxW")
    scale: tuple[float, float] = _option((0.5, 1.3), "range of zoom, as LOW-HIGH")
    flip: bool = _option(True, "mirror half of the crops")
    light: float = _option(0.3, "largest change of brightness, contrast, saturation")
    degrade: float = _option(0.0, "share of crops with noise, blur or JPEG artefacts")
    optimizer: str = _option("adamw", "adamw, or sgd with momentum 0.9", OPTIMIZERS)
    learning_rate: float = _option(5e-3, "peak rate")
    schedule: str = _option("cosine", "how the rate falls to zero", SCHEDULES)
    warmup_steps: int = _option(200, "steps of linear warm-up, a tenth of all at most")
    encoder_rate_factor: float = _option(1.0, "of the rate, for the encoder")
    weight_decay: float = _option(1e-4, "decoupled, on kernels only")
    accumulate: int = _option(1, "steps whose gradients make one update")
    ema: float = _option(
        0.0, "momentum an update of averaged weights, which then count; 0: off"
    )
    loss: str = _option(
        "cross-entropy", "ohem: hard pixels only; dice: plus soft Dice", LOSSES
    )
    class_weights: str = _option(
        "sqrt", "median frequency, its square root, or ENet's log", CLASS_WEIGHTS
    )
    mixed_precision: bool = _option(
        False, "compute in float16 on a GPU, in bfloat16 on a CPU; weights stay float32"
    )
    jit_compile: bool = _option(False, "XLA; needs pooling mode window or mask")
    reestimate_bn: bool = _option(
        False, "at the end, batch-norm statistics over whole training images"
    )
    validate_every: int = _option(1, "epochs between validations")
    keep: str = _option("best", "weights to keep, by validation mIoU", KEEP)
    seed: int = _option(0, "of initial weights, order and augmentation")

    def __post_init__(self):
        for name, choices in _choices().items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise UserError(f"{name}: {value!r} is not one of {_listed(choices)}")
        for name in POSITIVE:
            # Written so that NaN fails too.
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name}: {getattr(self, name)}, must be positive")
        for name in ("warmup_steps", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name}: {getattr(self, name)}, must not be negative")
        if min(self.crop) < 32:
            raise UserError(f"crop: {self.crop}, must be at least 32x32")
        if not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise UserError(f"scale: {self.scale}, must be 0 < LOW <= HIGH")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed: {self.seed}, must be in 0 to {2**31 - 1}")
        if not 0 <= self.degrade <= 1:
            raise UserError(f"degrade: {self.degrade}, must be in [0, 1]")
        for name in ("light", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)}, must be in [0, 1)")
        if self.jit_compile and self.pooling_mode == "argmax":
            raise UserError(
                "jit_compile: XLA has no max-pooling with argmax: add --pooling-mode "
                "window or mask"
            )


def _listed(choices: tuple) -> str:
    return ", ".join(map(str, choices))


def _choices() -> dict[str, tuple]:
    return {
        option.name: option.metadata["choices"]
        for option in fields(TrainConfig)
        if option.metadata["choices"]
    }
