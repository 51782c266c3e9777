"""How large, fast and equal is every exported form of a model? The parity reports.

python -m benchmarks.on_device --models runs/synthetic-segnet --split val:20
python -m benchmarks.on_device --models saved_models/segnet_lite_camvid \
    --data-dir CamVid

`export.py` exports each model in every form and compares it with Keras, on images of
the data set that the model was trained on; int8 takes its ranges from a hundred images
of the training split. Reports go to benchmarks/results/on_device/<model>-<form>.json,
and a table of all reports there to on_device.md beside it. A file that fails its bound
is in the table, too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.errors import UserError
from segnet_tf.export.quantization import CALIBRATION_IMAGES
from segnet_tf.files import replacing, write_json
from segnet_tf.inference.model_file import find_model, read_labels

EXPORT = Path(__file__).parent.parent / "export.py"
RESULTS = Path("benchmarks/results/on_device")
HEADER = """Every form against the same Keras model at 384x480: medians of 15 runs, in
turns. SegNet and SegNet-Basic were trained for minutes on generated scenes, since
random weights prove nothing. segnet_lite1 is the shipped model, measured on a faster
machine (with 8-bit dot products) than the others; segnet_lite was shipped before.

    python train.py --model segnet --train-split train:400 --val-split val:20 \\
        --crop 96x128 --zoom 0.7-1.2 --batch-size 4 --epochs 2 --learning-rate 1e-3
    python train.py --model segnet_basic --train-split train:400 --val-split val:20 \\
        --crop 128x176 --zoom 0.7-1.2 --batch-size 4 --epochs 3
    python -m benchmarks.on_device --models runs/synthetic-segnet --split val:20
    python -m benchmarks.on_device --models runs/synthetic-segnet_basic --split val:20
    python -m benchmarks.on_device --models saved_models/segnet_lite_camvid \\
        --data-dir CamVid

"""
FORMS = {
    "float32": ["--quantize", "none"],
    "float16": ["--quantize", "float16"],
    "dynamic": ["--quantize", "dynamic"],
    "int8": ["--quantize", "int8"],
    "onnx": ["--format", "onnx"],
}
COLUMNS = {
    "model": lambda r: f"{r['model']} ({r['split']})",
    "form": lambda r: r["form"],
    "MB": lambda r: f"{r['bytes'] / 1e6:.1f}",
    "ms": lambda r: f"{r['ms']:.0f}",
    "Keras ms": lambda r: f"{r['keras_ms']:.0f}",
    "times as fast": lambda r: f"{r['speedup']:.2f}",
    "XNNPACK nodes": lambda r: (
        f"{r['delegated_nodes']} of {r['nodes']}, {r['delegated_pieces']} piece(s)"
        if "nodes" in r
        else "-"
    ),
    "peak MiB": lambda r: f"{r['peak_mib']:.0f}" if "peak_mib" in r else "-",
    "labels equal": lambda r: f"{r['label_agreement']:.4%}",
    "99.9 % of pixels differ by at most": lambda r: f"{r['typical_difference']:.1e}",
    "largest": lambda r: f"{r['largest_difference']:.1e}",
    "mIoU, Keras": lambda r: "{file:.2%}, {keras:.2%}".format(**r["mean_iou"]),
    "parity": lambda r: {True: "passed", False: "failed", None: "-"}[r["passed"]],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="+", required=True, help="runs or .keras files"
    )
    parser.add_argument("--data-dir", help="folder of the models' data set")
    parser.add_argument("--split", default="val", help="to compare mIoU on [val]")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--size", default="384x480", help="of a .tflite file [384x480]")
    parser.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        help=f"folder of the reports [{RESULTS}]",
    )
    arguments = parser.parse_args()
    for model in arguments.models:
        source = find_model(model, forms=("model.keras",))
        with tempfile.TemporaryDirectory() as folder:
            for form in arguments.forms:
                report = exported(source, form, Path(folder), arguments)
                name = f"{report['model']}-{form}.json"
                write_json(arguments.results / name, report)
                write_table(arguments.results)


def exported(source: Path, form: str, folder: Path, arguments) -> dict:
    """The parity report of one form, with the form's name and the file's bytes."""
    dataset = read_labels(source).name
    output = folder / f"model_{form}{'.onnx' if form == 'onnx' else '.tflite'}"
    command = ["--model", source, "--output", output, "--dataset", dataset]
    command += ["--split", arguments.split, *FORMS[form]]
    if arguments.data_dir:
        command += ["--data-dir", arguments.data_dir]
    if form != "onnx":
        command += ["--size", arguments.size]
    if form == "int8":
        command += ["--calibration", calibration(dataset, arguments.data_dir, folder)]
    done = subprocess.run([sys.executable, EXPORT, *map(str, command)])
    # A file that fails its bound, and its report, are called <output>.rejected.
    found = [path for path in folder.glob(f"{output.name}*.json")]
    if not found:
        raise UserError(f"export.py ended with {done.returncode} and left no report")
    file = found[0].with_suffix("")
    report = json.loads(found[0].read_text())
    return {"form": form, "bytes": file.stat().st_size, **report}


def calibration(dataset: str, data_dir: str | None, folder: Path) -> Path:
    """A folder with images of the training split."""
    split = datasets.load(dataset, "train", data_dir)
    images = folder / "calibration"
    images.mkdir()
    for place in range(CALIBRATION_IMAGES):
        image, _ = split.read(place * len(split) // CALIBRATION_IMAGES)
        Image.fromarray(image).save(images / f"{place:03d}.png")
    return images


def write_table(results: Path) -> None:
    """Writes and prints one line per report of a folder."""
    reports = [json.loads(path.read_text()) for path in results.glob("*.json")]
    reports.sort(key=lambda r: (r["model"], list(FORMS).index(r["form"])))
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    rows += [[column(report) for column in COLUMNS.values()] for report in reports]
    text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    print(text)
    with replacing(results.with_suffix(".md")) as temporary:
        temporary.write_text(HEADER + text)


if __name__ == "__main__":
    cli.run(main, "benchmarks.on_device")
