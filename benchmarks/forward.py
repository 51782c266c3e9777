"""How long is a forward pass of each network? Medians of alternating runs.

python -m benchmarks.forward [--height 360] [--width 480] [--repeats 9] [--models ...]
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from segnet_tf import MODELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    models = {name: MODELS[name]() for name in arguments.models}
    shape = (1, arguments.height, arguments.width, 3)
    seconds = forward_seconds(models, shape, arguments.repeats)
    print(f"{arguments.height}x{arguments.width}, {os.cpu_count()} cores")
    for name, model in models.items():
        parameters = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        print(f"{name:<40}{parameters:>12,} parameters{1000 * seconds[name]:>9.0f} ms")


def forward_seconds(
    models: dict[str, keras.Model], shape: tuple[int, ...], repeats: int
) -> dict[str, float]:
    """Median seconds of a forward pass of each model, in a tf.function.

    Args:
        shape: (B, H, W, C) of the images.
        repeats: timed passes of each.
    """
    image = tf.random.uniform(shape, 0, 255)
    predict = {
        name: tf.function(lambda x, model=model: model(x, training=False))
        for name, model in models.items()
    }
    seconds = {name: [] for name in models}
    # Alternating, so that whatever else the machine does falls on all of them.
    for repeat in range(repeats + 1):
        for name, function in predict.items():
            start = time.perf_counter()
            function(image).numpy()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) for name, times in seconds.items()}


if __name__ == "__main__":
    main()
