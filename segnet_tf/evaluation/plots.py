"""Plots with matplotlib: training curves, confusion, reliability, uncertainty."""

import os
import warnings
from contextlib import contextmanager

import numpy as np

from segnet_tf.files import replacing
from segnet_tf.metrics.reliability import Reliability

__all__ = [
    "draw_confusion",
    "draw_curves",
    "draw_reliability",
    "draw_uncertainty",
]


def draw_curves(rows: list[dict], path: str | os.PathLike) -> None:
    """Draws loss and mIoU over the epochs, for training and for validation.

    Args:
        rows: the history, one dict per epoch: epoch, loss, mean_iou, and in validated
            epochs val_loss and val_mean_iou.
        path: the picture; it is replaced in one step.
    """
    # matplotlib.figure needs no display and, unlike pyplot, keeps no figure.
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
    """Draws a confusion matrix, each row divided by its sum.

    A row is a true class: the percentages of its pixels by predicted class. The row of
    a class without a pixel is empty, and its name has a dash.

    Args:
        confusion: int64 (labels, classes), pixels by true class (row) and predicted
            class (column).
        classes: the names of the rows; those of the columns are its beginning.
        path: the picture; it is replaced in one step.
    """
    from matplotlib.figure import Figure

    count, total = len(classes), confusion.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, 100 * confusion / np.maximum(total, 1), np.nan)
    numbered = count <= 40  # with more classes, only colours fit into the cells
    cell, points = (0.42, 8) if numbered else (0.16, 7)
    columns = classes[: confusion.shape[1]]
    side = max(3.0, cell * len(columns))
    figure = Figure(figsize=(side, side * count / len(columns)))
    # The cells fill the figure; `bbox_inches` adds room for the names around them.
    axes = figure.add_axes((0, 0, 1, 1))
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    bar = figure.add_axes((1 + 0.2 / side, 0, 0.2 / side, 1))
    figure.colorbar(picture, cax=bar, label="% of the true class")
    names = [
        name if pixels else f"{name} -"
        for name, pixels in zip(classes, total[:, 0], strict=True)
    ]
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=points)
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


def draw_reliability(reliability: Reliability, path: str | os.PathLike) -> None:
    """Draws accuracy over confidence, and below it the share of pixels in each bin.

    Args:
        reliability: the counts of a split.
        path: the picture; it is replaced in one step.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = len(reliability.count)
    centres = (np.arange(bins) + 0.5) / bins
    found = reliability.count > 0
    count = np.maximum(reliability.count, 1)
    accuracy = np.where(found, reliability.hits / count, np.nan)
    confidence = np.where(found, reliability.confidence / count, np.nan)
    upper.bar(centres, accuracy, 1 / bins, edgecolor="white", label="accuracy")
    upper.plot(confidence, confidence, "k.", label="confidence")
    upper.plot((0, 1), (0, 1), "k--", linewidth=0.8)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    upper.set_title(f"expected calibration error {100 * reliability.error:.1f} %")
    upper.legend(loc="upper left")
    share = reliability.count / max(reliability.count.sum(), 1)
    lower.bar(centres, share, 1 / bins, edgecolor="white")
    lower.set(xlabel="confidence", ylabel="share of pixels")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def draw_uncertainty(maps: dict[str, np.ndarray], path: str | os.PathLike) -> None:
    """Draws the four maps of an `Uncertainty`, each with its colour bar.

    The three maps in nats have one scale, since the first is the sum of the other two.

    Args:
        maps: name -> float32 (H, W).
        path: the picture; it is replaced in one step.
    """
    from matplotlib.figure import Figure

    height, width = next(iter(maps.values())).shape
    figure = Figure(figsize=(10, 1 + 9 * min(height / width, 4)), layout="constrained")
    titles = {
        "entropy": "predictive entropy, nats",
        "aleatoric": "aleatoric, nats: the data leave it open",
        "epistemic": "epistemic, nats: not learned",
        "variance": "variance (Bayesian SegNet)",
    }
    for axes, (name, title) in zip(
        figure.subplots(2, 2).flat, titles.items(), strict=True
    ):
        top = maps["variance" if name == "variance" else "entropy"].max()
        # The scale starts at 0, so that small noise does not look like uncertainty.
        shown = axes.imshow(maps[name], "viridis", vmin=0, vmax=max(top, 1e-3))
        axes.set_title(title)
        axes.set_axis_off()
        figure.colorbar(shown, ax=axes, shrink=0.8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


@contextmanager
def _missing_letters_kept_back():
    """Drops warnings about letters that matplotlib's font lacks and draws as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from", category=UserWarning
        )
        yield
