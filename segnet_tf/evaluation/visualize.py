"""Pictures, by Pillow and NumPy alone: palettes, overlays, legends, comparisons."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segnet_tf.datasets.dataset import IGNORE_LABEL, DatasetInfo

__all__ = [
    "as_rgb",
    "class_shares",
    "colour_labels",
    "comparison",
    "comparison_sheet",
    "error_image",
    "fit_width",
    "font",
    "legend",
    "overlay",
    "palette_image",
]

VOID_COLOUR = (0, 0, 0)
"""Where void must be one colour: in palette images, which hold ids."""

VOID_STRIPES = ((70, 70, 70), (210, 210, 210))
"""In pictures for people void is hatched, as no class is, however black."""

WRONG_COLOUR = (220, 20, 60)

Entry = tuple[str, tuple[int, int, int] | None]
"""A line of a legend: its text, and the colour of its swatch (None: hatched)."""

LEGEND_SIDE = 480
"""Shorter side, in pixels, up to which a legend is as small as it can be read."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans where matplotlib or the system brings it, else Pillow's own.

    Pillow's own knows hardly more than Western European letters.
    """
    # Finding a package does not import it: predictions do without matplotlib.
    package = find_spec("matplotlib")
    folders = package and package.submodule_search_locations
    for folder in map(Path, folders or ()):
        path = folder / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if path.is_file():
            return ImageFont.truetype(path, size)
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _palette(info: DatasetInfo) -> np.ndarray:
    """A colour for each of the 256 ids, uint8 (256, 3); what is no class is void."""
    palette = np.full((256, 3), VOID_COLOUR, np.uint8)
    palette[: info.num_classes] = info.colours
    return palette


def palette_image(labels: np.ndarray, info: DatasetInfo) -> Image.Image:
    """Labels as a palette image: the ids are the pixels, the colours come along.

    Args:
        labels: uint8 (H, W).
    """
    image = Image.fromarray(labels)
    image.putpalette(_palette(info).tobytes())
    return image


def colour_labels(labels: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Labels uint8 (H, W) in their classes' colours: uint8 (H, W, 3), void black."""
    return _palette(info)[labels]


