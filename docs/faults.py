"""Tries what can go wrong around the package, and writes docs/reliability.md.

python -m docs.faults            # both tables, three minutes
python -m docs.faults --quick    # without what needs TensorFlow; writes nothing
"""

import argparse
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from docs.leaves import write_leaves
from segnet_tf.console import cli
from segnet_tf.datasets.annotations import Coco, draw_labelme, labelme_classes
from segnet_tf.datasets.class_file import read_classes
from segnet_tf.datasets.dataset import listed_lines
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.masks import read_mask
from segnet_tf.errors import UserError
from segnet_tf.files import FolderLock, replacing
from segnet_tf.inference.model_file import SHIPPED_MODELS, load_model, read_labels
from segnet_tf.inference.tflite_metadata import read_metadata

__all__ = ["FAULTS", "FUZZ", "fuzzed", "outcome", "page"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
SHIPPED = SHIPPED_MODELS / "segnet_lite_synthetic"


# --- faults: what is done, and what a command says -----------------------------------


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: what it is.
        make: prepares the current folder and gives the words after `segnet`.
        variables: of the environment; "" removes one.
        file_limit: no file can grow above so many bytes, as on a full disk.
        heavy: whether the command needs TensorFlow.
    """

    name: str
    make: Callable[[], list[str]]
    variables: tuple[tuple[str, str], ...] = ()
    file_limit: int | None = None
    heavy: bool = False


def photo(name: str = "a.png", size: tuple[int, int] = (96, 64)) -> list[str]:
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(name)
    return ["predict", name, "--model", "synthetic"]


def with_bytes(name: str, data: bytes) -> list[str]:
    Path(name).write_bytes(data)
    return ["predict", name, "--model", "synthetic"]


def claiming(width: int, height: int) -> bytes:
    """A PNG whose header says so, and which has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    begin = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    return begin + struct.pack(">I", zlib.crc32(header)) + bytes(4) + b"IDAT" + bytes(4)


def cut_animation() -> list[str]:
    rng = np.random.default_rng(0)
    frames = [
        Image.fromarray(rng.integers(0, 256, (40, 60), np.uint8)) for _ in range(4)
    ]
    frames[0].save("a.tif", save_all=True, append_images=frames[1:])
    data = bytearray(Path("a.tif").read_bytes())
    with Image.open("a.tif") as image:
        image.seek(2)
        [place] = image.tag_v2[273]
        entry = data.find(struct.pack("<HHI", 273, 4, 1), image.tag_v2.offset)
    # The third page's pixels are beyond the end of the file.
    data[entry + 8 : entry + 12] = struct.pack("<I", len(data) - 100)
    assert place and entry > 0
    return with_bytes("a.tif", bytes(data))


def results_alone() -> list[str]:
    photo("a.png")
    os.mkdir("d")
    os.rename("a.png", "d/a_labels.png")
    Path("d/.done.jsonl").write_text('{"files": {"a_labels.png": null}}\n')
    return ["predict", "d", "--model", "synthetic"]


def planar_tiff() -> list[str]:
    import tifffile

    planes = np.zeros((3, 40, 50), np.uint8)
    place = (33550, 12, 3, (1.0, 1.0, 0.0), True)
    tifffile.imwrite(
        "a.tif", planes, photometric="rgb", planarconfig="separate", extratags=[place]
    )
    return ["predict", "a.tif", "--model", "synthetic", "--native"]


def with_model(change: Callable[[bytearray], bytes | bytearray]) -> list[str]:
    data = bytearray((SHIPPED / "model.tflite").read_bytes())
    Path("m.tflite").write_bytes(change(data))
    return [*photo()[:-1], "m.tflite"]


def flipped(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 1
    return data


def with_labels(compression: int = zipfile.ZIP_STORED, **changes) -> list[str]:
    """A model whose labels.json says something else."""
    [labels] = label_json()
    text = json.dumps({**json.loads(labels), **changes}).encode()
    with_labels_of(text, Path("m.tflite"), compression)
    return [*photo()[:-1], "m.tflite"]


def with_labels_of(text: bytes, path: Path, compression=zipfile.ZIP_STORED) -> None:
    """Writes the shipped model with another labels.json."""
    source = SHIPPED / "model.tflite"
    with zipfile.ZipFile(source) as archive:
        end = archive.infolist()[0].header_offset
    path.write_bytes(source.read_bytes()[:end])
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr("labels.json", text)


def folder_check(**changes: str) -> list[str]:
    """The check of a data set in which some files have another text."""
    write_leaves(Path("mine"), 4, 80, 60)
    for name, text in changes.items():
        (Path("mine") / name.replace("__", ".")).write_text(text)
    return ["data", "folder", "--data-dir", "mine"]


def jpeg_mask() -> list[str]:
    words = folder_check()
    for path in Path("mine/masks").iterdir():
        with Image.open(path) as mask:
            mask.convert("L").save(path.with_suffix(".jpg"))
        path.unlink()
    return words


def training() -> list[str]:
    small = "--train-split train:8 --val-split val:2 --epochs 1 --output run"
    return ["train", "--dataset", "synthetic", *small.split()]


def taken() -> list[str]:
    Path("run").mkdir()
    Path("run/notes.txt").write_text("mine")
    return training()


def in_use() -> list[str]:
    """A run's folder that another process has locked."""
    lock = FolderLock(Path("run"))
    lock.acquire()
    HELD.append(lock)
    return training()


HELD: list[FolderLock] = []
"""Kept, since a lock that nobody holds is open."""


def resumed(config: str, checkpoint: bytes = b"") -> list[str]:
    """A run whose folder holds these files, to go on with."""
    folder = Path("run/checkpoint")
    folder.mkdir(parents=True)
    Path("run/config.json").write_text(config)
    if checkpoint:
        (folder / "epoch-00001.keras").write_bytes(checkpoint)
    return [*training(), "--resume"]


FAULTS: dict[str, list[Fault]] = {
    "Around a command": [
        Fault("a notebook's matplotlib", photo, (("MPLBACKEND", "module://inline"),)),
        Fault("no home folder", photo, (("HOME", ""),)),
        Fault("no folder for temporary files", photo, (("TMPDIR", "/nowhere"),)),
        Fault("a terminal of ASCII", lambda: photo("straße.png"),
              (("PYTHONIOENCODING", "ascii"),)),
        Fault("Keras set to another framework", training,
              (("KERAS_BACKEND", "jax"),), heavy=True),
        Fault("a full disk", lambda: photo(size=(640, 480)), file_limit=100_000),
        Fault("a full disk in training", training, file_limit=500_000, heavy=True),
        Fault("an output folder that is taken", taken, heavy=True),
        Fault("a name of 300 letters", lambda: ["predict", "a" * 300 + ".png"]),
        Fault("a link that leads to itself", lambda: (
            os.symlink("a.png", "a.png"), ["predict", "a.png"])[1]),
    ],
    "Pictures": [
        Fault("no such file", lambda: ["predict", "a.png", "--model", "synthetic"]),
        Fault("a text called .png", lambda: with_bytes("a.png", b"hello")),
        Fault("an empty file", lambda: with_bytes("a.png", b"")),
        Fault("a picture that is cut off", lambda: (
            photo(), with_bytes("a.png", Path("a.png").read_bytes()[:-500]))[1]),
        Fault("a folder without pictures", lambda: (
            os.mkdir("d"), ["predict", "d"])[1]),
        Fault("a name with a line break", lambda: ["predict", "a\nb.png"]),
        Fault("an escape sequence in a name", lambda: with_bytes("\x1b[2Ja.png", b"x")),
        Fault("a broken picture among others", lambda: (
            with_bytes("b.png", b"hello"), [*photo(), "b.png"])[1]),
        Fault("a picture that claims 10^10 pixels", lambda: with_bytes(
            "a.png", claiming(10**5, 10**5))),
        Fault("a JPEG that is cut off", lambda: (
            photo("a.jpg"), with_bytes("a.jpg", Path("a.jpg").read_bytes()[:-900]))[1]),
        Fault("an animation whose third frame is cut off", cut_animation),
        Fault("two pictures of one name", lambda: (
            os.mkdir("x"), os.mkdir("y"), photo("x/a.png"),
            [*photo("y/a.png"), "x/a.png"])[-1]),
        Fault("a name too long for the results", lambda: photo("a" * 248 + ".png")),
        Fault("an output folder that is the input", lambda: (
            os.mkdir("d"), photo("d/a.png"),
            ["predict", "d", "--output", "d", "--model", "synthetic"])[-1]),
        Fault("a result on top of an input", lambda: (
            photo("a_labels.png"), [*photo(), "a_labels.png", "--output", "."])[-1]),
        Fault("a file of somebody else under a result's name", lambda: (
            Path("a_labels.png").write_text("mine"), [*photo(), "--output", "."])[-1]),
        Fault("a link in the output folder that leads to an input", lambda: (
            os.makedirs("in/k"), os.mkdir("out"), os.symlink("../in/k", "out/k"),
            photo("in/k/a_labels.png"), photo("in/k/a.png"),
            ["predict", "in", "--output", "out", "--model", "synthetic"])[-1]),
        Fault("a folder of results as input", results_alone),
        Fault("an output folder without a name", lambda: [*photo(), "--output", ""]),
        Fault("a page of somebody else in the output folder", lambda: (
            os.mkdir("web"), Path("web/index.html").write_text("<title>Mine</title>"),
            [*photo(), "--output", "web"])[-1]),
        Fault("an output folder that is a file", lambda: [
            *photo(), "--output", "a.png"]),
        Fault("a record of what is done that is a folder", lambda: (
            os.makedirs("predictions/.done.jsonl"), photo())[-1]),
        Fault("an output of an unknown kind", lambda: [*photo(), "--write", "dreams"]),
        Fault("a text called .mp4", lambda: with_bytes("a.mp4", b"hello")),
        Fault("a TIFF of bands in planes, to be labelled in strips", planar_tiff),
        Fault("half a line in the record of what is done", lambda: (
            os.mkdir("predictions"),
            Path("predictions/.done.jsonl").write_text('{"key": "1'), photo())[-1]),
    ],
    "Models": [
        Fault("no such model", lambda: [*photo()[:-1], "nowhere.tflite"]),
        Fault("one bit of the weights is another", lambda: with_model(flipped)),
        Fault("cut off", lambda: with_model(lambda data: data[:-2000])),
        Fault("another kind of file", lambda: with_model(lambda data: b"PK" + data)),
        Fault("256 classes", lambda: with_labels(
            classes=[str(n) for n in range(256)], colours=[[0, 0, 0]] * 256)),
        Fault("a colour of 999", lambda: with_labels(colours=[[999, 0, 0]] * 11)),
        Fault("a class name with a line break", lambda: with_labels(
            classes=["a\nb", *map(str, range(10))])),
        Fault("another number of classes", lambda: with_labels(
            classes=list("abc"), colours=[[0, 0, 0]] * 3)),
        Fault("labels in a compression that unpacks all at once", lambda: with_labels(
            zipfile.ZIP_BZIP2)),
        Fault("images of 10^6 squared", lambda: with_labels(
            image_size=[10**6, 10**6])),
    ],
    "Training": [
        Fault("another process in the run's folder", in_use, heavy=True),
        Fault("--resume, and config.json is no JSON", lambda: resumed("{"), heavy=True),
        Fault("--resume, and the batch is another", lambda: resumed(
            '{"optimization": {"batch_size": 4}}'), heavy=True),
        Fault("--resume, and the only checkpoint is damaged", lambda: resumed(
            '{"data": {"train_split": "train:8", "val_split": "val:2"}, '
            '"optimization": {"epochs": 1}, "run": {"validate_every": 1}}',
            b"PK"), heavy=True),
        Fault("--workers without --index", lambda: [
            *training(), "--workers", "a:1,b:2"]),
        Fault("a worker's address without a port", lambda: [
            *training(), "--workers", "a,b", "--index", "0"]),
        Fault("a TF_CONFIG with parameter servers", training, ((
            "TF_CONFIG", '{"cluster": {"ps": ["a:1"], "worker": ["b:1", "c:1"]}, '
            '"task": {"type": "ps", "index": 0}}'),)),
        Fault("more devices than there are", lambda: [
            *training(), "--devices", "64"], heavy=True),
    ],
    "Data": [
        Fault("no such folder", lambda: ["data", "folder", "--data-dir", "nowhere"]),
        Fault("a list of classes with 50,000 blanks", lambda: folder_check(
            classes__txt="a\n" + " " * 50_000 + "b\n")),
        Fault("an escape sequence in a name", lambda: folder_check(
            classes__txt="a\x1b[2J\nb\nc\n")),
        Fault("a mask as JPEG", lambda: [*jpeg_mask(), "--write", "out"]),
        Fault("pictures to be written among the masks", lambda: [
            *folder_check(), "--write", "mine/masks"]),
        Fault("a mix that is nested 100,000 deep", lambda: (
            Path("mix.json").write_text("[" * 100_000),
            ["data", "mix", "--data-dir", "mix.json"])[1]),
        Fault("a split's name of 5,000 letters", lambda: [
            "data", "folder", "--write", "out", "--split", "x" * 5000,
            *folder_check()[2:]]),
    ],
}  # fmt: skip


def outcome(fault: Fault) -> str:
    """What the command says, and its exit code."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict(fault.variables)}
    environment = {key: value for key, value in environment.items() if value}

    def limit() -> None:
        import resource

        if fault.file_limit:
            size = fault.file_limit
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        words = fault.make()
        done = subprocess.run(
            [sys.executable, "-m", "segnet_tf", *words],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            preexec_fn=limit,
        )
        halves = [path for path in Path().rglob("*") if ".writing-" in str(path)]
    if "Traceback" in done.stderr or halves:
        return f"**defect**: {done.stderr[-300:]}"
    if done.returncode == 0:
        return "works"
    lines = [line for line in done.stderr.splitlines() if "error: " in line]
    said = "; ".join(done.stderr.splitlines())
    said = lines[-1].split("error: ", 1)[1] if lines else said
    said = (
        said.replace(str(ROOT), "")
        .replace(f"{os.path.realpath(folder)}/", "")
        .replace("|", "\\|")
    )
    return f"`{said[:200]}`" + f", exit code {done.returncode}"


# --- files that are mutated ----------------------------------------------------------


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, cut off, doubled, taken out or put in."""
    place, kind = int(rng.integers(max(len(data), 1))), rng.integers(5)
    length = int(rng.integers(1, 40))
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + data[place + length :]
    if kind == 2:
        return data[:place] + data[place : place + length] * 2 + data[place:]
    if kind == 3:
        noise = rng.integers(0, 256, length, np.uint8).tobytes()
        return data[:place] + noise + data[place:]
    changed = bytearray(data)
    for spot in rng.integers(0, max(len(data), 1), length):
        changed[spot : spot + 1] = bytes([rng.integers(256)])
    return bytes(changed)


STRANGE = (
    None, True, -1, 0, 1.5, 2**70, 1e300, float("nan"), float("inf"), "", "x" * 1000,
    "\x1b[2J\n", [], {}, [[]], {"a": 1}, "void", "../x",
)  # fmt: skip
"""Values that JSON may hold where others are meant."""


def strange(data: bytes, rng: np.random.Generator) -> bytes:
    """Sound JSON, in which one to three values are others, gone, or there twice."""
    content = json.loads(data)
    for _ in range(rng.integers(1, 4)):
        places = list(nodes(content))
        if not places:
            break
        holder, key = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(int(rng.integers(len(holder) + 1)), deepcopy(holder[key]))
        else:
            holder[key] = deepcopy(STRANGE[rng.integers(len(STRANGE))])
    return json.dumps(content).encode()


def nodes(value) -> Iterator[tuple]:
    """Every place in a value: what holds it, and its key or index there."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from nodes(inner)


def encoded(image: Image.Image, form: str) -> bytes:
    memory = io.BytesIO()
    image.save(memory, form)
    return memory.getvalue()


def pictures() -> list[bytes]:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (24, 32, 3), np.uint8)
    colour, grey = Image.fromarray(pixels), Image.fromarray(pixels[..., 0])
    forms = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
    return [encoded(colour, form) for form in forms] + [encoded(grey, "PNG")]


CLASS_LISTS = [
    b"0 road 1 2 3\n1 sky 4 5 6\nvoid 0 0 0\n",
    b"name,r,g,b\nroad,1,2,3\nsky,4,5,6\n",
    b"# label:color_rgb:parts:actions\nroad:1,2,3::\n",
    "straße\nhimmel # blau\n".encode(),
]


@dataclass(frozen=True)
class Fuzz:
    """Files of one kind that are mutated and read.

    Attributes:
        name: of the kind.
        seeds: () -> sound files.
        suffix: of the file that is written.
        read: path -> anything; it may raise UserError.
        count: of mutated files.
        heavy: whether it needs TensorFlow.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    suffix: str
    read: Callable[[Path], object]
    count: int
    heavy: bool = False
    change: Callable[[bytes, np.random.Generator], bytes] = mutated


def label_json() -> list[bytes]:
    with zipfile.ZipFile(SHIPPED / "model.tflite") as archive:
        labels = json.loads(archive.read("labels.json"))
    labels.pop("crc32", None)
    return [json.dumps(labels).encode()]


def read_label_json(path: Path) -> None:
    """Reads a `.tflite` file with these labels, as if they stood at `path`."""
    with_labels_of(path.read_bytes(), path.with_suffix(".tflite"))
    try:
        read_metadata(path.with_suffix(".tflite"))
    except UserError as error:
        raise UserError(str(error).replace(".tflite", path.suffix, 1)) from None


def labelme_json() -> list[bytes]:
    shapes = [
        {"label": "leaf", "shape_type": "polygon", "points": [[1, 1], [9, 1], [5, 9]]},
        {"label": "spot", "shape_type": "circle", "points": [[4, 4], [6, 4]]},
        {"label": "stem", "shape_type": "rectangle", "points": [[2, 2], [8, 3]]},
    ]
    content = {"imageWidth": 16, "imageHeight": 12, "shapes": shapes}
    return [json.dumps(content).encode()]


def coco_json() -> list[bytes]:
    polygon = {"id": 1, "image_id": 7, "category_id": 3, "area": 9.0, "iscrowd": 0,
               "segmentation": [[1, 1, 9, 1, 5, 9]]}  # fmt: skip
    runs = {**polygon, "id": 2, "category_id": 4,
            "segmentation": {"size": [12, 16], "counts": [5, 20, 167]}}  # fmt: skip
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 16, "height": 12}],
        "categories": [{"id": 3, "name": "leaf"}, {"id": 4, "name": "spot"}],
        "annotations": [polygon, runs],
    }
    return [json.dumps(content).encode()]


