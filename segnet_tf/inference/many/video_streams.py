"""The streams of a video, and those of the video that is made of it."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from segnet_tf.errors import UserError

__all__ = ["Copy", "said_end"]


class Copy:
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
        self._first: int | None = None
        self._last: int | None = None
        self._step = 1
        self._shape: tuple[int, int] | None = None
        self._read, self._corrupt, self._end = 0, 0, 0.0

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
                if self._first is None and packet.dts is not None:
                    self._first = packet.dts
                yield from map(self._counted, packet.decode())

    def _counted(self, frame) -> Any:
        """A frame in the size of the first one."""
        self._read += 1
        self._corrupt += frame.is_corrupt
        if frame.time is not None:
            self._end = max(self._end, frame.time + self._step * frame.time_base)
        self._shape = self._shape or (frame.width, frame.height)
        if (frame.width, frame.height) == self._shape:
            return frame
        return frame.reformat(*self._shape)

    def lost(self) -> str | None:
        """What the file says to have, and did not give; None if nothing is known."""
        stream, rate = self._video, self._video.average_rate
        if self._corrupt:
            return f"{self._corrupt} of {self._read} frames are damaged"
        # An edit list leaves frames out and shortens the duration, too.
        first = (self._first or 0) * float(stream.time_base)
        short = said_end(self._source, not self._sound, first) - self._end
        if not rate or short < 1.5 / rate or self._read >= stream.frames > 0:
            return None
        return f"it ends {short:.1f} s early, after {self._read} frames"

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


def said_end(source, alone: bool, first: float) -> float:
    """The time at which a video says that its pictures end; 0 if it does not.

    Args:
        source: the open file.
        alone: whether there is nothing but pictures, so that the file's own duration
            tells of them.
        first: seconds at which the first picture is decoded, which may be before it is
            shown.
    """
    stream, matroska = source.streams.video[0], "matroska" in source.format.name
    start = float(stream.start_time or 0) * float(stream.time_base)
    whole = (source.duration or 0) / 1e6 if alone else 0.0
    if not matroska:
        if stream.duration:
            return start + float(stream.duration * stream.time_base)
        # FLV files count from there.
        return whole and min(start, first) + whole
    # FFmpeg's writer counts from the time 0, mkvmerge from the first picture. Of other
    # writers it is not known, and an intact file is not to be called damaged.
    length = _clock_seconds(stream.metadata.get("DURATION", "")) or whole
    counted = "_STATISTICS_WRITING_APP" in stream.metadata
    return length + (start if counted or start < 0 else 0.0)


def _clock_seconds(text: str) -> float:
    """Seconds of a text such as 00:01:02.5; 0 if it is none."""
    with suppress(ValueError):
        hours, minutes, seconds = map(float, text.split(":"))
        return 3600 * hours + 60 * minutes + seconds
    return 0.0
