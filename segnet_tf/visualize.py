"""Pictures: palette masks and overlays with Pillow alone, curves with matplotlib."""

import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segnet_tf.datasets.split import DatasetInfo
from segnet_tf.files import replacing

__all__ = [
    "class_shares",
    "colour_labels",
    "draw_curves",
    "legend",
    "overlay",
    "palette_image",
]

VOID_COLOUR = (0, 0, 0)


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
        image: uint8 (H, W, 3). labels: uint8 (H, W); void is left untinted.
        opacity: of the tint, 0 to 1.
    """
    # In Pillow, since NumPy would hold a large photo in float32 several times over.
    picture = Image.fromarray(image)
    tinted = Image.blend(picture, Image.fromarray(colour_labels(labels, info)), opacity)
    picture.paste(tinted, mask=Image.fromarray(labels < info.num_classes))
    key = legend(class_shares(labels, info), info)
    size = (picture.width + key.width, max(picture.height, key.height))
    canvas = Image.new("RGB", size, "white")
    canvas.paste(picture, (0, 0))
    canvas.paste(key, (picture.width, 0))
    return canvas


def legend(shares: list[tuple[int, float]], info: DatasetInfo) -> Image.Image:
    """A white panel with a line a class: swatch, name and share.

    Args:
        shares: as `class_shares` gives them.
    """
    font, line, margin, swatch = ImageFont.load_default(14), 22, 10, 14
    texts = [f"{info.classes[index]}  {share:.1%}" for index, share in shares]
    widths = [font.getlength(text) for text in texts]
    width = int(max(widths, default=0)) + swatch + 3 * margin
    panel = Image.new("RGB", (width, len(texts) * line + margin), "white")
    draw = ImageDraw.Draw(panel)
    for row, ((index, _), text) in enumerate(zip(shares, texts, strict=True)):
        top = margin + row * line
        box = (margin, top, margin + swatch, top + swatch)
        draw.rectangle(box, fill=tuple(info.colours[index]), outline="black")
        draw.text((2 * margin + swatch, top - 2), text, fill="black", font=font)
    return panel


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
