"""The pictures in files: photos, frames of animations, pages of documents."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from PIL import Image

from segnet_tf.console.cli import REFUSALS
from segnet_tf.datasets.frames import places, read_frames
from segnet_tf.datasets.images import pixels_of, stored_pixels
from segnet_tf.datasets.opening import opened
from segnet_tf.datasets.value_range import fills_little, range_of, share_outside
from segnet_tf.errors import UserError
from segnet_tf.inference.many.inventory import Stamp, stamp_of
from segnet_tf.inference.many.naming import FRAMES
from segnet_tf.inference.many.sources import Source

__all__ = ["Picture", "Reader", "range_notice", "unused_notice"]


_CLIPPED = 0.1
"""Share of clipped values; a bright sky may have as many in a picture that fits."""


@dataclass(frozen=True)
class Picture:
    """A picture to label.

    Attributes:
        path: its file.
        name: of its results, without a suffix.
        frame: its number in an animation or a file of several pages; None: the file is
            one picture.
        pixels: how many there are; 0: not known yet.
        image: the pixels, if they have been read, or why they cannot be.
        notice: what a user should know about the pixels.
        form: of its results, see `segnet_tf.inference.many.results.FORMS`.
        stamp: size and time of the file before it was opened; None: there is none.
    """

    path: str
    name: str
    frame: int | None = None
    pixels: int = 0
    image: np.ndarray | UserError | None = None
    notice: str | None = None
    form: str = "picture"
    stamp: Stamp | None = None

    @classmethod
    def at(cls, source: Source, form: str = "picture") -> "Picture":
        """The picture in a file as the file is now."""
        return cls(*source, form=form, stamp=stamp_of(source.path))


@dataclass(frozen=True)
class Reader:
    """Reads the pictures in files, each file once.

    Attributes:
        channels: as for `segnet_tf.datasets.images.read_image`.
        value_range: as there.
        warns: whether a picture of more than 8 bits gets a notice if it fills little of
            the range, or goes beyond it.
        given: whether the user named the range, so that a picture of 8 bits, which has
            none, gets a notice.
    """

    channels: int = 3
    value_range: tuple[float, float] | None = None
    warns: bool = False
    given: bool = False

    def pictures(
        self,
        sources: Iterable[Source],
        wanted: Callable[[Picture], bool] = lambda picture: True,
    ) -> Iterator[Picture]:
        """The pictures in files: most files hold one, animations several.

        A file of one picture is only opened. Frames are read one by one; their results
        go into a folder of their own: `naming.FRAMES` comes after the file's name.

        Args:
            sources: the files.
            wanted: whether a picture is to be labelled; it has no pixels yet. A file of
                one picture that is not wanted is not opened.

        Yields:
            Pictures. Where one cannot be opened, the reason stands for its pixels.
        """
        for source in sources:
            picture = Picture.at(source)
            if not wanted(picture):
                continue
            try:
                with opened(source.path) as image:
                    several = len(places(image)) > 1
                    pixels = image.width * image.height
            except (UserError, OSError) as error:
                yield replace(picture, image=_as_fault(source.path, error))
                continue
            if several:
                yield from self._frames(picture, wanted)
            else:
                yield replace(picture, pixels=pixels)

    def read(self, picture: Picture) -> tuple[np.ndarray, str | None]:
        """The pixels of a picture, uint8 (H, W, channels), and a notice or None.

        Raises:
            UserError: if they cannot be read.
        """
        if isinstance(picture.image, UserError):
            raise picture.image
        if picture.image is not None:
            return picture.image, picture.notice
        path = picture.path
        try:
            with opened(path) as image:
                notice = self._notice(path, image)
                return pixels_of(path, image, self.channels, self.value_range), notice
        except OSError as error:
            raise _as_fault(path, error) from None

    def _frames(
        self, whole: Picture, wanted: Callable[[Picture], bool]
    ) -> Iterator[Picture]:
        notices: list[str | None] = []
        frames = read_frames(
            whole.path,
            self.channels,
            self.value_range,
            lambda image: notices.append(self._notice(whole.path, image)),
        )
        for number in count():
            name = os.path.join(whole.name + FRAMES, f"{number:04}")
            picture = replace(whole, name=name, frame=number)
            try:
                image = next(frames, None)
            except UserError as error:
                yield replace(picture, image=error)
                return
            if image is None:
                return
            if wanted(picture):
                size = image.shape[0] * image.shape[1]
                yield replace(picture, pixels=size, image=image, notice=notices[-1])

    def _notice(self, path: str, image: Image.Image) -> str | None:
        """A warning if an image does not fit the range."""
        if not (self.warns or self.given):
            return None
        try:
            pixels = stored_pixels(path, image)
        except UserError:
            return None  # Pillow reads its upper 8 bits
        if self.given:
            return unused_notice(path) if pixels is None else None
        return None if pixels is None else range_notice(path, pixels, self.value_range)


def unused_notice(path: str) -> str:
    """A warning if --range is given for a picture of 8 bits."""
    return f"warning: {path}: has 8 bits, for which --range does not count"


def range_notice(
    path: str, pixels: np.ndarray, value_range: tuple[float, float] | None
) -> str | None:
    """A warning if pixels of more than 8 bits do not fit the range."""
    low, high = whole = value_range or (0, 65535)
    own = range_of(pixels)
    proposed = f"give --range {own[0]:g}-{own[1]:g}"
    if fills_little(own, whole):
        return (
            f"warning: {path}: its values, {own[0]:g} to {own[1]:g}, are little of "
            f"the range {low:g} to {high:g}: if it looks too dark or too bright to "
            f"the model, {proposed}"
        )
    if (share := share_outside(pixels, whole)) > _CLIPPED:
        return (
            f"warning: {path}: {share:.0%} of its values are outside of the range "
            f"{low:g} to {high:g}, black or white to the model: if it was taken in "
            f"another way than the training images, {proposed}"
        )
    return None


def _as_fault(path: str, error: UserError | OSError) -> UserError:
    """The line for a file that the system refuses to open; a defect stays one."""
    if isinstance(error, OSError):
        if error.errno not in REFUSALS:
            raise error
        shown = path if len(path) <= 200 else f"{path[:60]}..."
        return UserError(f"{shown}: {error.strerror}")
    return error
