"""Does reading keep up? Images a second of the input pipeline, and of training.

python -m benchmarks.pipeline --dataset camvid --data-dir CamVid

Measures both alone, one after the other, at the default crop and batch size, with
nothing cached: the stream of batches, then SegNetLite's training step on one batch that
is there already. Prints medians over several rounds, since other jobs may come between.
"""

import argparse
import time
from statistics import median

import keras

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.datasets.pipeline import training_batches
from segnet_tf.training.augmentation import augment
from segnet_tf.training.building import build
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.optimizers import build_optimizer
from segnet_tf.training.pixel_loss import PixelLoss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="synthetic", choices=datasets.DATASETS)
    parser.add_argument("--data-dir", help="folder of the data set")
    parser.add_argument("--steps", type=int, default=20, help="batches a round [20]")
    parser.add_argument("--rounds", type=int, default=5, help="of each [5]")
    arguments = parser.parse_args()
    config = TrainConfig.of(dataset=arguments.dataset, data_dir=arguments.data_dir)
    batch_size = config.optimization.batch_size
    data = config.data
    split = datasets.load(data.dataset, data.train_split, data.data_dir)
    stream = training_batches(
        split,
        lambda image, labels, seed: augment(image, labels, config.augmentation, seed),
        batch_size,
        0,
    )
    batches = iter(stream)
    images, labels = next(batches)
    model = build(config, split.info.num_classes)
    optimizer = build_optimizer(config, 1000)
    model.compile(optimizer, PixelLoss(), jit_compile=False)

    def read(steps):
        for _ in range(steps):
            next(batches)

    def train(steps):
        for _ in range(steps):
            model.train_on_batch(images, labels)

    # The first steps trace the graph.
    train(2)
    rates = {}
    for name, work, steps in (
        ("pipeline", read, arguments.steps),
        ("training", train, max(1, arguments.steps // 10)),
    ):
        # These batches were fetched ahead, while something else ran.
        read(2)
        rounds = []
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            work(steps)
            rounds.append(steps * batch_size / (time.perf_counter() - started))
        rates[name] = median(rounds)
        print(f"{name}: {rates[name]:.1f} images a second")
    ratio = rates["pipeline"] / rates["training"]
    print(f"the pipeline is {ratio:.1f} times as fast as training needs it")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    cli.run(main, "benchmarks.pipeline")
