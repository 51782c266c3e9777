"""How long is a training step, and what is the fused batch normalisation worth in it?

python -m benchmarks.training_step [--model segnet_lite] [--repeats 11]

Trains the same network twice, with FusedBatchNormalization and with Keras' own layer in
its place, at the default crop and batch size. Prints medians of steps in turns.
"""

import argparse
import time
from statistics import median

import keras
import numpy as np

from segnet_tf.console import cli
from segnet_tf.layers.batch_norm import FusedBatchNormalization
from segnet_tf.models.clone import clone
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.optimizers import build_optimizer
from segnet_tf.training.pixel_loss import PixelLoss
from segnet_tf.training.trainer import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=NETWORKS, default="segnet_lite")
    parser.add_argument("--repeats", type=int, default=11, help="timed steps [11]")
    arguments = parser.parse_args()
    config = TrainConfig.of(model=arguments.model, pooling_mode="window")
    fused = build(config, 11)
    models = {"fused": fused, "Keras": with_keras_layers(fused)}
    rng = np.random.default_rng(0)
    shape = (config.optimization.batch_size, *config.augmentation.crop)
    images = rng.integers(0, 256, (*shape, 3)).astype("float32")
    labels = rng.integers(0, 11, shape).astype("uint8")
    seconds = {name: [] for name in models}
    for model in models.values():
        optimizer = build_optimizer(config, 1000)
        model.compile(optimizer, PixelLoss(), jit_compile=False)
        # The first steps trace the graph, and do not count.
        for _ in range(2):
            model.train_on_batch(images, labels)
    for _ in range(arguments.repeats):
        for name, model in models.items():
            started = time.perf_counter()
            model.train_on_batch(images, labels)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: median(times) for name, times in seconds.items()}
    for name, value in medians.items():
        print(f"{name} batch normalisation: {1000 * value:.0f} ms a step")
    print(f"fused: {medians['Keras'] / medians['fused']:.2f} times as fast")


def with_keras_layers(model: keras.Model) -> keras.Model:
    """The same network and weights, with Keras' own batch normalisation."""

    def changed(layer):
        if isinstance(layer, FusedBatchNormalization):
            return keras.layers.BatchNormalization.from_config(layer.get_config())
        return None

    return clone(model, changed)


if __name__ == "__main__":
    cli.run(main, "benchmarks.training_step")
