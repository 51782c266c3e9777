"""Draws a data set of leaves with sick spots, to practise `docs/your-data.md` on.

python -m docs.leaves leaves
python -m docs.leaves plants --like coarse

Photos as a phone takes them (JPEG, 2000 x 1500), masks as a labelling program saves
them (PNG with a palette): background 0, leaf 1, spot 2, and 255 for a leaf so far out
of focus that nobody could say where it ends. With `--like coarse` other photos, whose
masks do not tell spots from leaves: background 0, plant 1. Other forms are those that
data sets are downloaded in, and a grey camera of 12 bits.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from segnet_tf.console import cli
from segnet_tf.files import replacing

CLASSES = ("background", "leaf", "spot")
COARSE = ("background", "plant")
COLOURS = ((40, 40, 40), (60, 170, 60), (230, 120, 30))
VOID = 255


def draw_leaves(index: int, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """A photo in RGB and its mask, mode P, the same for the same index."""
    rng = np.random.default_rng(index)
    mask = Image.new("L", (width, height), 0)
    photo = Image.new("RGB", (width, height), _shade(rng, (150, 125, 95)))
    _draw_leaf(rng, photo, mask, leaf=VOID, spot=VOID)
    photo = photo.filter(ImageFilter.GaussianBlur(width / 80))
    for _ in range(rng.integers(4, 9)):
        _draw_leaf(rng, photo, mask)
    photo = photo.filter(ImageFilter.GaussianBlur(width / 1000))
    ids = np.asarray(mask)
    light = np.linspace(*rng.uniform(0.75, 1.15, 2), width)[:, None]
    noise = rng.normal(0, 9, (height, width, 1))
    pixels = np.clip(np.asarray(photo) * light + noise, 0, 255).astype(np.uint8)
    labels = Image.fromarray(ids)
    labels.putpalette(_palette())
    return Image.fromarray(pixels), labels


def _draw_leaf(rng, photo: Image.Image, mask: Image.Image, leaf=1, spot=2) -> None:
    """One leaf somewhere with a few spots on it, and the ids of both."""
    width, height = photo.size
    centre = rng.uniform((0, 0), (width, height))
    length = width * rng.uniform(0.12, 0.22)
    turn = rng.uniform(0, 2 * np.pi)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    along = np.linspace(-1, 1, 40)
    half = 0.42 * (1 - along**2) ** 0.8
    outline = np.vstack([np.c_[along, half], np.c_[along, -half][::-1]])
    outline = [tuple(point) for point in centre + length * outline @ axes]
    ink, ids = ImageDraw.Draw(photo), ImageDraw.Draw(mask)
    green = _shade(rng, (70, 130, 50))
    ink.polygon(outline, fill=green)
    ids.polygon(outline, fill=leaf)
    for _ in range(rng.integers(0, 6)):
        place = rng.uniform((-0.7, -0.12), (0.7, 0.12))
        x, y = centre + length * place @ axes
        radius = length * rng.uniform(0.06, 0.12)
        box = (x - radius, y - radius, x + radius, y + radius)
        ink.ellipse(box, fill=_shade(rng, (150, 70, 25)))
        ids.ellipse(box, fill=spot)


def _shade(rng, colour: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple((np.array(colour) * rng.uniform(0.85, 1.15, 3)).astype(int).tolist())


def _palette() -> bytes:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(COLOURS)] = COLOURS
    palette[VOID] = 255
    return palette.tobytes()


def write_leaves(
    folder: Path, count: int, width: int, height: int, like: str = "folder"
) -> None:
    """A data set in one of the forms of `LIKE`."""
    for index in range(count):
        photo, mask = draw_leaves(index + 100 * (like == "coarse"), width, height)
        files = LIKE[like](index, "val" if index % 4 == 3 else "train", photo, mask)
        for name, content in files.items():
            with replacing(folder / name) as temporary:
                if isinstance(content, str):
                    temporary.write_text(content)
                else:
                    content.save(temporary, quality=90)


Files = dict[str, Image.Image | str]
"""Path in the data set -> a picture, or a text."""


def _as_folder(index: int, split: str, photo, mask) -> Files:
    lines = [f"{n} {r} {g} {b}" for n, (r, g, b) in zip(CLASSES, COLOURS, strict=True)]
    return {
        "classes.txt": "\n".join(lines) + "\n",
        f"images/leaf {index:02d}.jpg": photo,
        f"masks/leaf {index:02d}.png": mask,
    }


def _coarse(index: int, split: str, photo, mask) -> Files:
    files = _as_folder(index, split, photo, mask.point([0, 1, 1, *range(3, 256)]))
    lines = [f"{n} {r} {g} {b}" for n, (r, g, b) in zip(COARSE, COLOURS, strict=False)]
    return {**files, "classes.txt": "\n".join(lines) + "\n"}


def _as_kaggle(index: int, split: str, photo, mask) -> Files:
    rows = [(*COLOURS[0], CLASSES[0]), (255, 255, 255, "Void")]
    rows += [(*colour, name) for colour, name in zip(COLOURS, CLASSES, strict=True)][1:]
    table = "".join(f"{name},{r},{g},{b}\n" for r, g, b, name in rows)
    return {
        "class_dict.csv": f"name,r,g,b\n{table}",
        f"{split}/leaf_{index:02d}.png": photo,
        f"{split}_labels/leaf_{index:02d}_L.png": mask.convert("RGB"),
    }


def _as_roboflow(index: int, split: str, photo, mask) -> Files:
    place = {"val": "valid"}.get(split, split)
    name = f"{place}/leaf_{index:02d}_jpg.rf.{index:032x}"
    rows = "".join(f"{index}, {name}\n" for index, name in enumerate(CLASSES))
    return {
        f"{place}/_classes.csv": f"Pixel Value, Class\n{rows}",
        f"{name}.jpg": photo,
        f"{name}_mask.png": mask,
    }


def _of_12_bits(index: int, split: str, photo, mask) -> Files:
    grey = np.asarray(photo.convert("F")) * (4095 / 255)
    return {
        "classes.txt": "\n".join(CLASSES) + "\n",
        f"images/leaf {index:02d}.png": Image.fromarray(grey.astype(np.uint16)),
        f"masks/leaf {index:02d}.png": mask,
    }


LIKE = {
    "folder": _as_folder,
    "coarse": _coarse,
    "kaggle": _as_kaggle,
    "roboflow": _as_roboflow,
    "12-bit": _of_12_bits,
}
"""Forms of the data set: (index, split, photo, mask) -> its files."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12, help="images [12]")
    parser.add_argument("--width", type=int, default=2000, help="in pixels [2000]")
    parser.add_argument(
        "--like", choices=LIKE, default="folder", help="the form [folder]"
    )
    found = parser.parse_args()
    size = found.width, found.width * 3 // 4
    write_leaves(found.folder, found.count, *size, found.like)
    print(f"{found.folder}/: {found.count} images with masks")


if __name__ == "__main__":
    cli.run(main)
