"""Labels many pictures: the next ones are read while the network runs and others are
written.

Reading and writing happen in threads of their own. The network runs in the thread that
asks for the results, and lets the others work meanwhile: decoders, encoders, Pillow's
resizing and the runtimes release Python's lock.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from segnet_tf.errors import UserError
from segnet_tf.inference.many.reading import Picture, Reader
from segnet_tf.inference.resizing import resized_strips

if TYPE_CHECKING:
    from segnet_tf.inference.predictor import Predictor

__all__ = ["IN_FLIGHT", "THREADS", "Prediction", "in_stream", "overlapped"]

THREADS = min(8, (os.cpu_count() or 1) + 2)
"""Threads that read, and as many that write: more than cores, since disks are slow."""

IN_FLIGHT = 2**26
"""Pixels of the pictures that are being read, and of those that are being written. A
larger picture is read, labelled and written alone."""

Label = Callable[[Picture, np.ndarray, tuple[int, int]], np.ndarray]
"""Picture, the image at the network's size, the size before that -> probabilities."""


@dataclass(frozen=True)
class Prediction:
    """A picture and its labels.

    Attributes:
        picture: which one.
        image: uint8 (H, W, channels), read-only.
        labels: class ids, uint8 (H, W).
        scores: of the network at the size that it ran at, float32 (h, w, classes), if
            they were to be kept.
        to_probabilities: scores -> class probabilities of the same shape.
        notice: what a user should know about the pixels.
    """

    picture: Picture
    image: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = field(default=None, repr=False)
    to_probabilities: Callable[[np.ndarray], np.ndarray] | None = None
    notice: str | None = None

    @property
    def path(self) -> str:
        """Its file."""
        return self.picture.path

    def probability_strips(self) -> Iterator[np.ndarray]:
        """Class probabilities from the top down, float32 (rows, W, classes).

        They are made from scores that were kept.
        """
        assert self.scores is not None and self.to_probabilities is not None
        small = self.to_probabilities(self.scores)
        height, width = self.labels.shape
        yield from resized_strips(small, (height, width))


Item = TypeVar("Item")
Value = TypeVar("Value")


def overlapped(
    items: Iterable[Item],
    read: Callable[[Item], Any],
    compute: Callable[[Item, Any], Any],
    finish: Callable[[Item, Any], Value],
    weight: Callable[[Item], int] = lambda item: 0,
    most: int = IN_FLIGHT,
) -> Iterator[tuple[Item, Value | UserError]]:
    """Runs three steps for each item, those of different items at the same time.

    Args:
        items: taken one by one, as there is room for them.
        read: item -> anything; in threads.
        compute: item and that -> anything; in the calling thread, in order.
        finish: item and that -> the result; in threads.
        weight: of an item. No item is added to those that are being read, or to those
            that are being finished, if together they would weigh more than `most`. An
            item that weighs more by itself is finished before the next one is read.
        most: see `weight`.

    Yields:
        Each item with its result, in order. If `read` or `compute` raises a UserError,
        that stands for the result. Any other error, and every error of `finish`, ends
        it all.
    """

    def computed(readers: ThreadPoolExecutor) -> Iterator[tuple[Item, Any]]:
        for item, future in _ahead(
            items, lambda item: readers.submit(read, item), weight, most
        ):
            try:
                pair = item, compute(item, future.result())
            except UserError as error:
                pair = item, error
            # Pixels are not held while the next ones are read.
            del future
            yield pair
            del pair

    def finished(item: Item, value: Any) -> Value | UserError:
        return value if isinstance(value, UserError) else finish(item, value)

    with (
        ThreadPoolExecutor(THREADS, "reader") as readers,
        ThreadPoolExecutor(THREADS, "writer") as writers,
    ):
        try:
            for pair, future in _ahead(
                computed(readers),
                lambda pair: writers.submit(finished, *pair),
                lambda pair: weight(pair[0]),
                most,
            ):
                result = pair[0], future.result()
                del pair, future
                yield result
                del result
        except BaseException:
            # What has begun is finished, so that no result is half there.
            for pool in (readers, writers):
                pool.shutdown(wait=False, cancel_futures=True)
            raise


def _ahead(
    items: Iterable[Item],
    start: Callable[[Item], Future],
    weight: Callable[[Item], int],
    most: int,
) -> Iterator[tuple[Item, Future]]:
    """Items and their work, which is started as long as there is room."""
    waiting: deque[tuple[Item, Future]] = deque()
    total = 0
    for item in items:
        while waiting and (len(waiting) > THREADS or total + weight(item) > most):
            total -= weight(waiting[0][0])
            yield waiting.popleft()
        total += weight(item)
        waiting.append((item, start(item)))
        if weight(item) > most:
            total = 0
            del item
            while waiting:
                yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def in_stream(
    predictor: "Predictor",
    pictures: Iterable[Picture],
    reader: Reader,
    finish: Callable[[Prediction], UserError | None] = lambda prediction: None,
    keep_scores: bool = False,
    label: Label | None = None,
) -> Iterator[tuple[Picture, Prediction | UserError]]:
    """Labels pictures; reading, the network and `finish` overlap.

    Args:
        predictor: labels them.
        pictures: as the reader's `pictures` gives them.
        reader: reads them.
        finish: gets each prediction, in threads, such as to write it. What it gives
            stands for the prediction, unless it is None; what it raises ends it all.
        keep_scores: whether predictions carry `scores`.
        label: takes the place of `Predictor.scores`, and gives probabilities.

    Yields:
        Each picture, without its pixels, with its prediction, or with the reason why
        there is none.
    """

    to_probabilities = np.asarray if label else predictor.probabilities_from

    def read(picture: Picture) -> tuple:
        image, notice = reader.read(picture)
        return image, notice, predictor.scaled(image)

    def compute(picture: Picture, found: tuple) -> tuple:
        image, notice, small = found
        if label is not None:
            return image, notice, label(picture, small, image.shape[:2])
        return image, notice, predictor.scores(small, image.shape[:2], keep_scores)

    def finished(picture: Picture, found: tuple) -> Prediction | UserError:
        image, notice, scores = found
        labels = predictor.labels_from(scores, image.shape[:2])
        kept = (scores, to_probabilities) if keep_scores else (None, None)
        plain = replace(picture, image=None)
        prediction = Prediction(plain, image, labels, *kept, notice)
        return finish(prediction) or prediction

    def without_pixels(pair: tuple) -> tuple[Picture, Prediction | UserError]:
        return replace(pair[0], image=None), pair[1]

    # A loop would hold each prediction until the next one comes.
    yield from map(
        without_pixels,
        overlapped(pictures, read, compute, finished, lambda picture: picture.pixels),
    )
