"""Draws the pictures of the docs, from generated scenes alone.

python -m docs.figures --model runs/demo
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segnet_tf import cli
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.files import replacing
from segnet_tf.inference import Predictor, find_model
from segnet_tf.visualize import colour_labels

IMAGES = Path(__file__).parent / "images"
SEED, SCENES = 3, (0, 2)
"""A series of scenes that no split uses."""


def demo_picture(predictor: Predictor) -> Image.Image:
    """A row a scene: image, ground truth, prediction."""
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
    from benchmarks.positions import KINDS

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
    """`x` pooled, and what one of the four ways makes of that again."""
    import keras

    from benchmarks.positions import unpooling
    from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

    y = image = keras.Input((None, None, 1))
    stack = []
    for _ in range(levels):
        before = y
        y, positions = MaxPoolingWithArgmax2D()(before)
        stack.append((before, positions))
    pooled = y
    for before, positions in reversed(stack):
        y = MaxUnpooling2D()(y, positions, like=before)
    keras.utils.set_random_seed(0)
    model = unpooling(keras.Model(image, [pooled, y]), kind)
    return tuple(np.asarray(part)[0, ..., 0] for part in model(x[None, ..., None]))


def _dense(x: np.ndarray, reach: int = 2) -> np.ndarray:
    """A smoothing that weighs with a tent, the same for sparse and dense."""
    tent = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    # What is dense already would add up to more than it was.
    weight = max(1, tent.sum() ** 2 * np.count_nonzero(x) / x.size)
    for axis in (0, 1):
        x = np.apply_along_axis(np.convolve, axis, x, tent, "same")
    return np.clip(x / weight, 0, 1)


def _sheet(rows: list[list[tuple[str, np.ndarray]]]) -> Image.Image:
    """Maps of 0 to 1 as grey panels with captions, dark for what is high."""
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
    parser.add_argument("--model", help="run folder or .keras file [as predict.py]")
    arguments = parser.parse_args()
    pictures = {
        "unpooling.png": unpooling_picture,
        "demo.png": lambda: demo_picture(Predictor(find_model(arguments.model))),
    }
    for name, draw in pictures.items():
        picture = draw()
        with replacing(IMAGES / name) as temporary:
            picture.save(temporary)
        print(IMAGES / name)


if __name__ == "__main__":
    cli.run(main)
