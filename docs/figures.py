"""Draws the pictures of the docs, from generated scenes alone.

python -m docs.figures --model runs/demo
"""

import argparse
from pathlib import Path

from PIL import Image

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="run folder or .keras file [as predict.py]")
    arguments = parser.parse_args()
    picture = demo_picture(Predictor(find_model(arguments.model)))
    with replacing(IMAGES / "demo.png") as temporary:
        picture.save(temporary)
    print(IMAGES / "demo.png")


if __name__ == "__main__":
    cli.run(main)
