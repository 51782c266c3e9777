"""What each training option does to the rate and to the weights."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import small

from segnet_tf.errors import UserError
from segnet_tf.models import SegNet
from segnet_tf.models.networks import NETWORKS, build
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.optimizers import build_optimizer, encoder_layers
from segnet_tf.training.warmup import WarmUp

PLAIN = TrainConfig.of(
    optimizer="sgd",
    schedule="constant",
    learning_rate=0.1,
    warmup_steps=0,
    weight_decay=0.0,
)


def rates(config, steps, at) -> list[float]:
    schedule = build_optimizer(config, steps)._learning_rate
    return [float(schedule(step)) for step in at]


@pytest.mark.parametrize(
    "schedule, fall",
    [
        ("cosine", lambda done: (1 + math.cos(math.pi * done)) / 2),
        ("poly", lambda done: (1 - done) ** 0.9),
        ("constant", lambda done: 1.0),
    ],
)
def test_rate_warms_up_then_falls(schedule, fall):
    config = PLAIN.replaced(schedule=schedule, warmup_steps=10)
    at = [0, 5, 10, 40, 70, 100]
    expected = [0.0, 0.05] + [0.1 * fall((step - 10) / 90) for step in at[2:]]
    np.testing.assert_allclose(rates(config, 100, at), expected, atol=1e-7)


def test_warm_up_is_a_tenth_of_a_short_run():
    assert rates(PLAIN.replaced(warmup_steps=200), 30, [0, 3])[1] == pytest.approx(0.1)


def test_warm_up_survives_serialisation():
    schedule = WarmUp(keras.optimizers.schedules.CosineDecay(0.3, 50), 7)
    serialize = keras.optimizers.schedules.serialize
    again = keras.optimizers.schedules.deserialize(serialize(schedule))
    assert [float(again(n)) for n in (3, 20)] == [float(schedule(n)) for n in (3, 20)]


def one_weight(optimizer, gradients, name="kernel") -> list[float]:
    """A weight that starts at 1, after each of the gradients."""
    variable = keras.Variable(1.0, name=name)
    values = []
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient)], [variable])
        values.append(float(variable.numpy()))
    return values


def test_sgd_has_the_released_momentum():
    values = one_weight(build_optimizer(PLAIN, 10), [1.0, 1.0])
    np.testing.assert_allclose(values, [0.9, 0.9 - 0.1 * (1 + 0.9)], rtol=1e-6)


def test_weight_decay_spares_batch_norm_and_biases():
    config = PLAIN.replaced(weight_decay=0.5)
    assert one_weight(build_optimizer(config, 10), [0.0])[0] == pytest.approx(0.95)
    for name in ("gamma", "beta", "bias"):
        assert one_weight(build_optimizer(config, 10), [0.0], name) == [1.0]


def test_accumulated_gradients_make_one_update_of_their_mean():
    optimizer = build_optimizer(PLAIN.replaced(accumulate=3), 30)
    values = one_weight(optimizer, [1.0, 2.0, 6.0, 3.0])
    np.testing.assert_allclose(values, [1.0, 1.0, 1 - 0.1 * 3, 1 - 0.1 * 3], rtol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_averages_forget_by_the_update_however_many_steps_make_one(accumulate):
    """A weight that is moved by hand once: the average follows, an update at a time."""
    config = PLAIN.replaced(ema=0.8, accumulate=accumulate)
    optimizer, variable = build_optimizer(config, 100), keras.Variable(1.0)

    def average_after_an_update():
        for _ in range(accumulate):
            optimizer.apply([tf.constant(0.0)], [variable])
        return float(optimizer._model_variables_moving_average[0].numpy())

    assert average_after_an_update() == 1.0
    variable.assign(2.0)
    averages = [average_after_an_update() for _ in range(3)]
    np.testing.assert_allclose(averages, [2 - 0.8**n for n in (1, 2, 3)], rtol=1e-5)


def test_schedule_counts_batches_when_gradients_accumulate():
    config = PLAIN.replaced(accumulate=3, schedule="poly")
    optimizer = build_optimizer(config, 30)
    values = one_weight(optimizer, [1.0, 1.0, 1.0])
    rate = 0.1 * (1 - 2 / 30) ** 0.9
    assert values[-1] == pytest.approx(1 - rate, rel=1e-6)


def test_encoder_learns_at_its_own_rate():
    keras.utils.set_random_seed(0)
    model = SegNet(num_classes=2, encoder=((4,), (4, 4)))
    before = {v.path: v.numpy() for v in model.trainable_variables}
    config = PLAIN.replaced(encoder_lr_multiplier=0.25)
    optimizer = build_optimizer(config, 10, encoder_layers(model, "pool2"))
    ones = [tf.ones(v.shape) for v in model.trainable_variables]
    optimizer.apply(ones, model.trainable_variables)
    for variable in model.trainable_variables:
        moved = (before[variable.path] - variable.numpy()).mean()
        encoder = variable.path.split("/")[0].removesuffix("_bn").endswith("_D")
        assert moved == pytest.approx(0.1 if encoder else 0.025, rel=1e-3)


ENCODERS = {
    "segnet": {f"conv{s}_{n}" for s, m in zip(range(1, 6), (2, 2, 3, 3, 3), strict=True)
               for n in range(1, m + 1)},
    "segnet_basic": {f"conv{n}" for n in range(1, 5)},
}  # fmt: skip


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_is_found_from_its_end(name):
    model = build(name, num_classes=2)
    found = encoder_layers(model, NETWORKS[name].encoder)
    assert {layer.removesuffix("_bn") for layer in found} == ENCODERS[name]


def test_the_light_encoder_is_efficientnets():
    model = build("segnet_lite", num_classes=2)
    found = encoder_layers(model, NETWORKS["segnet_lite"].encoder)
    with_weights = {layer.name for layer in model.layers if layer.weights}
    expected = {n for n in with_weights if n.startswith(("stem", "block"))}
    assert set(found) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_says_where_its_encoder_ends(name):
    """A wrong name must not pass for an encoder without layers."""
    # The small SegNets have fewer stages than the one that the record is about.
    five = {"encoder": ((4,),) * 5} if name.endswith("segnet") else {}
    model = small(name, **five)
    found = encoder_layers(model, NETWORKS[name].encoder)
    decoder = {layer.name for layer in model.layers if layer.weights} - set(found)
    assert found and decoder
    head = [layer.name for layer in model.layers if layer.weights][-1]
    assert head in decoder
    with pytest.raises(ValueError, match="nowhere"):
        encoder_layers(model, "nowhere")


def test_an_encoder_of_its_own_rate_needs_layers():
    with pytest.raises(
        ValueError, match="0.25 needs the names of the encoder's layers"
    ):
        build_optimizer(PLAIN.replaced(encoder_lr_multiplier=0.25), 10)


def test_jit_needs_another_pooling_mode():
    with pytest.raises(UserError, match="--pooling-mode window or mask"):
        TrainConfig.of(jit_compile=True)
    assert TrainConfig.of(jit_compile=True, pooling_mode="mask").run.jit_compile


@pytest.mark.parametrize("name", ["learning_rate", "encoder_lr_multiplier"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_must_be_positive(name, value):
    with pytest.raises(UserError, match=name):
        TrainConfig.of(**{name: value})
