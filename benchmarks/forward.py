"""How long is a forward pass of each network? Medians of alternating runs.

python -m benchmarks.forward [--size 360x480] [--repeats 9] [--models segnet_lite ...]
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from segnet_tf.console import cli
from segnet_tf.models.networks import NETWORKS, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size",
        type=cli.parsed_size,
        default="360x480",
        help="of the image, as HxW [360x480]",
    )
    parser.add_argument("--repeats", type=int, default=9, help="timed passes [9]")
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    arguments = parser.parse_args()
    models = {name: build(name) for name in arguments.models}
    height, width = arguments.size
    seconds = forward_seconds(models, (1, height, width, 3), arguments.repeats)
    print(f"{height}x{width}, {os.cpu_count()} cores")
    for name, model in models.items():
        parameters = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        print(f"{name:<40}{parameters:>12,} parameters{1000 * seconds[name]:>9.0f} ms")


def forward_seconds(
    models: dict[str, keras.Model], shape: tuple[int, ...], repeats: int
) -> dict[str, float]:
    """Median seconds of each model's forward pass, in a tf.function.

    Args:
        shape: (B, H, W, C) of the images.
        repeats: timed passes of each model.
    """
    image = tf.random.uniform(shape, 0, 255)
    predict = {
        name: tf.function(lambda x, model=model: model(x, training=False))
        for name, model in models.items()
    }
    seconds = {name: [] for name in models}
    # In turns, so that everything else that the machine does falls on all of them. The
    # first turn traces the graphs and does not count.
    for repeat in range(repeats + 1):
        for name, function in predict.items():
            start = time.perf_counter()
            function(image).numpy()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


if __name__ == "__main__":
    cli.run(main, "benchmarks.forward")
