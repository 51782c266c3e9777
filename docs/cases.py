"""Tries what people bring as data, and writes docs/what-people-bring.md.

python -m docs.cases

Each case is a folder of two generated leaves, spoilt or written in another way. The
table says what `segnet data folder` makes of it.
"""

import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image

from docs.leaves import LIKE, draw_leaves
from segnet_tf.commands import data
from segnet_tf.errors import UserError
from segnet_tf.files import replacing

__all__ = ["CASES", "outcome", "page"]

PAGE = Path(__file__).with_name("what-people-bring.md")
SIZE = (80, 60)
COLOURS = np.array([(40, 40, 40), (60, 170, 60), (230, 120, 30)], np.uint8)

Flags = list[str]


def leaves(folder: Path, like: str = "folder", count: int = 8) -> None:
    """The sound data set that a case begins with."""
    for index in range(count):
        photo, mask = draw_leaves(index, *SIZE)
        split = "val" if index % 4 == 3 else "train"
        for name, content in LIKE[like](index, split, photo, mask).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content)
            else:
                content.save(path, quality=90)


def classes(text: str | bytes) -> Callable[[Path], None]:
    """Leaves with another list of classes."""

    def make(folder: Path) -> None:
        leaves(folder)
        content = text.encode() if isinstance(text, str) else text
        (folder / "classes.txt").write_bytes(content)

    return make


def masks(change: Callable[[np.ndarray], Image.Image], names: str = "") -> Callable:
    """Leaves with other masks, and with another list of classes if it is given."""

    def make(folder: Path) -> None:
        leaves(folder)
        if names:
            (folder / "classes.txt").write_text(names)
        for path in sorted((folder / "masks").iterdir()):
            with Image.open(path) as mask:
                ids = np.asarray(mask)
            change(ids).save(path)

    return make


