"""Does reading keep up? Images a second of the input pipeline, and of training.

python -m benchmarks.pipeline --dataset camvid --data-dir CamVid

Both are measured alone, one after the other, at the default crop and batch, nothing
cached: the stream as it is, then SegNetLite's training step on one batch that is
already there. Medians over several rounds, since other jobs may come in between.
"""

import argparse
import time
from statistics import median

import keras

from segnet_tf import cli, datasets
from segnet_tf.config import TrainConfig
from segnet_tf.losses import PixelCrossEntropy
from segnet_tf.optimizers import build_optimizer
from segnet_tf.pipeline import training_batches
from segnet_tf.training import augmentation_of, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="synthetic", choices=datasets.DATASETS)
    parser.add_argument("--data-dir")
    parser.add_argument("--steps", type=int, default=20, help="batches a round [20]")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    config = TrainConfig(dataset=arguments.dataset, data_dir=arguments.data_dir)
    split = datasets.load(config.dataset, config.train_split, config.data_dir)
    stream = training_batches(split, augmentation_of(config), config.batch_size, 0)
    batches = iter(stream)
    images, labels = next(batches)
    model = build(config, split.info.num_classes)
    model.compile(build_optimizer(config, 1000), PixelCrossEntropy(), jit_compile=False)

    def read(steps):
        for _ in range(steps):
            next(batches)

    def train(steps):
        for _ in range(steps):
            model.train_on_batch(images, labels)

    train(2)  # traces the graph
    rates = {}
    for name, work, steps in (
        ("pipeline", read, arguments.steps),
        ("training", train, max(1, arguments.steps // 10)),
    ):
        read(2)  # what was fetched ahead while the other ran
        rounds = []
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            work(steps)
            rounds.append(steps * config.batch_size / (time.perf_counter() - started))
        rates[name] = median(rounds)
        print(f"{name}: {rates[name]:.1f} images a second")
    ratio = rates["pipeline"] / rates["training"]
    print(f"the pipeline is {ratio:.1f} times as fast as training needs it")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    cli.run(main, "benchmarks.pipeline")
