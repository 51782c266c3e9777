"""Writes a model for other programs, compares it with Keras, and reports.

python export.py --model runs/camvid-segnet_lite --height 384 --width 480
python export.py --quantize int8 --calibration photos --dataset camvid --data-dir CamVid
python export.py --format savedmodel --output saved_models/streets/1
python export.py --describe saved_models/streets/model.tflite

An export that is not equal enough to its model is kept as <output>.rejected, and the
command exits with 1.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import segnet_tf
from segnet_tf import cli
from segnet_tf.errors import UserError
from segnet_tf.quiet import import_tensorflow


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--version", action="version", version=segnet_tf.__version__)
    add("--model", help="run folder or .keras file [the shipped one, or the newest]")
    add("--format", choices=("tflite", "savedmodel", "onnx"), default="tflite")
    add(
        "--output",
        help="file, or folder of a SavedModel's version [beside the model, "
        "of a shipped one in this folder]",
    )
    add("--height", type=int, default=384, help="of a .tflite file's input [384]")
    add("--width", type=int, default=480, help="of a .tflite file's input [480]")
    add("--quantize", choices=("none", "float16", "dynamic", "int8"), default="none")
    add(
        "--result",
        choices=("logits", "probabilities", "labels"),
        help="of a .tflite file [logits]",
    )
    add("--input", choices=("uint8", "float32"), help="its type [uint8]")
    add("--calibration", help="int8: folder of 100 training images or more")
    add("--dataset", help="data set to compare mIoU on")
    add("--data-dir", help="folder of the data set")
    add("--split", default="val", help="split to compare mIoU on [val]")
    add("--describe", metavar="F", help="only print the tensors of a .tflite file")
    arguments = parser.parse_args()
    if arguments.describe:
        from segnet_tf.inspection import describe

        print(describe(arguments.describe))
    elif not export(arguments):
        sys.exit(1)


def export(arguments: argparse.Namespace) -> bool:
    """Exports and measures; whether the result may keep its name."""
    from segnet_tf import datasets
    from segnet_tf.calibration import calibration_images, check_calibration
    from segnet_tf.inference import find_model
    from segnet_tf.saving import load_model, read_labels
    from segnet_tf.tiling import check_size

    # What a user can get wrong comes first: it should not wait for TensorFlow.
    refuse_what_has_no_effect(arguments)
    source = find_model(arguments.model, forms=("model.keras",))
    output = output_path(arguments, source)
    info = read_labels(source)
    if info is None:
        raise UserError(
            f"{source}: does not name its classes: write it with segnet_tf.save_model"
        )
    split = None
    if arguments.dataset:
        split = datasets.load(
            arguments.dataset, arguments.split, arguments.data_dir, info.channels
        )
    size = (arguments.height, arguments.width)
    check_size(*size)
    calibration = []
    if arguments.calibration:
        calibration = calibration_images(arguments.calibration, size, info.channels)
    check_calibration(arguments.quantize, calibration)

    import_tensorflow()
    from segnet_tf import export as exporting
    from segnet_tf import parity
    from segnet_tf.programs import open_program

    model = load_model(source)
    write = {
        "tflite": partial(
            exporting.export_tflite,
            size=size,
            quantize=arguments.quantize,
            output=arguments.result or "logits",
            input_dtype=arguments.input or "uint8",
            calibration=calibration,
        ),
        "savedmodel": partial(
            exporting.export_savedmodel, input_dtype=arguments.input or "uint8"
        ),
        "onnx": exporting.export_onnx,
    }[arguments.format]
    images = parity.trial_images(size, split, calibration, info.channels)

    def measured(path):
        program = open_program(path, form=arguments.format)
        about = parity.tflite_facts(path) if arguments.format == "tflite" else None
        return parity.measure(model, program, arguments.quantize, images, split, about)

    print(f"{source} -> {output}")
    report = parity.accept(output, partial(write, model, info=info), measured)
    print(parity.summary(report))
    return report["passed"] is not False


def refuse_what_has_no_effect(arguments: argparse.Namespace) -> None:
    """An option that is left out of account would promise what is not there."""
    form = arguments.format
    for option, given, forms in (
        ("--quantize", arguments.quantize != "none", ("tflite",)),
        ("--result", arguments.result, ("tflite",)),
        ("--input", arguments.input, ("tflite", "savedmodel")),
    ):
        if given and form not in forms:
            raise UserError(f"{option} is for --format {' and '.join(forms)}")
    if arguments.calibration and arguments.quantize != "int8":
        raise UserError("--calibration is for --quantize int8")


def output_path(arguments: argparse.Namespace, source: Path) -> Path:
    """Where the export goes: what was asked for, or a name beside the model.

    Models that come along are not to be written over by the way: theirs go here.
    """
    from segnet_tf.inference import SHIPPED_MODEL

    if source.resolve().parent.parent == SHIPPED_MODEL.parent:
        source = Path(source.name)
    suffixes = {"tflite": ".tflite", "onnx": ".onnx", "savedmodel": ""}
    suffix = suffixes[arguments.format]
    if arguments.output is None and suffix:
        kind = "float32" if arguments.quantize == "none" else arguments.quantize
        return source.with_name(f"{source.stem}_{kind}{suffix}")
    path = Path(arguments.output or source.with_name("savedmodel") / "1")
    if suffix and path.suffix != suffix:
        raise UserError(f"{path}: the name of such a file must end in {suffix}")
    if suffix and path.is_dir():
        raise UserError(f"{path}: is a folder, the export is a file: choose another")
    if not suffix and not path.name.isdigit():
        raise UserError(f"{path}: servers want a version there, such as {path / '1'}")
    if not suffix and path.exists():
        raise UserError(f"{path}: already there: choose a higher version")
    return path


if __name__ == "__main__":
    cli.run(main)
