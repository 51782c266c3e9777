"""Videos and cameras: each becomes a video of overlays, frame for frame.

PyAV reads and writes them: it brings FFmpeg's libraries with it, keeps the time stamp
of each frame, and copies sound without decoding it.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segnet_tf.console.progress import Progress
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.datasets.images import grey
from segnet_tf.errors import Stopped, UserError
from segnet_tf.evaluation.overlays import OPACITY, line_scale, tinted
from segnet_tf.evaluation.visualize import legend, shares_of
from segnet_tf.files import replacing
from segnet_tf.inference.many.reading import Picture
from segnet_tf.inference.many.stream import overlapped
from segnet_tf.inference.predictor import Predictor

__all__ = ["DEVICES", "Labelled", "Video", "smoothed"]

DEVICES = {"/dev/video": "v4l2"}
"""Beginning of a camera's name -> FFmpeg's name of its kind."""

CONTAINERS = {".mp4": ".mp4", ".m4v": ".mp4", ".mov": ".mov"}
"""Suffix of a video -> that of its overlay. All others become .mkv, which takes any
kind of sound."""


@dataclass
class Labelled:
    """What came of a video.

    Attributes:
        target: the video of overlays.
        size: height and width of a frame.
        frames: how many there were.
        seconds: how long it took.
        counts: pixels of each class id, in all frames.
    """

    target: Path
    size: tuple[int, int] = (0, 0)
    frames: int = 0
    seconds: float = 0.0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    @property
    def shares(self) -> list[tuple[int, float]]:
        """(class id, share of all pixels of all frames), the largest first."""
        return shares_of(self.counts)

    def __str__(self) -> str:
        pace = 1000 * self.seconds / max(1, self.frames)
        return f"{self.target}: {self.frames} frames, {pace:.0f} ms a frame"


class Video:
    """A video file, or a camera, which runs until it is interrupted.

    Args:
        path: of the file or device.
        stem: of the result, without a suffix.

    Raises:
        UserError: if PyAV is not installed.
    """

    def __init__(self, path: str, stem: Path):
        try:
            import av
        except ImportError:
            raise UserError(f"{path}: video needs PyAV: pip install av") from None
        self._av, self.path = av, path
        kinds = [kind for name, kind in DEVICES.items() if path.startswith(name)]
        self._device = kinds[0] if kinds else None
        suffix = CONTAINERS.get(os.path.splitext(path)[1].lower(), ".mkv")
        self.target = stem.with_name(f"{stem.name}_overlay{suffix}")

    def label(
        self,
        predictor: Predictor,
        info: DatasetInfo,
        opacity: float = OPACITY,
        smooth: float = 0.0,
        label: Callable | None = None,
    ) -> Labelled:
        """Writes the overlays of all frames: same times, same length, same sound.

        Args:
            predictor: labels them.
            info: the classes and their colours.
            opacity: of the tint, 0 to 1.
            smooth: see `smoothed`.
            label: takes the place of `Predictor.scores`, and gives probabilities.

        Raises:
            UserError: if the video cannot be read, or the result not be written.
        """
        if smooth:
            label = smoothed(predictor, smooth, label)
        found, interruption = Labelled(self.target), None
        started = time.perf_counter()
        with replacing(self.target) as temporary, self._opened() as source:
            with self._av.open(str(temporary), "w") as target:
                copy = _Copy(source, target)
                steps = self._steps(predictor, info, opacity, label, found)
                try:
                    with Progress(copy.frames, " frames") as progress:
                        for _, drawn in overlapped(self._frames(copy), *steps):
                            if isinstance(drawn, UserError):
                                raise drawn
                            copy.add(*drawn)
                            found.frames += 1
                            progress.step()
                except self._av.FFmpegError as error:
                    raise UserError(
                        f"{self.path}: its streams do not fit into a "
                        f"{self.target.suffix} file ({_reason(error)}): convert it to "
                        ".mp4 first"
                    ) from None
                except (KeyboardInterrupt, Stopped) as stop:
                    # A camera has no other end; half a file's video would mislead.
                    if self._device is None:
                        raise
                    interruption = stop
                if not found.frames:
                    raise UserError(f"{self.path}: no frame that can be read")
                copy.finish()
        if interruption is not None:
            raise interruption
        found.seconds = time.perf_counter() - started
        return found

    def _opened(self):
        try:
            return self._av.open(self.path, format=self._device)
        except (OSError, ValueError, self._av.FFmpegError) as error:
            raise UserError(f"{self.path}: {_reason(error)}") from None

    def _frames(self, copy: "_Copy") -> Iterator[Any]:
        try:
            yield from copy.decoded()
        except self._av.FFmpegError as error:
            raise UserError(f"{self.path}: damaged video ({_reason(error)})") from None

    def _steps(self, predictor: Predictor, info, opacity, label, found) -> tuple:
        """The functions for `overlapped`: frame -> its overlay."""
        panel = None

        def read(frame) -> tuple[np.ndarray, np.ndarray]:
            image = upright(frame)
            if info.channels == 1:
                image = grey(image)
            elif info.channels != 3:
                raise UserError(
                    f"{self.path}: the model needs {info.channels} channels"
                )
            return image, predictor.scaled(image)

        def compute(frame, both: tuple) -> tuple[np.ndarray, np.ndarray]:
            image, small = both
            if label is None:
                return image, predictor.scores(small, image.shape[:2])
            return image, label(Picture(self.path, ""), small, image.shape[:2])

        def draw(frame, both: tuple) -> tuple[np.ndarray, int, Any]:
            image, scores = both
            labels = predictor.labels_from(scores, image.shape[:2])
            drawn = np.asarray(tinted(image, labels, info, opacity))
            return drawn, frame.pts, Image.fromarray(labels).histogram()

        def finish(frame, both: tuple) -> tuple[np.ndarray, int]:
            nonlocal panel
            drawn, pts, counts = draw(frame, both)
            found.size = drawn.shape[:2]
            found.counts += np.array(counts)
            if panel is None or len(panel) != len(drawn):
                panel = _panel(info, *drawn.shape[:2])
            return np.concatenate([drawn, panel], axis=1), pts

        return read, compute, finish


class _Copy:
    """The streams of a video, and those of the one that is made of it."""

    def __init__(self, source, target):
        if not source.streams.video:
            raise UserError(f"{source.name}: has no pictures in it")
        self._source, self._target = source, target
        self._video = source.streams.video[0]
        self._video.thread_type = "AUTO"
        self._sound = {
            stream: target.add_stream_from_template(stream)
            for stream in source.streams.audio
        }
        self._made: Any = None
        # Sound waits for the first frame: its size must be known before.
        self._early: list[Any] = []
        self._sized = False
        self._last: int | None = None
        self._step = 1

    @property
    def frames(self) -> int | None:
        """How many there are, if the file says so."""
        return self._video.frames or None

    def decoded(self) -> Iterator[Any]:
        """The frames, in order; sound is copied as it comes."""
        self._begin()
        for packet in self._source.demux(self._video, *self._sound):
            if packet.stream in self._sound:
                if packet.dts is not None:
                    packet.stream = self._sound[packet.stream]
                    self._early.append(packet)
                if self._sized:
                    self._mux_sound()
            else:
                yield from packet.decode()

    def _begin(self) -> None:
        rate = self._video.average_rate or self._video.guessed_rate or 25
        self._made = self._target.add_stream("libx264", rate=rate)
        self._made.pix_fmt = "yuv420p"
        self._step = max(1, round(1 / (rate * self._video.time_base)))
        self._made.options = {"crf": "20", "preset": "veryfast"}
        # Frames keep their times, whatever the rate is called.
        self._made.codec_context.time_base = self._video.time_base

    def _mux_sound(self) -> None:
        for packet in self._early:
            self._target.mux(packet)
        self._early.clear()

    def add(self, drawn: np.ndarray, pts: int | None) -> None:
        """Adds a frame, uint8 (h, w, 3), at a time in the source's units."""
        import av

        if not self._sized:
            self._made.height, self._made.width = (n + n % 2 for n in drawn.shape[:2])
            self._sized = True
        height, width = self._made.height, self._made.width
        even = np.full((height, width, 3), 255, np.uint8)
        even[: drawn.shape[0], : drawn.shape[1]] = drawn[:height, :width]
        frame = av.VideoFrame.from_ndarray(even, "rgb24")
        if pts is None or self._last is not None and pts <= self._last:
            # AVI files do not say when frames are shown that others are made from.
            pts = 0 if self._last is None else self._last + self._step
        self._last = frame.pts = pts
        frame.time_base = self._video.time_base
        self._target.mux(self._made.encode(frame))

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        self._mux_sound()
        self._target.mux(self._made.encode(None))


