"""How long is a training step, and what is the fused batch normalisation worth in it?

python -m benchmarks.training_step [--model segnet_lite] [--repeats 11]

The same network twice, with FusedBatchNormalization and with Keras' own layer in its
place; default crop and batch. Medians of alternating steps.
"""

import argparse
import time
from statistics import median

import keras
import numpy as np

from segnet_tf import cli
from segnet_tf.batch_norm import FusedBatchNormalization
from segnet_tf.config import TrainConfig
from segnet_tf.losses import PixelCrossEntropy
from segnet_tf.models import MODELS
from segnet_tf.optimizers import build_optimizer
from segnet_tf.training import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="segnet_lite")
    parser.add_argument("--repeats", type=int, default=11)
    arguments = parser.parse_args()
    config = TrainConfig(model=arguments.model, pooling_mode="window")
    fused = build(config, 11)
    models = {
        "fused": fused,
        "Keras": keras.models.clone_model(fused, clone_function=with_keras_layers),
    }
    rng = np.random.default_rng(0)
    shape = (config.batch_size, *config.crop)
    images = rng.integers(0, 256, (*shape, 3)).astype("float32")
    labels = rng.integers(0, 11, shape).astype("uint8")
    seconds = {name: [] for name in models}
    for model in models.values():
        optimizer = build_optimizer(config, 1000)
        model.compile(optimizer, PixelCrossEntropy(), jit_compile=False)
        for _ in range(2):  # traces the graph
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


def with_keras_layers(layer):
    """A clone of a layer, Keras' own batch normalisation for the fused one."""
    kind = type(layer)
    if kind is FusedBatchNormalization:
        kind = keras.layers.BatchNormalization
    return kind.from_config(layer.get_config())


if __name__ == "__main__":
    cli.run(main, "benchmarks.training_step")