def _hatch(pixels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The pixels uint8 (H, W, 3), and diagonal stripes where the mask (H, W) says."""
    height, width = where.shape
    rows, columns = np.indices((height, width), np.uint16, sparse=True)
    stripes = np.array(VOID_STRIPES, np.uint8)[(rows + columns) // 2 % 2]
    return np.where(where[..., None], stripes, pixels)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image uint8 (H, W, 1, 3 or 4) as shown: grey repeated, a fourth left out."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]


def class_shares(labels: np.ndarray, info: DatasetInfo) -> list[tuple[int, float]]:
    """(class id, share of the pixels) of every class found, largest first."""
    counts = np.bincount(labels.reshape(-1), minlength=256)[: info.num_classes]
    found = [
        (int(index), float(counts[index] / labels.size))
        for index in np.flatnonzero(counts)
    ]
    return sorted(found, key=lambda pair: -pair[1])


def overlay(
    image: np.ndarray, labels: np.ndarray, info: DatasetInfo, opacity: float = 0.55
) -> Image.Image:
    """The image tinted by class, with a legend of the classes found beside it.

    Args:
        image: uint8 (H, W, 1, 3 or 4). labels: uint8 (H, W); void is hatched.
        opacity: of the tint, 0 to 1.
    """
    # In Pillow, since NumPy would hold a large photo in float32 several times over.
    picture = Image.fromarray(as_rgb(image))
    tinted = Image.blend(picture, Image.fromarray(colour_labels(labels, info)), opacity)
    void = labels >= info.num_classes
    if void.any():
        tinted = Image.fromarray(_hatch(np.asarray(tinted), void))
    picture = tinted
    scale = max(1.0, min(picture.size) / LEGEND_SIDE)
    key = legend(class_shares(labels, info), info, void.mean(), scale)
    size = (picture.width + key.width, max(picture.height, key.height))
    canvas = Image.new("RGB", size, "white")
    canvas.paste(picture, (0, 0))
    canvas.paste(key, (picture.width, 0))
    return canvas


def legend(
    shares: list[tuple[int, float]],
    info: DatasetInfo,
    void: float = 0.0,
    scale: float = 1.0,
) -> Image.Image:
    """A white panel with one line per class: swatch, name and share.

    Args:
        shares: as `class_shares` gives them.
        void: its share, named if there is any.
        scale: of letters and swatches, for large pictures.
    """
    entries: list[Entry] = [
        (f"{info.classes[index]}  {share:.1%}", info.colours[index])
        for index, share in shares
    ]
    if void:
        entries.append((f"void  {void:.1%}", None))
    return _key(entries, scale)


def _key(entries: list[Entry], scale: float = 1.0) -> Image.Image:
    """A white panel with one line per entry: a swatch (None: hatched), and its text."""
    size, line, margin, swatch = (round(scale * side) for side in (13, 22, 10, 14))
    letters = font(size)
    width = max((letters.getlength(text) for text, _ in entries), default=0)
    width = int(width) + swatch + 3 * margin
    panel = Image.new("RGB", (width, len(entries) * line + margin), "white")
    draw = ImageDraw.Draw(panel)
    for row, (text, colour) in enumerate(entries):
        top = margin + row * line
        box = (margin, top, margin + swatch, top + swatch)
        if colour is None:
            square = np.empty((swatch, swatch, 3), np.uint8)
            panel.paste(Image.fromarray(_hatch(square, square[..., 0] >= 0)), box[:2])
        draw.rectangle(box, fill=colour and tuple(colour), outline="black")
        draw.text((2 * margin + swatch, top - 1), text, fill="black", font=letters)
    return panel


def error_image(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray
) -> np.ndarray:
    """Where a prediction is wrong: uint8 (H, W, 3).

    Wrong pixels are `WRONG_COLOUR`, void ones hatched, and what is right is the image
    in a pale grey.

    Args:
        image: uint8 (H, W, 3). truth: (H, W), void = 255. prediction: (H, W).
    """
    grey = image.astype(np.float32).mean(axis=-1, keepdims=True)
    errors = np.repeat(np.rint(150 + grey * (95 / 255)).astype(np.uint8), 3, axis=-1)
    errors[prediction != truth] = WRONG_COLOUR
    return _hatch(errors, truth == IGNORE_LABEL)


def comparison(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, info: DatasetInfo
) -> tuple[np.ndarray, ...]:
    """Image, truth (void hatched), prediction and errors, each uint8 (H, W, 3).

    Args:
        image: uint8 (H, W, 3). truth: (H, W), void = 255. prediction: (H, W).
    """
    return (
        image,
        _hatch(colour_labels(truth, info), truth == IGNORE_LABEL),
        colour_labels(prediction, info),
        error_image(image, truth, prediction),
    )


def comparison_sheet(
    rows: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    info: DatasetInfo,
    width: int = 320,
) -> Image.Image:
    """Comparisons under one another, captioned, with a legend of the classes in them.

    Args:
        rows: (caption, image, truth, prediction), as `comparison` takes them.
        width: of one picture, in pixels.
    """
    fitted = [fit_width(width, *row[1:]) for row in rows]
    found = set().union(*(np.unique(ids).tolist() for row in fitted for ids in row[1:]))
    entries: list[Entry] = [
        (info.classes[i], info.colours[i]) for i in sorted(found - {IGNORE_LABEL})
    ]
    entries.append(("wrong", WRONG_COLOUR))
    if IGNORE_LABEL in found:
        entries.append(("void", None))
    key = _key(entries)
    pitch, line, letters = width + 4, 20, font(13)
    height = line + sum(image.shape[0] + line for image, _, _ in fitted)
    size = (4 * pitch + key.width, max(height, key.height))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(("image", "truth", "prediction", "errors")):
        draw.text((column * pitch + 2, 1), title, fill="black", font=letters)
    top = line
    for (caption, *_), row in zip(rows, fitted, strict=True):
        draw.text((2, top + 1), caption, fill="black", font=letters)
        image, truth, prediction = row
        for column, part in enumerate(comparison(image, truth, prediction, info)):
            sheet.paste(Image.fromarray(part), (column * pitch, top + line))
        top += line + image.shape[0]
    sheet.paste(key, (4 * pitch, 0))
    return sheet


def fit_width(
    width: int, image: np.ndarray, *label_maps: np.ndarray
) -> tuple[np.ndarray, ...]:
    """An image and its label maps, uint8, resized to `width` pixels across.

    Narrower where the image is so tall that its height would pass one and a half
    times the width. The image becomes RGB. Labels are not mixed: nearest pixel.
    """
    # Tall pictures are bounded too, or one of 3x900 would fill a sheet.
    scale = min(width / image.shape[1], 1.5 * width / image.shape[0])
    down, across = (max(1, round(scale * side)) for side in image.shape[:2])

    def resized(pixels: np.ndarray, filter: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((across, down), filter))

    return (
        resized(as_rgb(image), Image.Resampling.LANCZOS),
        *(resized(m.astype(np.uint8), Image.Resampling.NEAREST) for m in label_maps),
    )
