"""How long a run is: its steps by the number of images, and when it stops early."""

import math
from collections.abc import Sequence

from segnet_tf.training.config import TrainConfig

__all__ = ["planned", "stalled", "steps_of"]

STEPS = 200
"""Steps of a run for one image; they grow with the third root of their number."""

VALIDATIONS = 20
"""In a whole run."""


def steps_of(config: TrainConfig, images: int) -> int:
    """The steps of an epoch: one crop of every image."""
    return max(1, round(images / config.optimization.batch_size))


def planned(config: TrainConfig, images: int) -> TrainConfig:
    """The configuration with numbers where it leaves the choice.

    Args:
        config: `epochs` 0 becomes 200 steps times the third root of the number of
            images: 540 steps for 20 images, 1,500 for 400. `validate_every` 0 gives
            about 20 validations.
        images: in the training split.
    """
    epochs, every = config.optimization.epochs, config.run.validate_every
    if not epochs:
        steps = STEPS * math.cbrt(images)
        epochs = math.ceil(steps / steps_of(config, images))
    return config.replaced(
        epochs=epochs, validate_every=every or max(1, epochs // VALIDATIONS)
    )


def stalled(config: TrainConfig, rows: Sequence[dict]) -> bool:
    """Whether the last `patience` validations brought no better mIoU.

    False if the last weights are kept, not the best: they need the falling rate.

    Args:
        config: its `patience` and `save_best`.
        rows: the history, one dict per epoch; "val_mean_iou" where it was validated.
    """
    patience = config.run.patience
    scores = [row["val_mean_iou"] for row in rows if "val_mean_iou" in row]
    if not patience or not config.run.save_best or len(scores) <= patience:
        return False
    return max(scores[-patience:]) <= max(scores[:-patience])
