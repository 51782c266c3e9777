"""Draws scenes as files: <name>.png, and their labels as <name>_truth.png."""

import argparse
from pathlib import Path

from PIL import Image

from segnet_tf import cli
from segnet_tf.datasets.synthetic import INFO, draw_scene
from segnet_tf.files import replacing
from segnet_tf.visualize import palette_image


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m segnet_tf.datasets.synthetic", description=__doc__
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1, help="scenes to draw [1]")
    parser.add_argument(
        "--seed", type=int, default=3, help="which streets; 0 to 2 are the splits' [3]"
    )
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--width", type=int, default=256)
    arguments = parser.parse_args()
    for index in range(arguments.count):
        image, labels = draw_scene(
            arguments.seed, index, arguments.height, arguments.width
        )
        name = f"street_{arguments.seed}_{index:03d}"
        pictures = {
            f"{name}.png": Image.fromarray(image),
            f"{name}_truth.png": palette_image(labels, INFO),
        }
        for file_name, picture in pictures.items():
            with replacing(arguments.folder / file_name) as temporary:
                picture.save(temporary)
        print(arguments.folder / f"{name}.png")


if __name__ == "__main__":
    cli.run(main, "segnet_tf.datasets.synthetic")
