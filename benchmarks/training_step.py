"""How long is a training step, and what is each of our layers worth in it?

python -m benchmarks.training_step [--model segnet_lite] [--repeats 11]

Trains the same network several times: as it is, and with one or all of its faster parts
replaced by the plain ones. The parts are FusedBatchNormalization, FastDepthwiseConv2D
and the pooling mode "input"; the plain ones are Keras' own layers and the pooling mode
"window". Prints medians of steps in turns, at the default crop and batch size.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import keras
import numpy as np

from segnet_tf.console import cli
from segnet_tf.layers import FastDepthwiseConv2D, FusedBatchNormalization
from segnet_tf.models.clone import clone, with_pooling_mode
from segnet_tf.models.networks import NETWORKS
from segnet_tf.training.building import build
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.optimizers import build_optimizer
from segnet_tf.training.pixel_loss import PixelLoss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    unpooling = [name for name, network in NETWORKS.items() if network.unpools]
    parser.add_argument("--model", choices=unpooling, default="segnet_lite")
    parser.add_argument("--repeats", type=int, default=11, help="timed steps [11]")
    arguments = parser.parse_args()
    config = TrainConfig.of(model=arguments.model, pooling_mode="input")
    models = variants(build(config, 11))
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
    own = median(seconds["as it is"])
    for name, times in seconds.items():
        print(f"{name:<28} {1000 * median(times):5.0f} ms  {median(times) / own:.2f}")


def variants(model: keras.Model) -> dict[str, keras.Model]:
    """The network with its faster layers, and with plain ones in their place."""
    plain: dict[str, Callable] = {
        "Keras' batch normalisation": lambda model: with_kerass_own(
            model, FusedBatchNormalization, keras.layers.BatchNormalization
        ),
        "Keras' depthwise convolution": lambda model: with_kerass_own(
            model, FastDepthwiseConv2D, keras.layers.DepthwiseConv2D
        ),
        "positions as window": lambda model: with_pooling_mode(model, "window"),
    }
    found = {"as it is": model}
    everything = model
    for name, change in plain.items():
        found[name] = change(model)
        everything = change(everything)
    return {**found, "all three": everything}


def with_kerass_own(model: keras.Model, ours: type, own: type) -> keras.Model:
    """The same network and weights, with Keras' own layer in the place of ours."""

    def changed(layer):
        return own.from_config(layer.get_config()) if type(layer) is ours else None

    return clone(model, changed)


if __name__ == "__main__":
    cli.run(main, "benchmarks.training_step")
