"""Writes a data set at a size that two cores can train on: a folder, images and masks.

python -m experiments.smaller runs/streets --train 800 --val 300 --size 96x128
python -m experiments.smaller runs/small --dataset camvid --data-dir CamVid

This asks no question: the other experiments train on what it writes. Generated scenes
are drawn at that size, as many as are asked for. Other data sets are resized: images by
averaging, masks by the nearest pixel. `--dataset folder --data-dir FOLDER` reads the
result.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.datasets import DatasetInfo, synthetic
from segnet_tf.errors import UserError
from segnet_tf.evaluation.visualize import palette_image
from segnet_tf.files import replacing

Pairs = Iterator[tuple[np.ndarray, np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, help="to write; must not exist yet")
    add("--dataset", choices=datasets.DATASETS, default="synthetic")
    add("--data-dir", help="folder of the data set")
    add(
        "--size",
        type=cli.parsed_size,
        default="96x128",
        help="of every image, as HxW [96x128]",
    )
    add("--train", type=int, default=800, help="images of the train split [800]")
    add("--val", type=int, default=300, help="images of the val split [300]")
    arguments = parser.parse_args()
    if arguments.folder.exists():
        raise UserError(f"{arguments.folder}: already there: choose another folder")
    with replacing(arguments.folder) as temporary:
        for split in ("train", "val"):
            count = getattr(arguments, split)
            info, pairs = small_pairs(
                arguments.dataset, arguments.data_dir, split, arguments.size
            )
            write_split(temporary, split, islice(pairs, count), info)
        write_classes(temporary / "classes.txt", info)
    print(f"to train on it: --dataset folder --data-dir {arguments.folder}")


def small_pairs(
    dataset: str, data_dir: str | None, split: str, size: tuple[int, int]
) -> tuple[DatasetInfo, Pairs]:
    """The classes of a data set, and a split's images and labels at a size.

    Of the generated streets there is no end: the split's own come first.
    """
    if dataset == "synthetic":
        seed, _ = synthetic.SPLITS[split]
        scenes = (synthetic.draw_scene(seed, index, *size) for index in range(10**9))
        return synthetic.INFO, scenes
    loaded = datasets.load(dataset, split, data_dir)
    return loaded.info, (resized(*pair, size) for pair in loaded)


def resized(
    image: np.ndarray, labels: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 (H, W, 3) and its labels uint8 (H, W), at another size."""
    picture = Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX)
    ids = Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST)
    return np.asarray(picture), np.asarray(ids)


def write_split(root: Path, split: str, pairs: Pairs, info: DatasetInfo) -> None:
    folders = [root / kind / split for kind in ("images", "masks")]
    for folder in folders:
        folder.mkdir(parents=True)
    for index, (image, labels) in enumerate(pairs):
        pictures = Image.fromarray(image), palette_image(labels, info)
        for folder, picture in zip(folders, pictures, strict=True):
            picture.save(folder / f"{index:04d}.png")


def write_classes(path: Path, info: DatasetInfo) -> None:
    lines = [
        f"{name} {red} {green} {blue}"
        for name, (red, green, blue) in zip(info.classes, info.colours, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    cli.run(main, "experiments.smaller")
