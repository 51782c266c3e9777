"""Helpers for tests that label pictures into a folder again and again."""

import csv
import os
from pathlib import Path

from PIL import Image

from segnet_tf.commands.predict import predict_files
from segnet_tf.datasets.synthetic import draw_scene
from segnet_tf.inference.model_file import SHIPPED_MODEL

MODEL = str(SHIPPED_MODEL.with_name("segnet_lite_synthetic"))


def animation(name: str, count: int = 2) -> str:
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    frames = [
        Image.fromarray(draw_scene(3, index, 60, 80)[0]) for index in range(count)
    ]
    frames[0].save(name, save_all=True, append_images=frames[1:])
    return name


def run(*names: str, output: str = "out", **settings) -> int:
    return predict_files(list(names), MODEL, Path(output), **settings)


def content(name: str) -> bytes:
    with open(name, "rb") as file:
        return file.read()


def contents(folder: str = ".") -> dict[str, bytes]:
    """All files in a folder, hidden ones, too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def table(folder: str = "out") -> list[dict]:
    with open(f"{folder}/classes.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def results(folder: str = "out") -> list[str]:
    """Names of the results in the table."""
    return [row["result"] for row in table(folder)]
