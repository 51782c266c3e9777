"""The memory that a run takes is said before it is taken."""

import json
import subprocess
import sys

import keras
import pytest
from spread import ROOT

from segnet_tf.training import memory
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.memory import PROCESS, needed, of_machine, say_memory


def network() -> keras.Model:
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(images)
    x = keras.layers.MaxPooling2D()(x)
    return keras.Model(images, keras.layers.Conv2D(2, 1, use_bias=False)(x))


def test_weights_and_outputs_are_counted():
    config = TrainConfig.of(crop=(32, 64), batch_size=3, optimizer="sgd")
    weights = 3 * 3 * 3 * 8 + 8 * 2
    pixels = 3 * 32 * 64
    outputs = 4 * (pixels * (3 + 8) + pixels // 4 * (8 + 2))
    assert needed(network(), config) == PROCESS + 3 * 4 * weights + outputs


@pytest.mark.parametrize(
    "options, copies",
    [({"optimizer": "adamw"}, 4), ({"ema": 0.9}, 5), ({"accumulate": 2}, 5)],
    ids=str,
)
def test_slots_of_the_optimizer(options, copies):
    model = network()
    few = needed(model, TrainConfig.of(optimizer="sgd"))
    more = needed(model, TrainConfig.of(**options))
    assert more - few == (copies - 3) * 4 * model.count_params()


def test_a_container_has_less_than_its_machine(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_LIMITS", (limit, tmp_path / "none"))
    whole = of_machine()
    limit.write_text("1000000\n")
    assert of_machine() == 1_000_000
    limit.write_text("max\n")
    assert of_machine() == whole > 1_000_000


def test_too_much_is_said(monkeypatch, capsys):
    monkeypatch.setattr(memory, "of_machine", lambda: 2**30)
    say_memory(network(), TrainConfig(), remembered=2**30)
    said, warning = capsys.readouterr().out.splitlines()
    assert said.startswith("about 1.9 GiB of memory")
    assert "has 1.0 GiB" in warning and "--batch-size (now 8)" in warning
    monkeypatch.setattr(memory, "of_machine", lambda: 2**40)
    say_memory(network(), TrainConfig(), remembered=2**30)
    assert "warning" not in capsys.readouterr().out


MEASURED = """
import json, resource, sys
import numpy as np, tensorflow as tf
from segnet_tf.datasets import registry
from segnet_tf.training.building import compiled
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.memory import needed

config = TrainConfig.of(encoder_weights="none", class_weights="none",
                        **json.loads(sys.argv[1]))
split = registry.load("synthetic", "train:1", None, 3, config.folder)
model = compiled(config, split, 10)
shape = (config.optimization.batch_size, *config.augmentation.crop)
batch = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.uint8)
batches = tf.data.Dataset.from_tensors(batch).repeat()
model.fit(batches, steps_per_epoch=3, verbose=0)
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / needed(model, config))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"model": "segnet_lite", "batch_size": 8},
        {"model": "segnet_lite", "batch_size": 2},
        {"model": "segnet_basic", "batch_size": 4, "optimizer": "sgd"},
        {"model": "segnet", "batch_size": 1},
    ],
    ids=str,
)
def test_the_estimate_is_true(options):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, json.dumps(options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 0.75 < float(done.stdout.splitlines()[-1]) < 1.15
