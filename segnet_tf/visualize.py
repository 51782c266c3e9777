"""Pictures: Pillow and NumPy alone, but for the plots, which take matplotlib."""

import os
import warnings
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segnet_tf.datasets.split import IGNORE_LABEL, DatasetInfo
from segnet_tf.files import replacing

__all__ = [
    "as_rgb",
    "class_shares",
    "colour_labels",
    "comparison",
    "comparison_sheet",
    "draw_confusion",
    "draw_curves",
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


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
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
    rows, columns = np.indices(where.shape, np.uint16, sparse=True)
    stripes = np.array(VOID_STRIPES, np.uint8)[(rows + columns) // 2 % 2]
    return np.where(where[..., None], stripes, pixels)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """An image uint8 (H, W, 1, 3 or 4) as shown: grey repeated, a fourth left out."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]


def class_shares(labels: np.ndarray, info: DatasetInfo) -> list[tuple[int, float]]:
    """(class id, share of the pixels) of every class found, largest first."""
    counts = np.bincount(labels.reshape(-1), minlength=256)[: info.num_classes]
    found = [(index, counts[index] / labels.size) for index in np.flatnonzero(counts)]
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
    picture, key = tinted, legend(class_shares(labels, info), info, void.mean())
    size = (picture.width + key.width, max(picture.height, key.height))
    canvas = Image.new("RGB", size, "white")
    canvas.paste(picture, (0, 0))
    canvas.paste(key, (picture.width, 0))
    return canvas


def legend(
    shares: list[tuple[int, float]], info: DatasetInfo, void: float = 0.0
) -> Image.Image:
    """A white panel with a line a class: swatch, name and share.

    Args:
        shares: as `class_shares` gives them.
        void: its share, named where there is any.
    """
    named = [(f"{info.classes[index]}  {share:.1%}", index) for index, share in shares]
    entries = [(text, info.colours[index]) for text, index in named]
    return _key(entries + ([(f"void  {void:.1%}", None)] if void else []))


def _key(entries: list[tuple[str, tuple[int, int, int] | None]]) -> Image.Image:
    """A white panel with a line an entry: a swatch (None: hatched), and its text."""
    letters, line, margin, swatch = font(13), 22, 10, 14
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
    key = _key(
        [(info.classes[i], info.colours[i]) for i in sorted(found - {IGNORE_LABEL})]
        + [("wrong", WRONG_COLOUR)]
        + ([("void", None)] if IGNORE_LABEL in found else [])
    )
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
        for column, part in enumerate(comparison(*row, info)):
            sheet.paste(Image.fromarray(part), (column * pitch, top + line))
        top += line + row[0].shape[0]
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
    size = tuple(max(1, round(scale * side)) for side in image.shape[1::-1])

    def resized(pixels: np.ndarray, filter: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).resize(size, filter))

    return (
        resized(as_rgb(image), Image.Resampling.LANCZOS),
        *(resized(m.astype(np.uint8), Image.Resampling.NEAREST) for m in label_maps),
    )


def draw_curves(rows: list[dict], path: str | os.PathLike) -> None:
    """Loss and mIoU over the epochs of a history, training and validation."""
    # The object interface needs no display and leaves no figure behind in pyplot.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    titles = {"loss": "loss", "mean_iou": "mIoU (training: on augmented crops)"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            points = [(row["epoch"], row[column]) for row in rows if column in row]
            if points:
                marker = "." if len(points) < 40 else None
                axes.plot(*zip(*points, strict=True), label=label, marker=marker)
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def draw_confusion(
    confusion: np.ndarray, classes: tuple[str, ...], path: str | os.PathLike
) -> None:
    """A picture of a confusion matrix, each row divided by its sum.

    A row is a true class: where its pixels went, in percent. Classes that have no
    pixel are marked with a dash and left empty.

    Args:
        confusion: int64 (classes, classes), pixels by true class (row) and predicted.
    """
    from matplotlib.figure import Figure

    count, total = len(classes), confusion.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, 100 * confusion / np.maximum(total, 1), np.nan)
    numbered = count <= 40  # beyond that the colour must do
    cell, points = (0.42, 8) if numbered else (0.16, 7)
    side = max(3.0, cell * count)
    figure = Figure(figsize=(side, side))
    # The cells fill the figure; saving makes room for what stands around them.
    axes = figure.add_axes((0, 0, 1, 1))
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    bar = figure.add_axes((1 + 0.2 / side, 0, 0.2 / side, 1))
    figure.colorbar(picture, cax=bar, label="% of the true class")
    names = [
        name if pixels else f"{name} -"
        for name, pixels in zip(classes, total[:, 0], strict=True)
    ]
    axes.set_xticks(range(count), classes, rotation=90, fontsize=points)
    axes.set_yticks(range(count), names, fontsize=points)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (-: no pixel of it)" if (total == 0).any() else "true")
    if numbered:
        for row, column in np.argwhere(shares >= 0.5):
            share = shares[row, column]
            colour = "white" if share > 55 else "black"
            style = {
                "ha": "center",
                "va": "center",
                "fontsize": points,
                "color": colour,
            }
            axes.text(column, row, f"{share:.0f}", **style)
    with replacing(path) as temporary, _missing_letters_kept_back():
        figure.savefig(temporary, dpi=100, bbox_inches="tight")


@contextmanager
def _missing_letters_kept_back():
    """matplotlib's font has no Chinese letters, for one; the boxes show that anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from", category=UserWarning
        )
        yield
