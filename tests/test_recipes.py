"""Recipes are valid configurations, and flags beside them win."""

import sys

import pytest
from conftest import load_command

from segnet_tf.config import TrainConfig
from segnet_tf.models import MODELS
from segnet_tf.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_a_valid_configuration(name):
    config = TrainConfig(**RECIPES[name].options)
    assert config.model in MODELS
    assert RECIPES[name].expects


def test_every_network_has_a_recipe():
    assert {recipe.options["model"] for recipe in RECIPES.values()} == set(MODELS)
    for name, recipe in RECIPES.items():
        if name.startswith("paper_"):
            assert name == f"paper_{recipe.options['model']}"
            # What has not been run must not promise a score.
            assert recipe.expects.endswith("untested so far")


def test_papers_solvers():
    def solver(name: str) -> tuple:
        options = RECIPES[name].options
        steps = 92 * options["epochs"]
        shared = [options[key] for key in ("optimizer", "schedule", "batch_size")]
        assert shared == ["sgd", "constant", 4]
        return round(steps, -3), options["learning_rate"]

    assert solver("paper_segnet") == solver("paper_fcn8s") == (40_000, 1e-3)
    assert solver("paper_bayesian_segnet") == (60_000, 1e-3)
    assert solver("paper_segnet_basic") == solver("paper_fcn_basic") == (10_000, 0.1)


def configured(monkeypatch, *flags) -> TrainConfig:
    """What train.py makes of its flags, without the training."""
    import segnet_tf.training

    command = load_command("train.py")
    configs = []
    monkeypatch.setattr(segnet_tf.training, "train", lambda c, *_: configs.append(c))
    monkeypatch.setattr(sys, "argv", ["train.py", *flags])
    command.main()
    return configs[0]


def test_flags_win_over_the_recipe(monkeypatch):
    flags = ("--recipe=paper_segnet_basic", "--epochs=3", "--flip", "--scale=0.5-2")
    config = configured(monkeypatch, *flags)
    assert (config.epochs, config.flip, config.scale) == (3, True, (0.5, 2.0))
    assert (config.optimizer, config.crop) == ("sgd", (360, 480))


def test_no_flags_are_the_defaults(monkeypatch):
    assert configured(monkeypatch) == TrainConfig()
    assert not configured(monkeypatch, "--no-flip").flip