def smoothed(predictor: Predictor, weight: float, label: Callable | None) -> Callable:
    """Labels frames by an exponential mean over time, which calms flicker.

    The probabilities of frame t are `weight` times those of frame t - 1 and
    `1 - weight` times what the network says of frame t. It is made for frames in order.

    Args:
        predictor: labels the frames.
        weight: of what was seen before, 0 to less than 1.
        label: takes the place of `Predictor.scores`, and gives probabilities.

    Raises:
        UserError: if the weight is out of range.
    """
    if not 0 <= weight < 1:
        raise UserError(f"--smooth: {weight}, must be at least 0 and less than 1")
    before: np.ndarray | None = None

    def smooth(picture: Picture, small: np.ndarray, size: tuple[int, int]):
        nonlocal before
        if label is None:
            scores = predictor.scores(small, size, keep=True)
            now = predictor.probabilities_from(scores)
        else:
            now = label(picture, small, size)
        if before is not None and before.shape == now.shape:
            now = weight * before + (1 - weight) * now
        before = now
        return now

    return smooth


def upright(frame) -> np.ndarray:
    """The pixels of a frame, uint8 (H, W, 3), turned as phones ask for."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _panel(info: DatasetInfo, height: int, width: int) -> np.ndarray:
    """The legend of all classes, uint8 (height, w, 3), the same for each frame."""
    entries = [(index, 0.0) for index in range(info.num_classes)]
    scale = line_scale(height, width)
    key = np.asarray(legend(entries, info, scale=scale, shown=False))
    panel = np.full((height, key.shape[1], 3), 255, np.uint8)
    panel[: len(key)] = key[:height]
    return panel


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
