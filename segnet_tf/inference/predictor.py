"""From a model file and images to labels."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import find_model
from segnet_tf.inference.resizing import resized_argmax, resized_scores, scaled
from segnet_tf.inference.runtimes import Runtime, open_runtime
from segnet_tf.inference.tiling import Tile, in_tiles, plan

if TYPE_CHECKING:
    from segnet_tf.inference.many.stream import Prediction

__all__ = ["Predictor"]


class Predictor:
    """A model ready to label images of any size.

    An image that is much larger or smaller than the training images is scaled to as
    many pixels as they have, and the result is scaled back
    (`segnet_tf.inference.resizing`). An image whose size the file does not accept is
    padded by mirroring, and the result is cut back. An image that is too large for the
    memory runs in tiles, which give the same result (`segnet_tf.inference.tiling`).

    One predictor serves several threads. A `.tflite` file labels one image at a time,
    on all cores; other threads wait. A predictor with `threads=1` in each thread labels
    a tenth more on two cores, but takes 90 MiB each (SegNetLite, 384x480). A predictor
    can be pickled, which stores the path of its file: another process opens the file
    again.

    Args:
        path: a `.tflite`, `.keras` or `.onnx` file, or the folder of a run, a shipped
            model or a SavedModel, as train.py and export.py write them.
        threads: CPU threads; None: all cores.
        native: whether images run without scaling. That is right if the model was
            trained on parts of large images and is to label such parts.

    Attributes:
        info: the classes, the number of channels of an image, and `image_size`, the
            size that images are scaled to. `image_size` is None if it is not known, or
            if the file takes one size only.

    Raises:
        UserError: if the file is no model, or does not name its classes. The methods
            raise it if the file does not give the output that is asked for, if an
            image has other channels, or if the file takes another size only.
    """

    def __init__(
        self, path: str | os.PathLike, threads: int | None = None, native: bool = False
    ):
        self._path, self._threads, self._native = find_model(path), threads, native
        # The current folder may change.
        self._absolute = self._path.resolve()
        # A file that is no model is refused here, not at the first image.
        self.info  # noqa: B018

    @cached_property
    def _runtime(self) -> Runtime:
        return open_runtime(self._path, self._threads)

    @property
    def path(self) -> Path:
        """The model's file, or the folder of a SavedModel."""
        return self._absolute

    @property
    def info(self) -> DatasetInfo:
        return self._runtime.info

    def __getstate__(self) -> dict:
        # Another process opens the file when it uses it: an error while it unpickles
        # would take a worker of a pool down.
        kept = {"_path": self._absolute, "_absolute": self._absolute}
        return {**kept, "_threads": self._threads, "_native": self._native}

    @property
    def num_classes(self) -> int:
        return self.info.num_classes

    def keras_model(self):
        """The keras.Model of a `.keras` file.

        Raises:
            UserError: if the model has another form.
        """
        if self._runtime.model is None:
            raise UserError(f"{self._path}: no .keras file: name one, or a run")
        return self._runtime.model

    def logits(self, image: np.ndarray) -> np.ndarray:
        """Logits of an image.

        Args:
            image: uint8 (H, W, channels).

        Returns:
            float32 (H, W, classes).
        """
        self._must_give("logits")
        scores = self._collected(self.scaled(image), np.asarray)
        return resized_scores(scores, image.shape[:2])

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities of an image.

        Args:
            image: uint8 (H, W, channels).

        Returns:
            float32 (H, W, classes) in [0, 1].
        """
        self._must_give("probabilities", "logits")
        finish = _softmax if self._runtime.output == "logits" else np.asarray
        return resized_scores(
            self._collected(self.scaled(image), finish), image.shape[:2]
        )

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Class ids of an image.

        Args:
            image: uint8 (H, W, channels).

        Returns:
            uint8 (H, W).
        """
        small, size = self.scaled(image), image.shape[:2]
        return self.labels_from(self.scores(small, size), size)

    def scores(
        self, image: np.ndarray, size: tuple[int, int], keep: bool = False
    ) -> np.ndarray:
        """What the network says of an image, for `labels_from`: the costly step.

        Args:
            image: uint8 (h, w, channels), as `scaled` gives it.
            size: height and width of the image before that.
            keep: whether scores are wanted even where labels are enough.

        Returns:
            The network's output, float32 (h, w, classes). If the file gives labels, or
            if nothing is to be enlarged, labels, uint8 (h, w).
        """
        if keep:
            self._must_give("probabilities", "logits")
        if self._runtime.output == "labels" or keep or image.shape[:2] != size:
            return self._collected(image, np.asarray)
        return self._collected(image, lambda each: each.argmax(-1).astype(np.uint8))

    def labels_from(self, scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Class ids of an image, uint8 (H, W), from its `scores`.

        Args:
            scores: as `scores` gives them.
            size: height and width of the image.
        """
        if scores.ndim == 3:
            return resized_argmax(scores, size)
        if scores.shape == size:
            return scores
        labels, (height, width) = Image.fromarray(scores), size
        return np.asarray(labels.resize((width, height), Image.Resampling.NEAREST))

    def tiles(self, height: int, width: int) -> list[Tile]:
        """The tiles in which an image of this size is run as it is."""
        return plan(height, width, field=self._runtime.receptive_field)

    def batch(self, images: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
        """Class ids of several images, each of its own size.

        While the network runs on one image, others are scaled.

        Args:
            images: uint8 (H, W, channels) each, or one array (B, H, W, channels).

        Returns:
            For each image uint8 (H, W), the same as `labels` gives.

        Raises:
            UserError: if an image has another shape or dtype than the model takes.
        """
        from segnet_tf.inference.many.stream import overlapped

        def compute(image: np.ndarray, small: np.ndarray) -> np.ndarray:
            return self.scores(small, image.shape[:2])

        def finish(image: np.ndarray, scores: np.ndarray) -> np.ndarray:
            return self.labels_from(scores, image.shape[:2])

        found = []
        for _, labels in overlapped(images, self.scaled, compute, finish):
            if isinstance(labels, UserError):
                raise labels
            found.append(labels)
        return found

    def stream(
        self,
        paths: Iterable[str | os.PathLike],
        on_error: Callable[[str, UserError], object] | None = None,
    ) -> Iterator["Prediction"]:
        """Labels image files; results come one by one, in order.

        The next files are read while the network runs, so that a folder of photos takes
        hardly longer than its slowest part. So up to `2 * (THREADS + 2)` paths
        (`segnet_tf.inference.many.stream.THREADS`) are taken before the first result
        comes. Only a few photos are in memory.

        Args:
            paths: of the files; they may come from a generator that never ends. An
                animation or a TIFF file of several pages gives a result for each frame.
            on_error: gets the path of each file that cannot be labelled, and why; the
                others go on. None: the first such file raises its error.

        Returns:
            An iterator of `segnet_tf.inference.many.stream.Prediction`: `path`,
            `image` uint8 (H, W, channels) and `labels` uint8 (H, W).

        Raises:
            UserError: at once, if `paths` is a single path; or from the iterator, if a
                file is missing, damaged or no image, and `on_error` is None.

        >>> from segnet_tf import Predictor
        >>> predictor = Predictor("model.tflite")  # doctest: +SKIP
        >>> for found in predictor.stream(["a.jpg", "b.jpg"]):  # doctest: +SKIP
        ...     print(found.path, found.labels.shape)
        """
        if isinstance(paths, str | bytes | os.PathLike):
            raise UserError(f"{os.fspath(paths)!r}: one path: give a list of paths")
        return self._stream(paths, on_error)

    def _stream(self, paths: Iterable, on_error) -> Iterator["Prediction"]:
        from segnet_tf.inference.many.reading import Reader
        from segnet_tf.inference.many.sources import Source
        from segnet_tf.inference.many.stream import in_stream

        reader = Reader(self.info.channels, self.info.value_range)
        sources = (Source(os.fspath(path), "") for path in paths)
        pictures = reader.pictures(sources)
        for picture, result in in_stream(self, pictures, reader):
            if not isinstance(result, UserError):
                yield result
            elif on_error is None:
                raise result
            else:
                on_error(picture.path, result)

    def probabilities_from(self, scores: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (h, w, classes), from scores that were kept."""
        return _softmax(scores) if self._runtime.output == "logits" else scores

    def scaled(self, image: np.ndarray) -> np.ndarray:
        """The image at the size that the network runs on it.

        Args:
            image: uint8 (H, W, channels).

        Returns:
            uint8 (h, w, channels); the image itself if `native` is set.
        """
        channels = self.info.channels
        if not isinstance(image, np.ndarray):
            raise UserError(
                f"{self._path}: takes images as NumPy arrays, not "
                f"{type(image).__name__}"
            )
        size = image.shape[:2]
        shaped = image.shape == (*size, channels) and min(size) > 0
        if not shaped or image.dtype != np.uint8:
            raise UserError(
                f"{self._path}: takes images (height, width, {channels}) of uint8, "
                f"not {image.shape} of {image.dtype}"
            )
        return image if self._native else scaled(image, self.info.image_size)

    def _must_give(self, *outputs: str) -> None:
        given, wanted = self._runtime.output, outputs[0]
        if given not in outputs:
            raise UserError(
                f"{self._path}: gives {given}, no {wanted}: a .tflite file exported "
                f"with --result {wanted} does"
            )

    def _collected(self, image: np.ndarray, finish: Callable) -> np.ndarray:
        """`finish` of the runtime's output, for the whole image or tile by tile."""
        height, width = image.shape[:2]
        multiple = self._runtime.multiple
        tiles = self.tiles(height + -height % multiple, width + -width % multiple)

        def run(source: np.ndarray) -> list[np.ndarray]:
            scores = self._runtime.run(source)
            classes = () if self._runtime.output == "labels" else (self.num_classes,)
            if scores.shape != (*source.shape[:2], *classes):
                raise UserError(
                    f"{self._path}: gives {scores.shape} for an image of "
                    f"{source.shape}, not {(*source.shape[:2], *classes)}"
                )
            return [finish(scores)]

        [collected] = in_tiles(image, tiles, run)
        if len(tiles) > 1:
            # What comes next, such as an overlay, needs the memory.
            self._runtime.release()
        return collected


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
