"""A run on several devices of one CPU, or one of several processes; for its tests.

python spread.py '{"output": "run", "devices": "2", "options": {"epochs": 1}}'
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]

QUICK = {
    "train_split": "train:12",
    "val_split": "val:3",
    "model": "segnet_basic",
    "crop": (32, 48),
    "batch_size": 4,
    "epochs": 1,
    "warmup_steps": 0,
    "optimizer": "sgd",
    "learning_rate": 1e-3,
}


def started(output: Path, **asked) -> subprocess.Popen:
    """A process that runs this script; `asked` has the keys that `main` reads."""
    asked = {"options": {}, "output": str(output), **asked}
    return subprocess.Popen(
        [sys.executable, __file__, json.dumps(asked)],
        cwd=output.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def weights(output: Path) -> list[np.ndarray]:
    from segnet_tf.inference.model_file import load_model

    return load_model(output / "model.keras").get_weights()


def ran(output: Path, **asked) -> list[np.ndarray]:
    """The weights after a run in one process."""
    process = started(output, **asked)
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return weights(output)


def difference(first, second) -> float:
    """The largest one, of each array in units of its largest value, if this is > 1."""
    return max(
        float(np.abs(a - b).max() / max(np.abs(a).max(), 1.0))
        for a, b in zip(first, second, strict=True)
    )


def main() -> None:
    asked = json.loads(sys.argv[1])
    import tensorflow as tf

    if asked.get("logical"):
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * asked["logical"],
        )
    from segnet_tf.layers import batch_norm, devices
    from segnet_tf.training.cluster import Cluster
    from segnet_tf.training.config import TrainConfig
    from segnet_tf.training.replicas import Replicas
    from segnet_tf.training.trainer import train

    cluster = Cluster.of_flags(asked.get("workers"), asked.get("index"))
    replicas = Replicas.on(asked.get("devices", "1"), cluster)
    if asked.get("own_means"):
        # Each replica's loss is the mean over its own pixels, and then their mean.
        count = devices.replicas
        devices.over_replicas = lambda values: values * count()
    if asked.get("own_statistics"):
        batch_norm.replicas = lambda: 1
    options = {**QUICK, **asked["options"]}
    train(TrainConfig.of(**options), asked["output"], asked.get("resume"), replicas)


if __name__ == "__main__":
    from segnet_tf.console import cli

    cli.run(main, "spread")
