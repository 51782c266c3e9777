"""Draws the pictures of the docs, from generated scenes alone.

python -m docs.figures
python -m docs.figures --only demo.png --model runs/demo

shifts.png is about a network that `experiments.decoders` trains; without that network,
the picture is left out.
"""

import argparse
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if not __package__:
    # Run as `python docs/figures.py`: then only docs/ is searched.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from segnet_tf.console import cli
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.errors import UserError
from segnet_tf.evaluation.visualize import colour_labels
from segnet_tf.files import replacing
from segnet_tf.inference.model_file import SHIPPED_MODEL, find_model
from segnet_tf.inference.predictor import Predictor

IMAGES = Path(__file__).parent / "images"
GENERATED = SHIPPED_MODEL.with_name("segnet_lite_synthetic")
"""The model that was trained on such scenes."""
SEED, SCENES = 3, (0, 2)
"""Scenes of a series that no split uses."""


def demo_picture(predictor: Predictor) -> Image.Image:
    """One row per scene: image, ground truth, prediction."""
    height, width, gap = 192, 256, 4
    size = (3 * width + 2 * gap, len(SCENES) * (height + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    for row, index in enumerate(SCENES):
        image, labels = draw_scene(SEED, index, height, width)
        predicted = colour_labels(predictor.labels(image), INFO)
        panels = (image, colour_labels(labels, INFO), predicted)
        for column, panel in enumerate(panels):
            corner = column * (width + gap), row * (height + gap)
            sheet.paste(Image.fromarray(panel), corner)
    return sheet


def unpooling_picture(levels: int = 2) -> Image.Image:
    """What pooling lost and unpooling finds again, without anything learned.

    The outlines of a scene, pooled `levels` times and brought back: with the true
    positions, with random ones, with the top left corner always, and by bilinear
    interpolation. Above as they come, below after one fixed smoothing.
    """
    from experiments.positions import KINDS

    scene, _ = draw_scene(SEED, SCENES[0], 192, 256)
    outlines = _outlines(scene)
    rows = [[("outlines of a scene", outlines)], [("what is left of them", None)]]
    for kind in KINDS:
        pooled, found = _round_trip(outlines, kind, levels)
        rows[0].append((kind, found))
        rows[1].append((f"{kind}, made dense", _dense(found)))
    # Enlarged by repeating, to the size of the others.
    rows[1][0] = (rows[1][0][0], pooled.repeat(2**levels, 0).repeat(2**levels, 1))
    return _sheet(rows)


def _outlines(image: np.ndarray) -> np.ndarray:
    """Where brightness changes: float32 (H, W), 0 to 1."""
    grey = image.astype(np.float32).mean(axis=-1)
    across = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    along = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    return np.clip((across + along) / 96, 0, 1)


def _round_trip(x: np.ndarray, kind: str, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """`x` pooled, and unpooled in one of the four ways."""
    import keras

    from experiments.positions import unpooling
    from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D

    y = image = keras.Input((None, None, 1))
    stack = []
    for _ in range(levels):
        before = y
        y, positions = MaxPoolingWithArgmax2D()(before)
        stack.append((before, positions))
    pool = keras.Model(image, y)
    for before, positions in reversed(stack):
        y = MaxUnpooling2D()(y, positions, like=before)
    keras.utils.set_random_seed(0)
    models = pool, unpooling(keras.Model(image, y), kind)
    return tuple(np.asarray(model(x[None, ..., None]))[0, ..., 0] for model in models)


def _dense(x: np.ndarray, reach: int = 2) -> np.ndarray:
    """`x` smoothed with the weights of a tent, which are the same in all panels."""
    tent = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    # A map that is dense already would add up to more than it was.
    weight = max(1, tent.sum() ** 2 * np.count_nonzero(x) / x.size)
    for axis in (0, 1):
        x = np.apply_along_axis(np.convolve, axis, x, tent, "same")
    return np.clip(x / weight, 0, 1)


def dense_picture(model: str | None = None, level: int = 1) -> Image.Image:
    """How a trained decoder makes the sparse map dense, channel by channel.

    Shows the four strongest channels: what unpooling gives, the same after its 3x3
    filter, and that filter.
    """
    from experiments.kernels import stage
    from segnet_tf.inference.model_file import load_model

    network = load_model(find_model(model, forms=("model.keras",)))
    scene, _ = draw_scene(SEED, SCENES[0], 192, 256)
    sparse, dense, _, kernels = stage(network, level, scene)
    channels = np.argsort(-(dense**2).mean(axis=(0, 1)))[:4]
    rows = [[], [], []]
    for channel in channels:
        maps = sparse[..., channel], dense[..., channel]
        for row, name, values in zip(
            rows, ("unpooled", "filtered"), maps, strict=False
        ):
            row.append((f"channel {channel}, {name}", _strengths(values, 2)))
        filter_ = _weights(kernels[channel], sparse.shape[0] * 2, sparse.shape[1] * 2)
        rows[2].append(("its filter, white is zero", filter_))
    return _sheet(rows)


def _strengths(values: np.ndarray, times: int) -> np.ndarray:
    """The sizes of values, as 0 to 1, with every pixel repeated."""
    sizes = np.abs(values)
    top = np.quantile(sizes[sizes > 0], 0.98) if sizes.any() else 1
    return np.clip(sizes / top, 0, 1).repeat(times, 0).repeat(times, 1)


def _weights(kernel: np.ndarray, height: int, width: int) -> np.ndarray:
    """A filter in the middle of a white panel, its largest weight black."""
    kernel = np.abs(kernel) / np.abs(kernel).max()
    side = height // len(kernel)
    cells = kernel.repeat(side, 0).repeat(side, 1)
    panel = np.zeros((height, width))
    left = (width - cells.shape[1]) // 2
    panel[: cells.shape[0], left : left + cells.shape[1]] = cells
    return panel


def shifts_picture() -> Image.Image:
    """How much the features change if the image moves: one panel per pooling.

    Of a network that `experiments.decoders` trained on `experiments.smaller`'s scenes.
    """
    from matplotlib.figure import Figure

    from experiments.shifts import KINDS, SHIFTS, measured

    run, scenes = "runs/decoders/segnet_basic-0", "runs/streets"
    if not Path(run).is_dir():
        raise UserError(
            f"{run}: not there: python -m experiments.smaller {scenes} --size 96x128, "
            "then python -m experiments.decoders --dataset folder --data-dir "
            f"{scenes} --filters 32 --models segnet_basic --seeds 1"
        )
    changes, _, _ = measured(run, scenes)
    figure = Figure(figsize=(11, 3), layout="constrained")
    panels = figure.subplots(1, changes.shape[1], sharey=True)
    for level, axes in enumerate(panels):
        for kind, name in enumerate(KINDS):
            axes.plot(SHIFTS, changes[:, level, kind], "o-", label=name)
        axes.set_title(f"pooling {level + 1}")
        axes.set_xlabel("pixels the image moves")
        axes.set_xticks(SHIFTS)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("change of the features")
    panels[0].set_ylim(0, 1)
    panels[-1].legend()
    return _rendered(figure)


def batch_norm_picture(steps: int = 150) -> Image.Image:
    """The loss of a small SegNet with and without normalisation, at several rates."""
    from matplotlib.figure import Figure

    from experiments.normalisation import RATES, trained

    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    kinds = {"with batch normalisation": True, "without": False}
    for axes, (title, normalised) in zip(panels, kinds.items(), strict=True):
        for rate in RATES:
            losses, _ = trained(normalised, rate, steps)
            smooth = np.convolve(losses, np.full(10, 0.1), "valid")
            axes.plot(smooth, label=f"rate {rate:g}")
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.set_ylim(0, 3)
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0].set_ylabel("loss, mean of ten steps")
    return _rendered(figure)


def _rendered(figure) -> Image.Image:
    buffer = BytesIO()
    figure.savefig(buffer, dpi=90, format="png")
    return Image.open(buffer).convert("RGB")


def _sheet(rows: list[list[tuple[str, np.ndarray]]]) -> Image.Image:
    """Maps of 0 to 1 as grey panels with captions; a high value is dark."""
    height, width = rows[0][0][1].shape
    gap, caption, font = 6, 20, ImageFont.load_default(13)
    step = width + gap, height + caption
    size = len(rows[0]) * step[0] - gap, len(rows) * step[1]
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for row, panels in enumerate(rows):
        for column, (text, values) in enumerate(panels):
            corner = column * step[0], row * step[1]
            draw.text((corner[0], corner[1] + 2), text, fill="black", font=font)
            grey = np.rint(255 * (1 - values)).astype(np.uint8)
            sheet.paste(Image.fromarray(grey), (corner[0], corner[1] + caption))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=GENERATED, help="of demo.png [%(default)s]")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the pictures")
    arguments = parser.parse_args()
    pictures = {
        "unpooling.png": unpooling_picture,
        "dense.png": dense_picture,
        "shifts.png": shifts_picture,
        "batch_norm.png": batch_norm_picture,
        "demo.png": lambda: demo_picture(Predictor(arguments.model)),
    }
    for name in arguments.only or pictures:
        if name not in pictures:
            raise UserError(f"{name}: no such picture: {', '.join(pictures)}")
        try:
            picture = pictures[name]()
        except UserError as error:
            if arguments.only:
                raise
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        with replacing(IMAGES / name) as temporary:
            picture.save(temporary)
        print(IMAGES / name)


if __name__ == "__main__":
    cli.run(main)
