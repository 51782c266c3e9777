"""How long is a forward pass of each network? Medians of alternating runs.

python -m benchmarks.forward [--height 360] [--width 480] [--repeats 9]
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from segnet_tf import MODELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    image = tf.random.uniform((1, arguments.height, arguments.width, 3), 0, 255)
    models = {name: builder() for name, builder in MODELS.items()}
    predict = {
        name: tf.function(lambda x, model=model: model(x, training=False))
        for name, model in models.items()
    }
    seconds = {name: [] for name in models}
    # Alternating, so that whatever else the machine does falls on all of them.
    for repeat in range(arguments.repeats + 1):
        for name, function in predict.items():
            start = time.perf_counter()
            function(image).numpy()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    print(f"{arguments.height}x{arguments.width}, {os.cpu_count()} cores")
    for name, model in models.items():
        parameters = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        median = 1000 * np.median(seconds[name])
        print(f"{name:<14}{parameters:>12,} parameters{median:>9.0f} ms")


if __name__ == "__main__":
    main()
