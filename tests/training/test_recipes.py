"""Recipes are valid configurations, and flags beside them win."""

import json
from dataclasses import asdict

import keras
import pytest

from segnet_tf.commands import train as command
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import save_model
from segnet_tf.models import networks
from segnet_tf.models.networks import FCNS, NETWORKS, TABLE_1
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_a_valid_configuration(name):
    config = TrainConfig.of(**RECIPES[name].options)
    assert config.network.model in NETWORKS
    assert RECIPES[name].expects


def test_every_network_of_the_papers_has_a_recipe():
    found = {TrainConfig.of(**r.options).network.model for r in RECIPES.values()}
    assert found >= {"segnet_lite", "segnet", "bayesian_segnet", *FCNS, *TABLE_1}
    for name, recipe in RECIPES.items():
        if name.startswith("paper_"):
            assert name == f"paper_{recipe.options['model']}"
            # What has not been run must not promise a score.
            ran = "mIoU 56.9 on val" if name == "paper_segnet_basic" else "untested"
            assert recipe.expects.endswith(ran)


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
    from segnet_tf.training import trainer

    configs = []
    monkeypatch.setattr(trainer, "train", lambda c, *_: configs.append(c))
    command.main(list(flags))
    return configs[0]


def test_flags_win_over_the_recipe(monkeypatch):
    flags = ("--recipe=paper_segnet_basic", "--epochs=3", "--flip", "--zoom=0.5-2")
    config = configured(monkeypatch, *flags)
    optimization, augmentation = config.optimization, config.augmentation
    assert (augmentation.flip, augmentation.zoom) == (True, (0.5, 2.0))
    assert (optimization.epochs, optimization.optimizer) == (3, "sgd")
    assert augmentation.crop == (360, 480)


def test_no_flags_are_the_defaults(monkeypatch):
    assert configured(monkeypatch) == TrainConfig()
    assert not configured(monkeypatch, "--no-flip").augmentation.flip


def test_first_weights_bring_their_network(monkeypatch, tmp_path):
    path = tmp_path / "run" / "model.keras"
    path.parent.mkdir()
    info = DatasetInfo("own", ("a", "b"), ((0, 0, 0), (1, 1, 1)))
    save_model(networks.build("segnet_basic", 2), path, info)
    source = f"--init-from={path.parent}"

    assert configured(monkeypatch, source).network.model == "segnet_basic"
    given = configured(monkeypatch, source, "--model=fcn_basic")
    assert (given.network.model, given.network.init_from) == ("fcn_basic", source[12:])


def test_first_weights_of_another_network_leave_the_default(monkeypatch, tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name="mine").save(path)

    assert configured(monkeypatch, f"--init-from={path}").network.model == "segnet_lite"


def test_init_from_imagenet_is_encoder_weights(monkeypatch):
    network = configured(monkeypatch, "--init-from=imagenet").network

    assert (network.encoder_weights, network.init_from) == ("imagenet", None)


def test_first_weights_that_are_missing_are_said_at_once(monkeypatch):
    with pytest.raises(UserError, match="nowhere: no model there"):
        configured(monkeypatch, "--init-from=nowhere")


OLD_FLAGS = {
    "--scale": "--zoom",
    "--light": "--color-jitter",
    "--degrade": "--corruption",
    "--keep": "--save-last",
    "--reestimate-bn": "--recalibrate-bn",
    "--encoder-rate-factor": "--encoder-lr-multiplier",
}


@pytest.mark.parametrize("flag", OLD_FLAGS)
def test_an_old_flag_names_the_new_one(flag):
    for given in ([flag], [flag, "0.5"], [f"{flag}=0.5"]):
        with pytest.raises(UserError, match=f"{flag}: .*{OLD_FLAGS[flag]}"):
            command.main(given)


def test_save_best_and_save_last_are_one_choice(monkeypatch):
    assert configured(monkeypatch, "--save-best").run.save_best
    assert not configured(monkeypatch, "--save-last").run.save_best
    recipe = ("--recipe=segnet_lite_camvid",)
    assert not configured(monkeypatch, *recipe).run.save_best
    assert configured(monkeypatch, *recipe, "--save-best").run.save_best


@pytest.mark.parametrize("flags", [["--recipe=none"], ["--loss=l2"], ["--crop=3"]])
def test_a_slip_is_one_line(flags):
    with pytest.raises(UserError, match="^[^\n]*$"):
        command.main(flags)


def test_the_number_that_reliability_took_is_answered():
    from segnet_tf.commands import evaluate

    with pytest.raises(UserError, match="^--reliability: takes no value: .*samples 20"):
        evaluate.main(["--reliability", "20"])


def test_the_options_of_another_run(monkeypatch, tmp_path):
    path = tmp_path / "config.json"
    stored = TrainConfig.of(model="segnet_basic", epochs=3, zoom=(0.5, 2.0))
    path.write_text(json.dumps(asdict(stored)))

    assert configured(monkeypatch, f"--config={path}") == stored
    found = configured(monkeypatch, f"--config={path}", "--epochs=4")
    assert found == stored.replaced(epochs=4)
    with pytest.raises(UserError, match="give one of them"):
        configured(monkeypatch, f"--config={path}", "--recipe=demo")


@pytest.mark.parametrize(
    "text, says",
    [
        ("{", "damaged, no JSON"),
        ('{"run": {"sed": 1}}', "no option 'sed'"),
        ('{"run": {"seed": "a"}}', "seed: 'a' is not of type int"),
        ('{"run": 1}', "before 0.1.0"),
        (None, "no such file"),
    ],
)
def test_a_file_of_options_that_is_wrong(monkeypatch, tmp_path, text, says):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=says):
        configured(monkeypatch, f"--config={path}")
