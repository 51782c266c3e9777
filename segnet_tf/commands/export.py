"""Writes a model for other programs, compares the export with it, and reports.

    segnet export --model runs/camvid-segnet_lite
    segnet export --quantize int8 --calibration photos --dataset camvid
    segnet export --format savedmodel --output models/streets/1
    segnet export --describe models/model.tflite

An export that differs too much from its model is kept as `<output>.rejected`, and the
command exits with 1.
"""

import argparse
import math
import sys
from functools import partial
from pathlib import Path

from segnet_tf.commands.evaluate import check_classes, reading_of
from segnet_tf.console import cli
from segnet_tf.console.options import add_flags
from segnet_tf.console.quiet import import_tensorflow
from segnet_tf.datasets import registry
from segnet_tf.datasets.dataset import DatasetInfo, Split
from segnet_tf.datasets.reading import Reading
from segnet_tf.errors import UserError
from segnet_tf.export.formats import CONSUMERS, FORMATS, PRECISIONS, Format
from segnet_tf.export.quantization import (
    calibration_files,
    calibration_images,
    check_calibration,
)
from segnet_tf.inference.model_file import (
    SHIPPED_MODELS,
    find_model,
    load_model,
    read_labels,
    shipped_names,
)
from segnet_tf.inference.tflite_metadata import OUTPUTS
from segnet_tf.inference.tiling import check_size

__all__ = ["main"]

INPUTS = ("uint8", "float32")

MOST_BY_DEFAULT = 10**6
"""Pixels of an export whose size nobody gave; --size may ask for more."""

TRIAL_SIZE = (384, 480)
"""Height and width to compare on, if the model does not know its images' size."""


def main(arguments: list[str] | None = None) -> None:
    """Reads the flags, then exports a model or describes a `.tflite` file.

    Args:
        arguments: the flags; None: those of the command line.
    """
    found = _parser().parse_args(arguments)
    if found.describe:
        from segnet_tf.export.describe import describe

        print(describe(found.describe))
    elif not export(found):
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("export", __doc__)
    add = parser.add_argument
    add(
        "--model",
        help=f"run folder, .keras file, or {', '.join(shipped_names())} (shipped) "
        "[camvid, else the newest run]",
    )
    helped = "; ".join(f"{name}: {form.help}" for name, form in FORMATS.items())
    add("--format", metavar="NAME", default="tflite", help=f"{helped} [tflite]")
    add(
        "--output",
        help="file, or folder of a SavedModel's version [beside the model; the current "
        "folder for a shipped model]",
    )
    add(
        "--size",
        type=cli.parsed_size,
        metavar="HxW",
        help="tflite: height and width of the input [the size of the training images, "
        "rounded up]",
    )
    helped = "; ".join(f"{name}: {one.help}" for name, one in PRECISIONS.items())
    add("--quantize", metavar="NAME", help=f"tflite: precision; {helped} [none]")
    add(
        "--result",
        metavar="NAME",
        help=f"tflite: what comes out: {', '.join(OUTPUTS)} [logits]",
    )
    add(
        "--input",
        metavar="NAME",
        help=f"tflite, savedmodel: type of the input: {', '.join(INPUTS)} [uint8]",
    )
    add(
        "--calibration",
        metavar="FOLDER",
        help="int8: folder of 100 training images or more",
    )
    helped = "; ".join(f"{name}: {one}" for name, one in CONSUMERS.items())
    add("--for", dest="consumer", metavar="NAME", help=f"tflite: reader; {helped}")
    add("--dataset", metavar="NAME", help="data set to compare mIoU on [none]")
    add("--data-dir", metavar="FOLDER", help="folder of the data set")
    add("--split", default="val", help="split to compare mIoU on [val]")
    add(
        "--describe",
        metavar="FILE",
        help="only print the tensors, classes and operators of a .tflite file",
    )
    add_flags(parser.add_argument_group("folder"), Reading)
    cli.add_renamed(parser, {"--height": "--size HxW", "--width": "--size HxW"})
    return parser