def read_coco(path: Path) -> None:
    coco = Coco(path)
    for name in coco.images:
        coco.ids(name)


def shipped(name: str) -> list[bytes]:
    return [(SHIPPED / name).read_bytes()]


def small_model() -> list[bytes]:
    from segnet_tf.datasets.synthetic import INFO
    from segnet_tf.inference.model_file import save_model
    from segnet_tf.models import SegNetBasic

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.keras"
        save_model(SegNetBasic(filters=4), path, INFO)
        return [path.read_bytes()]


def run_folder() -> list[bytes]:
    """A zip archive of the folder of a run after an epoch."""
    import keras

    from segnet_tf.training.config import TrainConfig
    from segnet_tf.training.run_folder import Run

    images = keras.Input((2,))
    model = keras.Model(images, keras.layers.Dense(1)(images))
    model.compile("sgd", "mse")
    config = TrainConfig.of()
    memory = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        run = Run.new(config, folder, 9)
        run.begin(config)
        run.finish_epoch(model, {"epoch": 1, "loss": 1.0, "val_mean_iou": 0.7})
        run.close()
        with zipfile.ZipFile(memory, "w") as archive:
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
    return [memory.getvalue()]


def one_file_mutated(data: bytes, rng: np.random.Generator) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = sorted(files)[rng.integers(len(files))]
    files[name] = mutated(files[name], rng)
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


