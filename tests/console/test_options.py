"""Fields of a dataclass that are flags: defaults, help, choices and bounds once."""

import argparse
from dataclasses import dataclass

import pytest

from segnet_tf.console.options import (
    BELOW_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    Choice,
    add_flags,
    check_options,
    option,
    parsed_range,
)
from segnet_tf.errors import UserError
from segnet_tf.training.config import GROUP_OF, GROUPS, TrainConfig

RULES = {
    "add": Choice("the sum", sum),
    "top": Choice("the largest, 100 % of it", max),
}


@dataclass(frozen=True)
class Options:
    rule: str = option("add", "what to do", RULES)
    rate: float = option(0.5, "how fast", bound=POSITIVE)
    count: int = option(3, "how often", (1, 3))
    folder: str | None = option(None, "where")
    keep_all: bool = option(True, "keep everything", opposite="keep-last")
    warm: bool = option(False, "start warm")
    zoom: tuple[float, float] = option((0.5, 2.0), "range", parse=parsed_range)

    def __post_init__(self):
        check_options(self)


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_flags(parser, Options)
    return parser


def given(parser, *flags) -> dict:
    found = vars(parser.parse_args(flags))
    return {name: value for name, value in found.items() if value is not None}


def test_what_is_not_given_is_none(parser):
    assert given(parser) == {}
    assert Options(**given(parser)) == Options()


def test_flags_have_the_type_of_their_default(parser):
    flags = ("--rate=0.25", "--count=1", "--folder=3", "--zoom=0.1-9")
    assert given(parser, *flags) == {
        "rate": 0.25, "count": 1, "folder": "3", "zoom": (0.1, 9.0)
    }  # fmt: skip


def test_yes_and_no(parser):
    assert given(parser, "--keep-last") == {"keep_all": False}
    assert given(parser, "--keep-last", "--keep-all") == {"keep_all": True}
    assert given(parser, "--warm") == {"warm": True}
    assert given(parser, "--no-warm") == {"warm": False}


def test_help_has_default_choices_and_what_each_means(parser):
    text = " ".join(parser.format_help().split())
    assert "what to do; add: the sum; top: the largest, 100 % of it [add]" in text
    assert "how fast [0.5]" in text and "range [0.5-2.0]" in text
    assert "keep everything [default] --keep-last the opposite of --keep-all" in text
    assert "start warm --no-warm the opposite of --warm [default]" in text


@pytest.mark.parametrize(
    "values, message",
    [
        ({"rule": "drop"}, "rule: no 'drop': choose from add, top"),
        ({"count": 2}, "count: no 2: choose from 1, 3"),
        ({"rate": 0.0}, "rate: 0.0, must be positive"),
        ({"rate": float("nan")}, "rate: nan, must be positive"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        Options(**values)


@pytest.mark.parametrize(
    "bound, kept, broken",
    [
        (POSITIVE, (1e-9, 5), (0, -1, float("inf"), float("nan"))),
        (NOT_NEGATIVE, (0, 5), (-1e-9, float("inf"), float("nan"))),
        (SHARE, (0, 0.5, 1), (-0.1, 1.1, float("nan"))),
        (BELOW_ONE, (0, 0.99), (-0.1, 1, float("nan"))),
    ],
)
def test_bounds(bound, kept, broken):
    assert all(bound.holds(value) for value in kept)
    assert not any(bound.holds(value) for value in broken)


def test_no_option_of_a_run_is_in_two_groups():
    count = sum(len(kind.__dataclass_fields__) for kind in GROUPS.values())
    assert len(GROUP_OF) == count == len(TrainConfig().as_options())


def test_options_find_their_group():
    config = TrainConfig.of(model="segnet", zoom=(1.0, 2.0)).replaced(epochs=3)
    assert config.network.model == "segnet" and config.augmentation.zoom == (1.0, 2.0)
    assert config.optimization.epochs == 3 and config.run == TrainConfig().run
    assert TrainConfig.of(**config.as_options()) == config
    with pytest.raises(TypeError, match="no option 'epoch'"):
        TrainConfig.of(epoch=3)


@pytest.mark.parametrize(
    "options, kind",
    [
        ({"save_best": "last"}, "save_best: 'last' is not of type bool"),
        ({"flip": 1}, "flip: 1 is not of type bool"),
        ({"epochs": 2.5}, "epochs: 2.5 is not of type int"),
        ({"epochs": True}, "epochs: True is not of type int"),
        ({"epochs": "3"}, "epochs: '3' is not of type int"),
        ({"crop": (64,)}, r"crop: \(64,\) is not of type tuple"),
        ({"zoom": 1.0}, "zoom: 1.0 is not of type tuple"),
        ({"data_dir": 3}, "data_dir: 3 is not of type text"),
    ],
)
def test_a_value_of_another_type_is_refused(options, kind):
    with pytest.raises(UserError, match=f"^{kind}$"):
        TrainConfig.of(**options)


def test_whole_numbers_and_lists_will_do():
    config = TrainConfig.of(learning_rate=1, crop=[64, 96], zoom=(1, 2))
    assert config.optimization.learning_rate == 1
