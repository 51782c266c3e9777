"""What is written for a picture: labels, overlay, outlines, probabilities.

An output is a row of `OUTPUTS`; `predict.py --write` takes its name.
"""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segnet_tf.console.cli import chosen
from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.errors import UserError
from segnet_tf.evaluation.overlays import OPACITY, contours, overlay
from segnet_tf.evaluation.visualize import palette_image
from segnet_tf.files import replacing
from segnet_tf.inference.many.stream import Prediction

__all__ = [
    "FORMATS",
    "FORMS",
    "OUTPUTS",
    "PALETTES",
    "Output",
    "Results",
    "meets_all",
    "parsed_names",
    "parsed_outputs",
    "recoloured",
]

FORMS = ("picture", "strips", "video")
"""What the results of a file may be: pictures beside one another, TIFF files that are
written in strips, or a video of overlays."""

CONTAINERS = {".mp4": ".mp4", ".m4v": ".mp4", ".mov": ".mov"}
"""Suffix of a video -> that of its overlay. All others become .mkv, which takes any
kind of sound."""

PHOTOGRAPHIC = (".jpg", ".jpeg", ".jfif", ".heic", ".heif")
"""Suffixes of files whose overlays are JPEG files: PNG would be ten times as large."""

FORMATS: dict[str, dict[str, Any]] = {
    # Runs of equal bytes alone are sought: a tenth of the time of the default, and on
    # overlays no larger.
    ".png": {"compress_level": 1, "compress_type": 3},
    ".jpg": {"quality": 90, "subsampling": 0},
}
"""Suffix of a picture -> options of Pillow's writer."""

_LONGEST_JPEG = 65_500

_OWN_FAULTS = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.EPERM,
    errno.EROFS,
)
"""Errors of the file system that are about one name or one folder in that of the
results; others would meet every file."""

PALETTES: dict[str, tuple[str, ...]] = {
    # Okabe and Ito, "Color Universal Design", 2008.
    "safe-8": tuple("0072b2 e69f00 009e73 d55e00 cc79a7 56b4e9 f0e442 000000".split()),
    # Tol, "Colour Schemes", SRON/EPS/TN/09-002: his muted scheme and its grey; black.
    "safe-11": tuple(
        "88ccee 332288 ddcc77 117733 cc6677 882255 44aa99 999933 aa4499 dddddd 000000"
        .split()
    ),
}  # fmt: skip
"""Colours that colour-blind people can tell apart, as sRGB."""


@dataclass(frozen=True)
class Output:
    """Something that can be written for a picture.

    Attributes:
        help: what it is, in a few words.
        suffix: the end of the file's name; ".*" stands for that of a picture.
        write: prediction, classes, opacity of a tint, path -> None.
        scores: whether it needs the network's scores.
    """

    help: str
    suffix: str
    write: Callable[[Prediction, DatasetInfo, float, Path], None]
    scores: bool = False


def _save(picture: Image.Image, path: Path) -> None:
    if path.suffix == ".jpg" and max(picture.size) > _LONGEST_JPEG:
        raise UserError(
            f"a JPEG file has at most {_LONGEST_JPEG:,} pixels a side: give --format "
            "png"
        )
    picture.save(path, **FORMATS[path.suffix])


def _labels(prediction: Prediction, info: DatasetInfo, opacity, path: Path) -> None:
    _save(palette_image(prediction.labels, info), path)


def _overlay(prediction: Prediction, info: DatasetInfo, opacity, path: Path) -> None:
    _save(overlay(prediction.image, prediction.labels, info, opacity), path)


def _contours(prediction: Prediction, info: DatasetInfo, opacity, path: Path) -> None:
    _save(contours(prediction.image, prediction.labels, info), path)


def _probabilities(prediction: Prediction, info, opacity, path: Path) -> None:
    # In strips: all of a photo of twelve megapixels would take 0.5 GiB.
    shape = (*prediction.labels.shape, info.num_classes)
    about = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, about)
        for strip in prediction.probability_strips():
            file.write(strip.astype("<f2").tobytes())


OUTPUTS = {
    "labels": Output("palette PNG, whose pixels are class ids", "_labels.png", _labels),
    "overlay": Output("the picture tinted by class", "_overlay.*", _overlay),
    "contours": Output("the picture with outlines", "_contours.*", _contours),
    "probabilities": Output(
        "float16 (height, width, classes) as .npy",
        "_probabilities.npy",
        _probabilities,
        scores=True,
    ),
}
"""Name in `--write` -> what it writes."""


