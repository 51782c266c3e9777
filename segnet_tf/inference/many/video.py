"""Videos and cameras: each becomes a video of overlays, frame for frame.

PyAV reads and writes them: it brings FFmpeg's libraries with it, keeps the time stamp
of each frame, and copies sound without decoding it.
"""

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
from segnet_tf.inference.many.smoothing import smoothed
from segnet_tf.inference.many.stream import overlapped
from segnet_tf.inference.many.video_streams import Copy
from segnet_tf.inference.predictor import Predictor

__all__ = ["DEVICES", "Labelled", "Video"]

DEVICES = {"/dev/video": "v4l2"}
"""Beginning of a camera's name -> FFmpeg's name of its kind."""

MOST_TIMES = 4
"""The width of a legend as low as the frame is at most so many times the frame's."""


@dataclass
class Labelled:
    """What came of a video.

    Attributes:
        target: the video of overlays.
        size: height and width of a frame.
        frames: how many there were.
        seconds: how long it took.
        counts: pixels of each class id, in all frames.
        fault: why there are fewer than the source should have; None: there are not.
    """

    target: Path
    size: tuple[int, int] = (0, 0)
    frames: int = 0
    seconds: float = 0.0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    fault: UserError | None = None

    @property
    def shares(self) -> list[tuple[int, float]]:
        """(class id, share of all pixels of all frames), the largest first."""
        return shares_of(self.counts)

    def __str__(self) -> str:
        pace = 1000 * self.seconds / max(1, self.frames)
        count = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        return f"{self.target}: {count}, {pace:.0f} ms a frame"


class Video:
    """A video file, or a camera, which runs until it is interrupted.

    Args:
        path: of the file or device.
        target: the video of overlays; its suffix says of which kind.

    Raises:
        UserError: if PyAV is not installed.
    """

    def __init__(self, path: str, target: Path):
        try:
            import av
        except ImportError:
            raise UserError(f"{path}: video needs PyAV: pip install av") from None
        self._av, self.path, self.target = av, path, target
        kinds = [kind for name, kind in DEVICES.items() if path.startswith(name)]
        self._device = kinds[0] if kinds else None

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
                copy = Copy(source, target)
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
                if self._device is None and (lost := copy.lost()):
                    found.fault = UserError(
                        f"{self.path}: damaged or cut off: {lost}; {self.target} has "
                        "the rest"
                    )
        if interruption is not None:
            raise interruption
        found.seconds = time.perf_counter() - started
        return found

    def _opened(self):
        try:
            return self._av.open(self.path, format=self._device)
        except (OSError, ValueError, self._av.FFmpegError) as error:
            raise UserError(f"{self.path}: {_reason(error)}") from None

    def _frames(self, copy: Copy) -> Iterator[Any]:
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
            if panel is None:  # all frames have one size, see `Copy`
                panel = _panel(info, *drawn.shape[:2])
            return _beside(drawn, panel), pts

        return read, compute, finish


def upright(frame) -> np.ndarray:
    """The pixels of a frame, uint8 (H, W, 3), turned as phones ask for."""
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures, uint8 (h, w, 3), beside each other; white fills the lower one."""
    height = max(len(left), len(right))
    padded = (
        np.pad(part, [(0, height - len(part)), (0, 0), (0, 0)], constant_values=255)
        for part in (left, right)
    )
    return np.concatenate([*padded], axis=1)


def _panel(info: DatasetInfo, height: int, width: int) -> np.ndarray:
    """The legend of all classes, uint8 (h, w, 3), the same for each frame.

    It has as many columns as it takes to be no higher than the frame. If that made it
    much wider than the frame, as one of 16 pixels, it may be higher: the picture of
    both then has the shortest longer side.
    """
    entries = [(index, 0.0) for index in range(info.num_classes)]
    scale = line_scale(height, width)
    panels = [
        _columns(entries, rows, info, scale) for rows in range(len(entries), 0, -1)
    ]
    for panel in panels:
        if panel.height <= height and panel.width <= MOST_TIMES * width:
            return np.asarray(panel)

    def longer_side(panel: Image.Image) -> int:
        return max(panel.height, height, width + panel.width)

    return np.asarray(min(panels, key=longer_side))


def _columns(entries: list, rows: int, info: DatasetInfo, scale: float) -> Image.Image:
    """A legend with so many classes in a column."""
    keys = [
        legend(entries[start : start + rows], info, scale=scale, shown=False)
        for start in range(0, len(entries), rows)
    ]
    size = sum(key.width for key in keys), max(key.height for key in keys)
    panel, left = Image.new("RGB", size, "white"), 0
    for key in keys:
        panel.paste(key, (left, 0))
        left += key.width
    return panel


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
