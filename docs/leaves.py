"""Draws a data set of leaves with sick spots, to practise `docs/your-data.md` on.

python -m docs.leaves leaves
python -m docs.leaves plants --coarse

Photos as a phone takes them (JPEG, 2000 x 1500), masks as a labelling program saves
them (PNG with a palette): background 0, leaf 1, spot 2, and 255 for a leaf so far out
of focus that nobody could say where it ends. With --coarse other photos, whose masks
do not tell spots from leaves: background 0, plant 1.
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
    folder: Path, count: int, width: int, height: int, coarse: bool = False
) -> None:
    """classes.txt, images/ and masks/, as `--dataset folder` reads them."""
    classes = COARSE if coarse else CLASSES
    lines = [f"{n} {r} {g} {b}" for n, (r, g, b) in zip(classes, COLOURS, strict=False)]
    with replacing(folder / "classes.txt") as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    for index in range(count):
        photo, mask = draw_leaves(index + 100 * coarse, width, height)
        if coarse:
            mask = mask.point([0, 1, 1, *range(3, 256)])
        with replacing(folder / "images" / f"leaf {index:02d}.jpg") as temporary:
            photo.save(temporary, quality=90)
        with replacing(folder / "masks" / f"leaf {index:02d}.png") as temporary:
            mask.save(temporary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12, help="images [12]")
    parser.add_argument("--width", type=int, default=2000, help="in pixels [2000]")
    parser.add_argument(
        "--coarse", action="store_true", help="masks do not tell spots from leaves"
    )
    arguments = parser.parse_args()
    width = arguments.width
    size = width, width * 3 // 4
    write_leaves(arguments.folder, arguments.count, *size, arguments.coarse)
    print(f"{arguments.folder}/: {arguments.count} images in images/, masks/")


if __name__ == "__main__":
    cli.run(main)