def resume(path: Path) -> None:
    """Resumes a run whose folder is unpacked beside its archive."""
    from segnet_tf.training.config import TrainConfig
    from segnet_tf.training.run_folder import Run

    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        archive.extractall(folder)
        try:
            run = Run.resumed(TrainConfig.of(), folder, 9)
            run.checkpointed_model()
            run.close()
        except UserError as error:
            raise UserError(str(error).replace(folder, str(path), 1)) from None


FUZZ = [
    Fuzz("pictures", pictures, ".png", read_image, 2000),
    Fuzz("masks", pictures, ".png", read_mask, 2000),
    Fuzz("lists of classes", lambda: CLASS_LISTS, ".txt", read_classes, 2000),
    Fuzz("lists of names", lambda: [b"a.png\nb b.png\n"], ".txt", listed_lines, 1000),
    Fuzz("`.tflite` files", lambda: shipped("model.tflite"), ".tflite",
         read_metadata, 150),
    Fuzz("labels of `.keras` files", lambda: shipped("model.keras"), ".keras",
         read_labels, 150),
    Fuzz("values in labels.json", label_json, ".json", read_label_json, 300,
         change=strange),
    Fuzz("values in labelme's files", labelme_json, ".json",
         lambda path: draw_labelme(path, labelme_classes([path])), 1000,
         change=strange),
    Fuzz("values in COCO's files", coco_json, ".json", read_coco, 1000,
         change=strange),
    Fuzz("`.keras` files", small_model, ".keras", load_model, 100, heavy=True),
    Fuzz("folders of runs", run_folder, ".zip", resume, 200, heavy=True,
         change=one_file_mutated),
]  # fmt: skip


