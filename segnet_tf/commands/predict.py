"""Labels pictures: writes `<stem>_labels.png` and an overlay for each of them.

    segnet predict street.jpg
    segnet predict photos --model runs/camvid-segnet_lite --output labelled
    find . -name "*.jpg" | segnet predict -
    segnet predict street.png --model streets.tflite --threads 4   # no TensorFlow
    segnet predict street.png --model runs/camvid-bayesian_segnet_basic --uncertainty

A folder is searched with all folders in it, and the results have the same tree; hidden
files are left out, and so are results of earlier runs. Animations and TIFF files of
several pages are labelled frame by frame. Videos, and a camera such as /dev/video0,
become videos of overlays; the sound stays. If two results would have the same name,
both get their folder's name in front. A file that cannot be read is reported, and the
others are done. The same command again does what is left. `classes.csv` has the
classes' shares, and `index.html` shows all results. Files that this command has not
written are never written over, nor results that were changed since, with or without
--overwrite.

Images may have any size. An image that is much larger or smaller than the training
images is scaled to as many pixels as they have, and its labels are scaled back. With
--native it runs as it is; that is right for large scenes if the model was trained on
parts of such scenes. An image of more than 2 megapixels (SegNet and SegNetBasic: 1)
then runs in tiles, which overlap so far that the labels are those of the whole image.
With --samples or --uncertainty, smaller images run in tiles, too, and each tile draws
its own dropout masks.

Exit codes: 0; 1 if some of several files could not be labelled; 2 for wrong input.
"""

import argparse
import os
import sys
from pathlib import Path

from segnet_tf.console import cli
from segnet_tf.datasets.reading import checked_range
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import shipped_names

__all__ = ["main", "predict_files"]

DEFAULT_SAMPLES = 20


def main(arguments: list[str] | None = None) -> None:
    """Reads the flags and labels the pictures.

    Args:
        arguments: the flags; None: those of the command line.

    Raises:
        SystemExit: with code 1, if some of several files could not be labelled.
        UserError: if a flag has a wrong value; see `predict_files` for others.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    found = _parser().parse_intermixed_args(_with_dashed_files(arguments))
    if not found.output:
        raise UserError("--output: is empty: name a folder")
    if found.max_pixels is not None:
        from segnet_tf.datasets.opening import allow_pixels

        allow_pixels(found.max_pixels)
    samples = found.samples
    if samples is None and found.uncertainty:
        samples = DEFAULT_SAMPLES
    from segnet_tf.inference.augmented import VIEWS
    from segnet_tf.inference.many.results import parsed_names, parsed_outputs

    faults = predict_files(
        found.images,
        found.model,
        Path(found.output),
        threads=found.threads,
        overwrite=found.overwrite,
        native=found.native,
        samples=samples,
        uncertainty=found.uncertainty,
        value_range=None if found.range is None else checked_range(found.range),
        views=parsed_names("--tta", found.tta, VIEWS) if found.tta else (),
        outputs=parsed_outputs(found.write),
        format=found.format and found.format.lower().removeprefix("."),
        opacity=found.alpha,
        palette=found.palette,
        smooth=found.smooth,
    )
    if faults:
        raise SystemExit(1)


def predict_files(
    images: list[str],
    model: str | None,
    output: Path,
    threads: int | None = None,
    overwrite: bool = False,
    **settings,
) -> int:
    """Labels files, as the command does.

    Args:
        images: files, folders and patterns; "-" for names on standard input.
        model: a model file or folder; None: the one that `find_model` chooses.
        output: folder of the results.
        threads: CPU threads; None: all cores.
        overwrite: whether to do again what has been done.
        **settings: fields of `segnet_tf.inference.many.settings.Settings`.

    Returns:
        The number of files that could not be labelled.

    Raises:
        UserError: see `segnet_tf.inference.many.labeller.label_files`.
    """
    from segnet_tf.inference.many.labeller import label_files
    from segnet_tf.inference.many.settings import Settings

    chosen = Settings(**settings)
    return label_files(images, model, output, chosen, threads, overwrite).faults


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("predict", __doc__, takes="PICTURE ...")
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        metavar="PICTURE",
        help="files, folders and patterns; - reads names from standard input",
    )
    add(
        "--model",
        help=f"{', '.join(shipped_names())} (shipped), a .tflite, .keras or .onnx "
        "file, or the folder of a run or a SavedModel [streets, else the newest run]",
    )
    add(
        "--output",
        default="predictions",
        metavar="FOLDER",
        help="folder of the results [predictions]",
    )
    add(
        "--overwrite",
        action="store_true",
        help="do again what has been done with the same model and settings",
    )
    add("--threads", type=int, metavar="N", help="CPU threads [all cores]")
    _add_reading(parser.add_argument_group("reading and labelling"))
    _add_writing(parser.add_argument_group("what is written"))
    return parser


def _add_reading(group) -> None:
    add = group.add_argument
    add("--native", action="store_true", help="do not scale the images")
    add(
        "--max-pixels",
        type=int,
        metavar="N",
        help="pixels above which an image is refused, as it may be made to fill the "
        "memory [179 million]",
    )
    add(
        "--range",
        metavar="LOW-HIGH",
        help="of images with more than 8 bits: values that are black and white [those "
        "of the training images]",
    )
    add(
        "--samples",
        type=int,
        metavar="N",
        help="label by the mean of N predictions, for which dropout stays on",
    )
    add(
        "--tta",
        metavar="VIEWS",
        help="label by the mean of several views: flip (2), scale (3), flip,scale (6)",
    )


def _add_writing(group) -> None:
    from segnet_tf.evaluation.overlays import OPACITY

    add = group.add_argument
    add(
        "--write",
        default="labels,overlay",
        metavar="NAMES",
        help="labels (palette PNG, pixels are class ids), overlay, contours, "
        "probabilities (float16 .npy) [labels,overlay]",
    )
    add(
        "--uncertainty",
        action="store_true",
        help="also write <stem>_uncertainty.png and .npy "
        f"(--samples {DEFAULT_SAMPLES}, if it is not given)",
    )
    add(
        "--format",
        metavar="{png,jpg}",
        help="of pictures that show the photo [jpg for JPEG and HEIC, else png]",
    )
    add(
        "--alpha",
        type=float,
        default=OPACITY,
        metavar="X",
        help=f"opacity of the tint in overlays, 0 to 1 [{OPACITY}]",
    )
    add(
        "--smooth",
        type=float,
        default=0.0,
        metavar="X",
        help="of videos: weight of the frames before, 0 to less than 1 [0]",
    )
    add(
        "--palette",
        metavar="{safe}",
        help="safe: colours that colour-blind people can tell apart [the model's]",
    )


def _with_dashed_files(arguments: list[str]) -> list[str]:
    """Puts ./ before names that begin with a dash and are there: they are no options.

    A shell makes such names from *.
    """
    return [
        os.path.join(os.curdir, argument)
        if argument.startswith("-") and argument != "-" and os.path.exists(argument)
        else argument
        for argument in arguments
    ]
