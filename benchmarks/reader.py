"""What does reading cost, and does it scale? Ways of reading, side by side.

python -m benchmarks.reader --dataset camvid --data-dir CamVid

Each round times every way once, so that other jobs disturb all alike; medians are
printed. First reading alone, with one, two and four threads; then the whole stream with
its crops. "under the lock" is the number of images that are read in a second in which
another thread holds Python's lock.
"""

import argparse
import ctypes
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import tensorflow as tf

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.datasets.dataset import Split
from segnet_tf.datasets.pipeline import training_batches
from segnet_tf.datasets.storage import packed
from segnet_tf.datasets.storage.caching import cached_reader
from segnet_tf.training.augmentation import Augmentation, augment

BATCH = 8


def kept_by_python(split: Split) -> Split:
    """The split with a dict of decoded images, which only Python's lock guards."""
    kept = {}

    def read(index):
        if index not in kept:
            kept[index] = split.read(index)
        return kept[index]

    return replace(split, read=read, stored=())


def ways(split: Split, pack: Path) -> dict[str, tuple[Split, str]]:
    """Way of reading -> the split and the cache that make it."""
    python = replace(split, stored=())
    packed.write(pack, [split])
    return {
        "Python, decoded": (python, "none"),
        "Python, kept in a dict": (kept_by_python(split), "none"),
        "TensorFlow, decoded": (split, "none"),
        "TensorFlow, packed": (packed.load(split.name, pack), "none"),
        "TensorFlow, --cache disk": (split, "disk"),
        "TensorFlow, --cache memory": (split, "memory"),
    }


def examples(split: Split, read: Callable, threads: int) -> tf.data.Dataset:
    """The examples of a split, read by so many threads, again and again."""
    count = tf.cast(len(split), tf.int64)
    read_ones = tf.data.Dataset.counter().map(
        lambda n: read(n % count), num_parallel_calls=threads
    )
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    return read_ones.with_options(options)


def stream(split: Split, cache: str) -> tf.data.Dataset:
    augmentation = Augmentation()

    def crop(image, labels, seed):
        return augment(image, labels, augmentation, seed)

    return training_batches(split, crop, BATCH, seed=0, cache=cache)


def seconds(data: tf.data.Dataset, count: int) -> tuple[float, float]:
    """Wall-clock seconds, and those of the processor, for so many elements."""
    wall, processor = time.perf_counter(), time.process_time()
    data.take(count).reduce(0, lambda done, *_: done + 1)
    return time.perf_counter() - wall, time.process_time() - processor


def rates(cases: dict[str, tf.data.Dataset], count: int, images: int, rounds: int):
    """Prints images a second and milliseconds of processor time an image."""
    found = {name: [] for name in cases}
    for _ in range(rounds):
        for name, data in cases.items():
            found[name].append(seconds(data, count))
    for name, times in found.items():
        walls, processors = zip(*times, strict=True)
        print(
            f"  {name:36}{images / median(walls):9.0f} images/s"
            f"{1e3 * median(processors) / images:8.2f} ms of processor time",
            flush=True,
        )


def under_the_lock(read: Callable, split: Split) -> int:
    """Images that are read while this thread holds Python's lock for a second."""
    done = tf.Variable(0, dtype=tf.int64)

    def counted(index):
        image, labels = read(index)
        with tf.control_dependencies([image, labels]):
            return done.assign_add(1)

    numbers = iter(examples(split, counted, 2).prefetch(10**6))
    next(numbers)
    before = int(done)
    # A function of a PyDLL is called without giving the lock back.
    ctypes.PyDLL(None).usleep(1_000_000)
    return int(done) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="camvid", choices=datasets.DATASETS)
    parser.add_argument("--data-dir", help="folder of the data set")
    parser.add_argument("--rounds", type=int, default=5, help="of each [5]")
    arguments = parser.parse_args()
    split = datasets.load(arguments.dataset, "train", arguments.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEGNET_TF_CACHE"] = folder
        cases = ways(split, Path(folder) / "pack")
        readers = {name: cached_reader(*case) for name, case in cases.items()}
        kept = min(len(split), 400)
        for read in readers.values():
            seconds(examples(split, read, 2), len(split))  # fills the caches
        print(f"reading alone, {kept} images a round")
        rates(
            {
                f"{name}, {threads} thread(s)": examples(split, read, threads)
                for name, read in readers.items()
                for threads in (1, 2, 4)
            },
            kept,
            kept,
            arguments.rounds,
        )
        print("reading, under the lock")
        for name, read in readers.items():
            print(f"  {name:36}{under_the_lock(read, split):9} images/s", flush=True)
        streams = {name: stream(*case) for name, case in cases.items()}
        batches = len(split) // BATCH + 1
        for data in streams.values():
            seconds(data, batches)
        print(f"the stream of crops of 192x256, {batches} batches of {BATCH} a round")
        rates(streams, batches, batches * BATCH, arguments.rounds)


if __name__ == "__main__":
    cli.run(main, "benchmarks.reader")
