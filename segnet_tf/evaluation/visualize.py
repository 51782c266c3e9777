"""Pictures with Pillow and NumPy: palette images, legends, comparisons."""

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
    "hatched",
    "legend",
    "palette_image",
    "shares_of",
]

VOID_COLOUR = (0, 0, 0)
"""The colour of void in palette images, which need one colour for each id."""

VOID_STRIPES = ((70, 70, 70), (210, 210, 210))
"""In all other pictures void is hatched in these colours: a class may be black."""

WRONG_COLOUR = (220, 20, 60)
"""The colour of wrong pixels in error images."""

Entry = tuple[str, tuple[int, int, int] | None]
"""A line of a legend: its text and the colour of its swatch (None: hatched)."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans from matplotlib or from the system, else Pillow's own font.

    Pillow's own font has hardly more than Western European letters.

    Args:
        size: of the letters, in pixels.
    """
    # `find_spec` does not import matplotlib, which predictions do not need.
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
    """A colour for each of the 256 ids, uint8 (256, 3); an id of no class is void."""
    palette = np.full((256, 3), VOID_COLOUR, np.uint8)
    palette[: info.num_classes] = info.colours
    return palette


def palette_image(labels: np.ndarray, info: DatasetInfo) -> Image.Image:
    """Labels as a palette image: pixels are ids, the palette has the classes' colours.

    Args:
        labels: uint8 (H, W).
        info: the classes and their colours.
    """
    image = Image.fromarray(labels)
    image.putpalette(_palette(info).tobytes())
    return image


def colour_labels(labels: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Labels in the colours of their classes, void in black.

    Args:
        labels: uint8 (H, W).
        info: the classes and their colours.

    Returns:
        uint8 (H, W, 3).
    """
    return _palette(info)[labels]


def hatched(
    pixels: np.ndarray, where: np.ndarray, width: int = 2, top: int = 0
) -> np.ndarray:
    """The pixels, with diagonal stripes where a mask is True.

    Args:
        pixels: uint8 (H, W, 3).
        where: bool (H, W).
        width: of a stripe, in pixels along a row.
        top: the row of a larger picture that these pixels begin at.

    Returns:
        uint8 (H, W, 3).
    """
    height, across = where.shape
    rows, columns = np.indices((height, across), np.uint16, sparse=True)
    stripes = np.array(VOID_STRIPES, np.uint8)
    shade = stripes[(rows + columns + np.uint16(top % (2 * width))) // width % 2]
    return np.where(where[..., None], shade, pixels)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """The RGB image that is shown for an image of 1, 3 or 4 channels.

    Grey is repeated; a fourth channel is left out.

    Args:
        image: uint8 (H, W, 1, 3 or 4).

    Returns:
        uint8 (H, W, 3).
    """
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]


def class_shares(labels: np.ndarray, info: DatasetInfo) -> list[tuple[int, float]]:
    """(class id, share of all pixels) of each class in the labels, largest first.

    Args:
        labels: uint8 (H, W).
        info: the classes.
    """
    # NumPy would count copies of eight bytes a pixel.
    counts = np.array(Image.fromarray(labels).histogram())
    return [pair for pair in shares_of(counts) if pair[0] < info.num_classes]


def shares_of(counts: np.ndarray) -> list[tuple[int, float]]:
    """(id, share of all pixels) of each id that has any, the largest first.

    Args:
        counts: the number of pixels of each id, integers (256,).
    """
    total = counts.sum()
    order = np.argsort(-counts, kind="stable")
    return [(int(n), float(counts[n] / total)) for n in order if counts[n]]


def legend(
    shares: list[tuple[int, float]],
    info: DatasetInfo,
    void: float = 0.0,
    scale: float = 1.0,
    shown: bool = True,
) -> Image.Image:
    """A white panel with one line per class: swatch, name and share.

    Args:
        shares: (class id, share), as `class_shares` gives them.
        info: the classes and their colours.
        void: the share of void; if it is 0, void has no line.
        scale: factor on the size of letters and swatches, for large pictures.
        shown: whether the shares are.
    """
    entries: list[Entry] = [
        (info.classes[index] + (f"  {share:.1%}" if shown else ""), info.colours[index])
        for index, share in shares
    ]
    if void:
        entries.append((f"void  {void:.1%}", None))
    return _key(entries, scale)


def _key(entries: list[Entry], scale: float = 1.0) -> Image.Image:
    """A white panel with one line per entry: its swatch and its text."""
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
            square = np.zeros((swatch, swatch, 3), np.uint8)
            stripes = hatched(square, square[..., 0] == 0, round(2 * scale))
            panel.paste(Image.fromarray(stripes), box[:2])
        fill = colour and tuple(colour)
        draw.rectangle(box, fill=fill, outline="black", width=round(scale))
        draw.text((2 * margin + swatch, top - 1), text, fill="black", font=letters)
    return panel


def error_image(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray
) -> np.ndarray:
    """A picture of the wrong pixels of a prediction.

    Wrong pixels have `WRONG_COLOUR`, void is hatched, and correct pixels show the image
    in a pale grey.

    Args:
        image: uint8 (H, W, 3).
        truth: integers (H, W), void is 255.
        prediction: integers (H, W).

    Returns:
        uint8 (H, W, 3).
    """
    grey = image.astype(np.float32).mean(axis=-1, keepdims=True)
    errors = np.repeat(np.rint(150 + grey * (95 / 255)).astype(np.uint8), 3, axis=-1)
    errors[prediction != truth] = WRONG_COLOUR
    return hatched(errors, truth == IGNORE_LABEL)


def comparison(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, info: DatasetInfo
) -> tuple[np.ndarray, ...]:
    """Image, truth (void hatched), prediction and errors, each uint8 (H, W, 3).

    Args:
        image: uint8 (H, W, 3).
        truth: integers (H, W), void is 255.
        prediction: integers (H, W).
        info: the classes and their colours.
    """
    return (
        image,
        hatched(colour_labels(truth, info), truth == IGNORE_LABEL),
        colour_labels(prediction, info),
        error_image(image, truth, prediction),
    )


def comparison_sheet(
    rows: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]],
    info: DatasetInfo,
    width: int = 320,
) -> Image.Image:
    """Comparisons below one another, with captions and a legend of their classes.

    Args:
        rows: (caption, image, truth, prediction); the last three as for `comparison`,
            but the image may have 1, 3 or 4 channels.
        info: the classes and their colours.
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
    """An image and its label maps, resized to a width.

    A tall image becomes narrower, so that its height is at most 1.5 times `width`.

    Args:
        width: in pixels.
        image: uint8 (H, W, 1, 3 or 4); it becomes RGB.
        *label_maps: integers (H, W) from 0 to 255, resized by nearest pixel.

    Returns:
        uint8 (h, w, 3), and uint8 (h, w) for each label map.
    """
    # Without the bound on the height, an image of 3x900 would fill a sheet.
    scale = min(width / image.shape[1], 1.5 * width / image.shape[0])
    down, across = (max(1, round(scale * side)) for side in image.shape[:2])

    def resized(pixels: np.ndarray, filter: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize((across, down), filter))

    return (
        resized(as_rgb(image), Image.Resampling.LANCZOS),
        *(resized(m.astype(np.uint8), Image.Resampling.NEAREST) for m in label_maps),
    )
