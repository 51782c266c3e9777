"""What the results of `segnet predict` depend on, beside the pictures and the model."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segnet_tf.errors import UserError
from segnet_tf.evaluation.overlays import OPACITY
from segnet_tf.inference.many.reading import Picture
from segnet_tf.inference.predictor import Predictor

__all__ = ["Settings", "dependencies", "labelling"]


@dataclass(frozen=True)
class Settings:
    """What the results depend on, beside the pictures and the model.

    Attributes:
        native: whether images run without scaling.
        samples: labels come from the mean of this many dropout samples; None: dropout
            is off.
        uncertainty: whether to write the spread of the samples, too.
        value_range: of images with more than 8 bits, the values that are black and
            white; None: those that the model was trained with.
        views: of test-time augmentation: names of
            `segnet_tf.inference.augmented.VIEWS`.
        outputs: names of `segnet_tf.inference.many.results.OUTPUTS`.
        format: "png" or "jpg" for pictures that show the photo; None: as the photo.
        opacity: of the tint in overlays, 0 to 1.
        palette: "safe": colours for the colour-blind; None: the model's.
        smooth: for videos, the weight of what was seen before, 0 to less than 1.

    Raises:
        UserError: if `smooth` is out of range.
    """

    native: bool = False
    samples: int | None = None
    uncertainty: bool = False
    value_range: tuple[float, float] | None = None
    views: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("labels", "overlay")
    format: str | None = None
    opacity: float = OPACITY
    palette: str | None = None
    smooth: float = 0.0

    def __post_init__(self):
        if not 0 <= self.smooth < 1:  # NaN fails, too
            raise UserError(
                f"--smooth: {self.smooth}, must be at least 0 and less than 1"
            )


def dependencies(predictor: Predictor, settings: Settings) -> dict[str, Any]:
    """What the results depend on: other values, other results."""
    path = predictor.path
    seen = (path / "saved_model.pb" if path.is_dir() else path).stat()
    model = [str(path.resolve()), seen.st_size, seen.st_mtime_ns]
    return {"model": model, **asdict(settings)}


def labelling(
    predictor: Predictor, output: Path, settings: Settings
) -> Callable | None:
    """What labels by samples or by several views; None: the predictor itself."""
    if settings.samples is not None:
        if settings.views:
            raise UserError("--tta: not together with --samples or --uncertainty")
        return _sampled(predictor, settings, output)
    if settings.views:
        from segnet_tf.inference.augmented import augmented

        return augmented(predictor, settings.views)
    return None


def _sampled(predictor: Predictor, settings: Settings, output: Path) -> Callable:
    """Labels by dropout samples; writes their spread if that is wanted.

    Matplotlib draws in one thread alone, so this is not left to the writers.
    """
    from segnet_tf.inference.monte_carlo import MonteCarlo, write_uncertainty

    assert settings.samples is not None
    sampler = MonteCarlo(predictor.keras_model(), settings.samples)

    def label(picture: Picture, image, size: tuple[int, int]):
        result = sampler(image)
        if settings.uncertainty:
            write_uncertainty(result, size, output / picture.name)
        return result.probabilities

    return label
