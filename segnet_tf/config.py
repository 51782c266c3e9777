"""What decides a training run, as one frozen record."""

from dataclasses import dataclass, field, fields

from segnet_tf.datasets import DATASETS
from segnet_tf.errors import UserError

__all__ = ["TrainConfig"]

CLASS_WEIGHTS = ("none", "median", "sqrt")
KEEP = ("best", "last")
ENCODER_WEIGHTS = ("auto", "imagenet", "none")


def _option(default, text: str, choices: tuple | None = None):
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run. `train.py` makes its flags from these fields."""

    dataset: str = _option("synthetic", "data set", tuple(DATASETS))
    data_dir: str | None = _option(None, "folder of the data set")
    train_split: str = _option("train", "split, or text file of frame names")
    val_split: str = _option("val", "split, or text file of frame names")
    model: str = _option("segnet_lite", "network, a key of segnet_tf.MODELS")
    pooling_mode: str = _option(
        "argmax", "how pooling positions are held", ("argmax", "window", "mask")
    )
    encoder_weights: str = _option(
        "auto", "auto: imagenet where it comes with the network", ENCODER_WEIGHTS
    )
    epochs: int = _option(30, "passes over the training split")
    batch_size: int = _option(8, "crops a step")
    crop: tuple[int, int] = _option((192, 256), "crop the network sees, as HxW")
    scale: tuple[float, float] = _option((0.5, 1.3), "range of zoom, as LOW-HIGH")
    light: float = _option(0.3, "largest change of brightness, contrast, saturation")
    learning_rate: float = _option(2e-3, "peak rate of AdamW; cosine decay to zero")
    warmup_steps: int = _option(200, "steps of linear warm-up, a tenth of all at most")
    weight_decay: float = _option(1e-4, "AdamW's, on kernels only")
    class_weights: str = _option(
        "sqrt", "loss weights: median frequency, or its square root", CLASS_WEIGHTS
    )
    validate_every: int = _option(1, "epochs between validations")
    keep: str = _option("best", "weights to keep, by validation mIoU", KEEP)
    seed: int = _option(0, "of initial weights, order and augmentation")

    def __post_init__(self):
        for name, choices in _choices().items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise UserError(f"{name}: {value!r} is not one of {', '.join(choices)}")
        for name in ("epochs", "batch_size", "validate_every", "learning_rate"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}: {getattr(self, name)}, must be positive")
        if min(self.crop) < 32:
            raise UserError(f"crop: {self.crop}, must be at least 32x32")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UserError(f"scale: {self.scale}, must be 0 < LOW <= HIGH")
        if not 0 <= self.light < 1:
            raise UserError(f"light: {self.light}, must be in [0, 1)")


def _choices() -> dict[str, tuple]:
    return {
        option.name: option.metadata["choices"]
        for option in fields(TrainConfig)
        if option.metadata["choices"]
    }