def fuzzed(fuzz: Fuzz) -> Counter:
    """How many mutated files were read, and how many were refused in one line."""
    rng, seeds, found = np.random.default_rng(fuzz.count), fuzz.seeds(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{fuzz.suffix}"
        for number in range(fuzz.count):
            path.write_bytes(fuzz.change(seeds[number % len(seeds)], rng))
            try:
                fuzz.read(path)
                found["read"] += 1
            except UserError as error:
                clean = str(path) in str(error) and "\n" not in str(error)
                found["refused" if clean else "unclear"] += 1
    return found


# --- the page ------------------------------------------------------------------------


def fault_rows(heavy: bool) -> Iterator[str]:
    """The lines of the table of faults, without those that need TensorFlow, or all."""
    for heading, faults in FAULTS.items():
        yield f"\n### {heading}\n\n| fault | what happens |\n|---|---|"
        for fault in faults:
            if heavy or not fault.heavy:
                yield f"| {fault.name} | {outcome(fault)} |"


def fuzz_row(fuzz: Fuzz) -> str:
    found = fuzzed(fuzz)
    return (
        f"| {fuzz.name} | {fuzz.count:,} | {found['read']:,} | {found['refused']:,} | "
        f"{found['unclear']:,} |"
    )


BEGIN = """# What goes wrong, and what happens then

Made by `python -m docs.faults`, and held by tests. The promise: bad input gets one
clear line and exit code 2, an unexpected error keeps its traceback, and nothing is lost
or half-written.

## Faults

Each row is a command, run in a folder of its own. None left a half-written file."""

MIDDLE = """
## Mutated files

Bytes changed, cut off, doubled, taken out or put in; of JSON files also values that are
others, gone, or there twice. A file is read if what changed is not part of what is
read. Labels never come from other weights than those that were
written: a checksum tells.

| file | tried | read | refused in one line | anything else |
|---|---|---|---|---|"""

END = """
LiteRT itself can crash, and take the process with it, on a hostile file whose checksum
is right; damage does not come so far. A SavedModel runs whatever operations are in it.
So open files of either kind only from sources that you trust, or in a process that may
crash. A `.keras` file runs no code, but its layers take the memory that they claim
before their weights are compared.
"""


def page() -> str:
    """The page, as text. It takes minutes."""
    rows = "\n".join(fault_rows(heavy=True))
    return "\n".join([BEGIN, rows, MIDDLE, *map(fuzz_row, FUZZ), END])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="only print the light part"
    )
    if parser.parse_args().quick:
        print(*fault_rows(heavy=False), sep="\n")
        print(*(fuzz_row(fuzz) for fuzz in FUZZ if not fuzz.heavy), sep="\n")
        return
    with replacing(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    cli.run(main)
