"""Steps by the number of images, and stopping early."""

import pytest

from segnet_tf.training.config import TrainConfig
from segnet_tf.training.length import planned, stalled, steps_of

KEEPS_BEST = TrainConfig.of(patience=3)


@pytest.mark.parametrize(
    ("images", "epochs", "steps"),
    [(1, 200, 1), (16, 252, 2), (40, 137, 5), (400, 30, 50)],
)
def test_epochs_follow_the_number_of_images(images, epochs, steps):
    config = planned(TrainConfig(), images)

    assert (config.optimization.epochs, steps_of(config, images)) == (epochs, steps)
    # 200 times the third root, and less than one more epoch.
    assert 0 <= epochs * steps - 200 * images ** (1 / 3) < steps + 1e-9
    assert config.run.validate_every == max(1, epochs // 20)


def test_what_is_given_stays():
    given = TrainConfig.of(epochs=7, validate_every=2)

    assert planned(given, 400) == given
    assert planned(TrainConfig.of(epochs=100), 400).run.validate_every == 5


def rows(*scores: float | None) -> list[dict]:
    """A history; None is an epoch without a validation."""
    return [
        {"epoch": epoch, "loss": 1.0}
        | ({} if score is None else {"val_mean_iou": score})
        for epoch, score in enumerate(scores, start=1)
    ]


@pytest.mark.parametrize(
    ("scores", "stops"),
    [
        ((), False),
        ((0.5, 0.4, 0.4), False),
        ((0.5, 0.4, 0.4, 0.4), True),
        ((0.5, 0.5, 0.5, 0.5), True),  # no better
        ((0.5, 0.4, 0.4, 0.51), False),
        ((0.5, None, 0.4, None, 0.4, None, 0.4), True),
        ((0.5, None, None, None, 0.4), False),
        ((0.1, 0.6, 0.4, 0.4, 0.4), True),
    ],
)
def test_a_run_stops_after_validations_that_are_no_better(scores, stops):
    assert stalled(KEEPS_BEST, rows(*scores)) is stops


@pytest.mark.parametrize("options", [{"patience": 0}, {"save_best": False}])
def test_it_goes_on_if_asked_to_or_if_the_last_weights_count(options):
    config = KEEPS_BEST.replaced(**options)

    assert not stalled(config, rows(*[0.5] + [0.4] * 50))