@dataclass(frozen=True)
class Results:
    """Writes what is wanted for each picture, into one folder.

    Attributes:
        folder: of the results.
        info: the classes and their colours.
        outputs: names of `OUTPUTS`.
        format: "png" or "jpg" for pictures that show the photo; None: JPEG for a JPEG
            or HEIC file, else PNG.
        opacity: of the tint in overlays, 0 to 1.
        uncertainty: whether there is a picture and an array of the uncertainty, too;
            `segnet_tf.inference.many.settings.labelling` writes them.

    Raises:
        UserError: if there is no such output or format, or if the opacity is out of
            range.
    """

    folder: Path
    info: DatasetInfo
    outputs: tuple[str, ...] = ("labels", "overlay")
    format: str | None = None
    opacity: float = OPACITY
    uncertainty: bool = False

    def __post_init__(self):
        for name in self.outputs:
            chosen("--write", name, OUTPUTS)
        if self.format is not None:
            chosen("--format", f".{self.format}", FORMATS)
        if not 0 <= self.opacity <= 1:
            raise UserError(f"--alpha: {self.opacity}, must be 0 to 1")

    @property
    def keeps_scores(self) -> bool:
        """Whether an output needs the network's scores."""
        return any(OUTPUTS[name].scores for name in self.outputs)

    def files(self, path: str, name: str, form: str = "picture") -> dict[str, Path]:
        """The files of a picture: name of the output -> path.

        Args:
            path: of the picture.
            name: of its results.
            form: of its results, one of `FORMS`.
        """
        names = self.names(path, name, form)
        return {output: self.folder / file for output, file in names.items()}

    def names(self, path: str, name: str, form: str = "picture") -> dict[str, str]:
        """The same, as names in the folder."""
        suffix = os.path.splitext(path)[1].lower()
        if form == "video":
            return {"overlay": f"{name}_overlay{CONTAINERS.get(suffix, '.mkv')}"}
        if form == "strips":
            # The overlay is made from the labels, so these are always written.
            outputs = dict.fromkeys(("labels", *self.outputs))
            return {output: f"{name}_{output}.tif" for output in outputs}
        ending = f".{self.format}" if self.format else None
        ending = ending or (".jpg" if suffix in PHOTOGRAPHIC else ".png")
        endings = {
            output: OUTPUTS[output].suffix.replace(".*", ending)
            for output in self.outputs
        }
        if self.uncertainty:
            endings |= {
                "uncertainty": "_uncertainty.png",
                "uncertainty maps": "_uncertainty.npy",
            }
        return {output: name + end for output, end in endings.items()}

    def write(self, prediction: Prediction) -> UserError | None:
        """Writes the files of a picture, each in one step.

        Returns:
            None; or why this picture's files cannot be written, though those of others
            can: its name is too long, or it is too large for the format.

        Raises:
            UserError: if the folder cannot be written to, or if the disk is full.
        """
        picture = prediction.picture
        files = self.files(picture.path, picture.name)
        for output in self.outputs:
            try:
                with replacing(files[output]) as temporary:
                    write = OUTPUTS[output].write
                    write(prediction, self.info, self.opacity, temporary)
            except UserError as error:
                if meets_all(error):
                    raise
                if error.__cause__ is None:
                    return UserError(f"{files[output]}: {error}")
                if getattr(error.__cause__, "errno", 0) != errno.ENAMETOOLONG:
                    return error
                return UserError(
                    f"{picture.path[:60]}...: the names of its results would be too "
                    "long: rename it"
                )
        return None


def meets_all(error: UserError) -> bool:
    """Whether a file cannot be written for a reason that would meet every other one.

    A full disk is such a reason. A folder that takes no files may be one of many; of
    the output folder itself that is found out before.
    """
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno not in _OWN_FAULTS


def recoloured(info: DatasetInfo, palette: str) -> DatasetInfo:
    """The classes in the colours of a palette.

    Args:
        info: the classes.
        palette: "safe", the one of `PALETTES` that is large enough.

    Raises:
        UserError: if there is no such palette, or if it has fewer colours.
    """
    if palette != "safe":
        raise UserError(f"--palette: no {palette!r}: choose safe")
    for colours in PALETTES.values():
        if len(colours) >= info.num_classes:
            return replace(info, colours=tuple(map(_rgb, colours[: info.num_classes])))
    most = max(map(len, PALETTES.values()))
    raise UserError(
        f"--palette: {info.num_classes} classes: colour-blind people could not tell "
        f"more than {most} apart by colour"
    )


def _rgb(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


def parsed_outputs(text: str) -> tuple[str, ...]:
    """Names of outputs from a text such as "labels,overlay", in the table's order.

    Raises:
        UserError: if there is no such output, or none is named.

    >>> parsed_outputs("overlay, labels")
    ('labels', 'overlay')
    """
    return parsed_names("--write", text, OUTPUTS)


def parsed_names(option: str, text: str, table: Mapping[str, Any]) -> tuple[str, ...]:
    """Names from a text with commas, each once, in the order of a table.

    Args:
        option: that gave the text, for the message.
        text: names of the table.
        table: name -> anything.

    Raises:
        UserError: if the table has no such name, or none is named.
    """
    names = {name.strip() for name in text.split(",")}
    for name in names:
        chosen(option, name, table)
    return tuple(name for name in table if name in names)