def export(found: argparse.Namespace) -> bool:
    """Exports a model, compares both and prints the report.

    Args:
        found: the flags.

    Returns:
        Whether the export may keep its name.

    Raises:
        UserError: if options do not go together, or if a model, a size or a data set
            does not fit.
    """
    # Mistakes are found before TensorFlow is imported, which takes seconds.
    form = cli.chosen("--format", found.format, FORMATS)
    _check_options(found, form)
    source = find_model(found.model, forms=("model.keras",))
    output = output_path(found.format, found.output, found.quantize, source)
    info = read_labels(source)
    if info is None:
        raise UserError(
            f"{source}: does not name its classes: write it with segnet_tf.save_model"
        )
    split = _split(found, source, info)
    files = calibration_files(found.calibration) if found.calibration else []
    check_calibration(found.quantize, len(files))
    if found.size:
        check_size(*found.size)
    elif info.image_size is None and "size" in form.takes:
        raise UserError(
            f"{source}: does not say the size of its training images: give --size HxW"
        )

    import_tensorflow()
    from segnet_tf.export import parity
    from segnet_tf.inference.receptive_field import size_multiple

    model = load_model(source)
    size = found.size or default_size(
        info.image_size or TRIAL_SIZE, size_multiple(model)
    )
    calibration = calibration_images(files, size, info.channels, info.value_range)
    options = {
        "size": size,
        "quantize": found.quantize or "none",
        "result": found.result or "logits",
        "input": found.input or "uint8",
        "calibration": calibration,
        "consumer": found.consumer,
    }
    write = partial(
        form.writer(), model, info=info, **{name: options[name] for name in form.takes}
    )
    images = parity.trial_images(size, split, calibration, info.channels)

    def measured(path: Path) -> dict:
        runtime = form.opener()(path, None)
        about = parity.tflite_report(path) if found.format == "tflite" else None
        return parity.measure(model, runtime, options["quantize"], images, split, about)

    sized = " at {}x{}".format(*size) if "size" in form.takes else ""
    print(f"{source} -> {output}{sized}")
    report = parity.accept(output, write, measured)
    print(parity.summary(report))
    return report["passed"] is not False


def _check_options(found: argparse.Namespace, form: Format) -> None:
    """Refuses an option that would have no effect, and an unknown value."""
    for option in ("size", "quantize", "result", "input", "calibration", "consumer"):
        if getattr(found, option) not in (None, "none") and option not in form.takes:
            takers = [name for name, one in FORMATS.items() if option in one.takes]
            flag = {"consumer": "for"}.get(option, option)
            raise UserError(f"--{flag} is for --format {' and '.join(takers)}")
    for flag, value, table in (
        ("quantize", found.quantize, PRECISIONS),
        ("result", found.result, OUTPUTS),
        ("input", found.input, INPUTS),
        ("for", found.consumer, CONSUMERS),
    ):
        if value is not None and value not in table:
            raise UserError(f"--{flag}: no {value!r}: choose from {', '.join(table)}")
    if found.consumer == "mediapipe" and found.result not in (None, "logits"):
        raise UserError(
            f"--for {found.consumer}: reads logits, not {found.result}: leave --result "
            "out"
        )
    if found.calibration and found.quantize != "int8":
        raise UserError("--calibration is for --quantize int8")


def _split(found: argparse.Namespace, source: Path, info: DatasetInfo) -> Split | None:
    """The split to compare mIoU on, or None. Its classes must be the model's."""
    if not found.dataset:
        return None
    reading = reading_of(found, found.dataset, info)
    split = registry.load(
        found.dataset, found.split, found.data_dir, info.channels, reading
    )
    check_classes(source, info, split.info)
    return split


def default_size(trained: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The size of the training images, rounded up to multiples.

    Of photos, as many pixels in their proportion as `MOST_BY_DEFAULT`: a file of their
    own size would take gigabytes, and larger images are run in tiles anyway.

    >>> default_size((360, 480), 16)
    (368, 480)
    >>> default_size((3000, 4000), 16)
    (880, 1168)
    """
    share = min(1.0, (MOST_BY_DEFAULT / (trained[0] * trained[1])) ** 0.5)
    height, width = (
        max(1, math.ceil(share * side / multiple)) * multiple for side in trained
    )
    return height, width


def output_path(
    form: str, output: str | None, quantize: str | None, source: Path
) -> Path:
    """The path of an export: `output`, or else a name beside the model.

    An export of a shipped model goes into the current folder, so that it does not
    replace a shipped file.

    Args:
        form: a key of `segnet_tf.export.formats.FORMATS`.
        output: the path that was asked for, if any.
        quantize: a key of `segnet_tf.export.formats.PRECISIONS`; it becomes part of
            the name.
        source: the model's `.keras` file.

    Raises:
        UserError: if nothing can be written there, or the name does not fit the format.
    """
    if source.resolve().parent.parent == SHIPPED_MODELS.resolve():
        source = Path(source.name)
    suffix = FORMATS[form].suffix
    if output is None and suffix:
        kind = "float32" if quantize in (None, "none") else quantize
        return source.with_name(f"{source.stem}_{kind}{suffix}")
    path = Path(output or source.with_name(form) / "1")
    if suffix and path.suffix != suffix:
        raise UserError(f"{path}: the name of a {form} file must end in {suffix}")
    if suffix and path.is_dir():
        raise UserError(
            f"{path}: is a folder, but the export is a file: choose another --output"
        )
    if not suffix and not path.name.isdigit():
        raise UserError(
            f"{path}: servers want a version as the folder's name, such as {path / '1'}"
        )
    if not suffix and path.exists():
        raise UserError(f"{path}: already there: choose a higher version")
    return path