def images(change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """Leaves with other photos, saved as TIFF."""

    def make(folder: Path) -> None:
        leaves(folder)
        for path in sorted((folder / "images").iterdir()):
            with Image.open(path) as photo:
                pixels = np.asarray(photo)
            path.unlink()
            Image.fromarray(change(pixels)).save(path.with_suffix(".tif"))

    return make


def renamed(**parts: str) -> Callable:
    """Leaves with parts of all paths replaced; __ stands for a dot."""

    def make(folder: Path) -> None:
        leaves(folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = str(path.relative_to(folder))
            for old, new in parts.items():
                name = name.replace(old.replace("__", "."), new)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(folder / name)

    return make


def like(name: str) -> Callable[[Path], None]:
    return lambda folder: leaves(folder, name)


def in_colour(ids: np.ndarray) -> np.ndarray:
    pixels = np.full((*ids.shape, 3), 255, np.uint8)
    pixels[ids < 3] = COLOURS[ids[ids < 3]]
    return pixels


def softened(ids: np.ndarray) -> Image.Image:
    image = Image.fromarray(in_colour(ids))
    small = image.resize((SIZE[0] // 2, SIZE[1] // 2), Image.Resampling.NEAREST)
    return small.resize(SIZE, Image.Resampling.BILINEAR)


def smoothed_ids(ids: np.ndarray) -> Image.Image:
    wide = Image.fromarray(np.where(ids == 1, 2, 0).astype(np.uint8))
    small = wide.resize((SIZE[0] // 2, SIZE[1] // 2), Image.Resampling.NEAREST)
    return small.resize(SIZE, Image.Resampling.BILINEAR)


def as_jpeg(pixels: np.ndarray) -> Image.Image:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "JPEG", quality=90)
    return Image.open(memory)


def jpeg_ids(ids: np.ndarray) -> Image.Image:
    return as_jpeg(np.where(ids == 255, 0, ids).astype(np.uint8))


def upside_down(folder: Path) -> None:
    leaves(folder)
    exif = Image.Exif()
    exif[0x0112] = 3  # the orientation
    for path in (folder / "images").iterdir():
        with Image.open(path) as photo:
            photo.save(path, quality=90, exif=exif)


def grey16(pixels: np.ndarray, white: int) -> np.ndarray:
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
    return (grey * white / 255).astype(np.uint16)


def reflectances(pixels: np.ndarray) -> np.ndarray:
    values = grey16(pixels, 2000)
    values[0, :2] = 14_000
    return values


def labelme(folder: Path) -> None:
    for index in range(6):
        folder.mkdir(exist_ok=True)
        draw_leaves(index, *SIZE)[0].save(folder / f"{index}.jpg")
        shape = {"label": "leaf", "points": [[5, 5], [40, 9], [20, 50 - index]]}
        content = {
            "shapes": [shape],
            "imageWidth": SIZE[0],
            "imageHeight": SIZE[1],
        }
        (folder / f"{index}.json").write_text(json.dumps(content))


def coco(folder: Path) -> None:
    content: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 7, "name": "leaf"}],
    }
    (folder / "images").mkdir(parents=True)
    for index in range(6):
        draw_leaves(index, *SIZE)[0].save(folder / "images" / f"{index}.jpg")
        content["images"].append(
            {
                "id": index,
                "file_name": f"{index}.jpg",
                "width": SIZE[0],
                "height": SIZE[1],
            }
        )
        content["annotations"].append(
            {
                "image_id": index,
                "category_id": 7,
                "segmentation": [[5, 5, 40, 9, 20, 50 - index]],
            }
        )
    (folder / "annotations.json").write_text(json.dumps(content))


def coco_of_windows(folder: Path) -> None:
    """As Label Studio exports it there: result.json, names with other folders."""
    coco(folder)
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = "..\\media\\upload\\4\\" + image["file_name"]
    content["images"] = content["images"][:5]
    content["annotations"] = content["annotations"][:5]
    path.unlink()
    (folder / "result.json").write_text(json.dumps(content))


def beside(folder: Path) -> None:
    renamed(__png="_mask.png")(folder)
    for path in list(folder.rglob("leaf*")):
        path.rename(folder / path.name)


def renamed_coco(folder: Path) -> None:
    coco(folder)
    (folder / "annotations.json").rename(folder / "export.json")


def photos_and_masks(folder: Path) -> None:
    leaves(folder)
    for path in list(folder.rglob("leaf*")):
        word = "mask" if path.parent.name == "masks" else "photo"
        path.rename(path.with_name(path.name.replace("leaf", word)))


def capitals(folder: Path) -> None:
    leaves(folder)
    for path in list((folder / "masks").iterdir()):
        path.rename(path.with_name(path.name.upper()))


def more_files(folder: Path) -> None:
    leaves(folder)
    (folder / "images/more").mkdir()
    for number in (0, 1):
        path = folder / f"images/leaf 0{number}.jpg"
        path.rename(folder / "images/more" / path.name)


def without_two_masks(folder: Path) -> None:
    leaves(folder)
    for number in (0, 1):
        (folder / f"masks/leaf 0{number}.png").unlink()


def two_masks_each(folder: Path) -> None:
    renamed(__png="_ids.png")(folder)
    for path in list((folder / "masks").iterdir()):
        with Image.open(path) as mask:
            mask.save(path.with_name(path.name.replace("_ids", "_colour")))


def cut_short(folder: Path) -> None:
    leaves(folder)
    path = folder / "images/leaf 02.jpg"
    path.write_bytes(path.read_bytes()[:-400])


NAMES = "background\nleaf\nspot\n"

CASES: dict[str, list[tuple[str, Callable[[Path], None], Flags]]] = {
    "The list of classes": [
        ("names, a void line in the middle", classes("background\nvoid\nspot\n"), []),
        ("a heading above names", classes(f"name\n{NAMES}"), []),
        ("a title in another language", classes("Klasse\nleaf\nspot\n"), []),
        ("`no label`, a class or a heading", classes("no label\nleaf\nspot\n"), []),
        ("the same with ids", classes("0 no label\n1 leaf\n2 spot\n"), []),
        ("a heading that ids prove", classes("no label\n0 soil\n1 leaf\n2 spot\n"), []),
        ("a comment of another language", classes(f"// ours\n{NAMES}"), []),
        ("YAML", classes("nc: 2\nnames: ['background', 'leaf']\n"), []),
        ("groups", classes("soil\nplant\n  leaf\n  spot\n"), []),
        ("Kaggle's class_dict.csv", like("kaggle"), []),
        ("Roboflow's _classes.csv", like("roboflow"), []),
        (
            "CVAT's labelmap.txt",
            classes(
                "# label:color_rgb:parts:actions\nbackground:40,40,40::\n"
                "leaf:60,170,60::\nspot:230,120,30::\n"
            ),
            [],
        ),
        (
            "colours before the names",
            classes("40 40 40 background\n60 170 60 leaf\n230 120 30 spot\n"),
            [],
        ),
        ("ids before the names", classes("0: background\n1: leaf\n2: spot\n"), []),
        ("ids behind dashes", classes("leaf - 1\nsoil - 0\nspot - 2\n"), []),
        ("arrows", classes("1 -> leaf\n0 -> soil\n2 -> spot\n"), []),
        ("ids in the middle", classes("class 1: leaf\nclass 0: soil\n"), []),
        ("ids with points", classes("1.0 leaf\n0.0 soil\n2.0 spot\n"), []),
        ("ids and shares", classes("leaf 1 12.5\nsoil 0 80\nspot 2 7.5\n"), []),
        ("numbers alone", classes("1\n2\n3\n"), []),
        ("numbers that are the places", classes("Class 0\nClass 1\nClass 2\n"), []),
        ("numbers that are not", classes("Class 2\nClass 1\nClass 0\n"), []),
        ("four numbers", classes("soil 0 0 0 1\nleaf 9 99 9 1\n"), []),
        (
            "a white void, but no other colour",
            classes(f"{NAMES}void 255 255 255\n"),
            [],
        ),
        ("a black void, but no other colour", classes(f"{NAMES}void 0 0 0\n"), []),
        ("ids before two of three names", classes("0 background\n1 leaf\nspot\n"), []),
        ("ids that count from 1", classes("1 background\n2 leaf\n3 spot\n"), []),
        ("a comma in a name", classes("soil, bare\nleaf\nspot\n"), []),
        ("a name twice", classes("background\nleaf\nleaf\n"), []),
        ("a byte-order mark", classes(b"\xef\xbb\xbf" + NAMES.encode()), []),
        ("UTF-16", classes(NAMES.encode("utf-16")), []),
        ("one name too few", classes("background\nleaf\n"), []),
        ("no list", renamed(classes="readme"), []),
        ("class 0 is void", like("folder"), ["--ignore", "0"]),
    ],
    "Masks": [
        (
            "in the colours of the list",
            masks(lambda i: Image.fromarray(in_colour(i))),
            [],
        ),
        ("colours with soft edges", masks(softened), []),
        ("the same", masks(softened), ["--tolerance", "32"]),
        ("colours that were JPEG once", masks(lambda i: as_jpeg(in_colour(i))), []),
        (
            "the same",
            masks(lambda i: as_jpeg(in_colour(i))),
            ["--tolerance", "32"],
        ),
        ("ids that were scaled with smoothing", masks(smoothed_ids, NAMES), []),
        ("ids that were JPEG once", masks(jpeg_ids), []),
        (
            "black and white",
            masks(
                lambda i: Image.fromarray((i == 1).astype(np.uint8) * 255),
                "background\nleaf\n",
            ),
            [],
        ),
        (
            "black and white, and the ids 0 and 255 in the list",
            masks(
                lambda i: Image.fromarray((i == 1).astype(np.uint8) * 255),
                "0 background\n255 leaf\n",
            ),
            [],
        ),
        (
            "half as large as the photos",
            masks(lambda i: Image.fromarray(i[::2, ::2].copy())),
            [],
        ),
        ("a row too few", masks(lambda i: Image.fromarray(i[1:].copy())), []),
        ("two are missing", without_two_masks, []),
        ("two for each photo", two_masks_each, []),
        ("all of one class", masks(lambda i: Image.fromarray(i * 0)), []),
    ],
    "Photos": [
        ("12 bits in 16", images(lambda p: grey16(p, 4095)), []),
        ("reflectances around 1,000 and a few clouds", images(reflectances), []),
        ("the same", images(reflectances), ["--range", "0-10000"]),
        ("floats from 0 to 1", images(lambda p: p[..., 1] / np.float32(255)), []),
        ("nearly black", images(lambda p: p // 16), []),
        ("8 bits", images(lambda p: p), ["--range", "0-4095"]),
        ("turned by their EXIF tag, upside down", upside_down, []),
        ("one is cut off", cut_short, []),
    ],
    "Folders": [
        ("fast.ai: labels/, _P", renamed(masks="labels", __png="_P.png"), []),
        (
            "Pascal VOC's names",
            renamed(images="JPEGImages", masks="SegmentationClass"),
            [],
        ),
        ("a suffix behind all masks", renamed(__png="_mask.png"), []),
        ("other names", renamed(masks="truth"), []),
        ("the same", renamed(masks="truth"), ["--masks", "truth"]),
        ("labelme's JSON", labelme, []),
        ("COCO's JSON", coco, []),
        ("COCO's JSON, paths of Windows, a photo too many", coco_of_windows, []),
        ("COCO's JSON of another name", renamed_coco, []),
        ("the same", renamed_coco, ["--masks", "export.json"]),
        ("masks beside the photos, a.jpg and a_mask.png", beside, []),
        ("photo 00.jpg and mask 00.png", photos_and_masks, []),
        ("masks in capitals", capitals, []),
        ("photos in a folder inside images/", more_files, []),
    ],
}


def outcome(make: Callable[[Path], None], flags: Flags) -> str:
    """What `segnet data folder` says of a case, without the table of shares."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        make(Path("mine"))
        said = io.StringIO()
        try:
            with redirect_stdout(said):
                data.main(["folder", "--data-dir", "mine", *flags])
            code = 0
        except SystemExit as exit:
            code = int(str(exit.code))
        except UserError as error:
            return f"refused: `{error}`"
        wrote = {path.name for path in Path("mine").iterdir()}
        assert "folder-samples.png" not in wrote, "nothing is written into the data"
    return _summary(said.getvalue().splitlines(), code)


def _summary(lines: list[str], code: int) -> str:
    """The lines that matter: how it was understood, and what is wrong with it."""
    parts, kind = [], ""
    table = [re.match(r"(\S.*?) +(\d+)  #[0-9a-f]{6}", line) for line in lines]
    classes = ", ".join(f"{row[2]} {row[1]}" for row in table if row)
    for line in lines:
        if line.endswith(":") and not line.startswith(" "):
            kind = line
        elif line.startswith("  "):
            if kind in ("cannot be used:", "suspicious:"):
                parts.append(f"{kind} `{line.strip()}`")
        elif line.startswith("mine: layout"):
            layout = line.split("layout ")[1]
            usual = layout == "images/ and masks/, classes from classes.txt"
            parts.insert(0, f"read: {classes}" + f" ({layout})" * (not usual))
        elif line.startswith(("void: ", "more than 8", "of ", "names differ")) or (
            "left out" in line or "have no image" in line
        ):
            parts.append(f"`{line}`")
    return ("exit code 1; " if code else "") + "; ".join(parts)


def page() -> str:
    """The page, as text."""
    lines = [
        "# What people bring, and what happens",
        "",
        "Made by `python -m docs.cases`, and held by a test: each row is a folder of "
        "eight generated leaves, given to",
        "`segnet data folder --data-dir mine`. `train.py` reads, refuses and says the "
        "same. [your-data.md](your-data.md)",
        "explains the flags.",
    ]
    for heading, cases in CASES.items():
        lines += ["", f"## {heading}", "", "| it is | what happens |", "|---|---|"]
        for name, make, flags in cases:
            shown = f"{name}, `{' '.join(flags)}`" if flags else name
            lines.append(f"| {shown} | {outcome(make, flags)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with replacing(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    print(PAGE)
