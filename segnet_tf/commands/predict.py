"""Labels images: writes `<stem>_labels.png`, `<stem>_overlay.png` for each image.

    segnet predict street.png
    segnet predict *.jpg --model runs/camvid-segnet_lite --output labelled
    segnet predict street.png --model streets.tflite --threads 4   # no TensorFlow
    segnet predict street.png --model runs/camvid-bayesian_segnet_basic --uncertainty

Images may have any size. An image that is much larger or smaller than the training
images is scaled to as many pixels as they have, and its labels are scaled back. With
--native it runs as it is; that is right for large scenes if the model was trained on
parts of such scenes. An image of more than 2 megapixels (SegNet and SegNetBasic: 1)
then runs in tiles, which overlap so far that the labels are those of the whole image.
With --samples or --uncertainty, smaller images run in tiles, too, and each tile draws
its own dropout masks.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from segnet_tf.console import cli
from segnet_tf.datasets.reading import checked_range
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import shipped_names

__all__ = ["main"]

DEFAULT_SAMPLES = 20


def main(arguments: list[str] | None = None) -> None:
    """Reads the flags and labels the images.

    Args:
        arguments: the flags; None: those of the command line.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    found = _parser().parse_args(_with_dashed_files(arguments))
    samples = found.samples
    if samples is None and found.uncertainty:
        samples = DEFAULT_SAMPLES
    predict_files(
        found.images,
        found.model,
        Path(found.output),
        threads=found.threads,
        native=found.native,
        samples=samples,
        uncertainty=found.uncertainty,
        value_range=None if found.range is None else checked_range(found.range),
    )


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser("predict", __doc__, takes="IMAGE ...")
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="image files")
    add(
        "--model",
        help=f"{', '.join(shipped_names())} (shipped), a .tflite, .keras or .onnx "
        "file, or the folder of a run or a SavedModel [camvid, else the newest run]",
    )
    add(
        "--output",
        default="predictions",
        metavar="FOLDER",
        help="folder of the results [predictions]",
    )
    add("--threads", type=int, metavar="N", help="CPU threads [all cores]")
    add("--native", action="store_true", help="do not scale the images")
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
        "--uncertainty",
        action="store_true",
        help="also write <stem>_uncertainty.png and .npy "
        f"(--samples {DEFAULT_SAMPLES}, if it is not given)",
    )
    return parser


def _with_dashed_files(arguments: list[str]) -> list[str]:
    """Puts ./ before file names that begin with a dash, so that they are no options.

    A shell makes such names from *.png.
    """
    return [
        os.path.join(os.curdir, argument)
        if argument.startswith("-") and os.path.isfile(argument)
        else argument
        for argument in arguments
    ]


def predict_files(
    images: list[str],
    model: str | None,
    output: Path,
    threads: int | None = None,
    native: bool = False,
    samples: int | None = None,
    uncertainty: bool = False,
    value_range: tuple[float, float] | None = None,
) -> None:
    """Labels image files, writes the results and prints one line for each image.

    Args:
        images: paths of the images.
        model: a model file or folder; None: the one that `find_model` chooses.
        output: folder of the results.
        threads: CPU threads; None: all cores.
        native: whether images run without scaling.
        samples: labels come from the mean of this many dropout samples; None: dropout
            is off.
        uncertainty: whether to write the spread of the samples, too.
        value_range: of images with more than 8 bits, the values that are black and
            white; None: those that the model was trained with.

    Raises:
        UserError: if an image or the model cannot be read, if two results would have
            one name, or if a result would replace an input.
    """
    from segnet_tf.datasets.images import read_image
    from segnet_tf.datasets.opening import opened
    from segnet_tf.evaluation.overlays import overlay
    from segnet_tf.evaluation.visualize import class_shares, palette_image
    from segnet_tf.inference.model_file import FORMS, find_model
    from segnet_tf.inference.predictor import Predictor

    _refuse_clashes(images, output, uncertainty)
    # All images are read first, so that a wrong name is found before the model is
    # loaded. Photos are large, so each is read again later instead of being kept.
    for name in images:
        with opened(name) as image:
            image.load()
    path = find_model(model, FORMS if samples is None else ("model.keras",))
    if model is None:
        here = Path.cwd()
        print("model:", path.relative_to(here) if path.is_relative_to(here) else path)
    predictor = Predictor(path, threads, native)
    info = predictor.info
    if value_range is None:
        value_range = info.value_range
        _warn_of_ranges(images, value_range)
    label: Callable = lambda image, stem: predictor.labels(image)  # noqa: E731
    if samples is not None:
        label = _sampled(predictor, samples, uncertainty)
    for name in images:
        image = read_image(name, info.channels, value_range)
        stem = output / Path(name).stem
        labels = label(image, stem)
        _save(palette_image(labels, info), f"{stem}_labels.png")
        _save(overlay(image, labels, info), f"{stem}_overlay.png")
        shares = ", ".join(
            f"{info.classes[index]} {share:.1%}"
            for index, share in class_shares(labels, info)
        )
        print(f"{stem}_overlay.png: {shares}")


def _warn_of_ranges(images: list[str], value_range: tuple[float, float] | None) -> None:
    """Says which images of more than 8 bits fill little of the range."""
    from segnet_tf.datasets.images import deep_pixels
    from segnet_tf.datasets.value_range import range_of

    low, high = value_range or (0, 65535)
    for name in images:
        try:
            pixels = deep_pixels(name)
        except UserError:
            continue  # Pillow reads its upper 8 bits
        if pixels is None:
            continue
        own = range_of(pixels)
        if own[1] - own[0] < (high - low) / 8 or own[0] > high or own[1] < low:
            print(
                f"warning: {name}: its values, {own[0]:g} to {own[1]:g}, are little of "
                f"the range {low:g} to {high:g}: if it looks too dark or too bright to "
                f"the model, give --range {own[0]:g}-{own[1]:g}"
            )


def _sampled(predictor, samples: int, uncertainty: bool) -> Callable:
    """A function: image and stem -> labels by dropout samples.

    It also writes the spread of the samples if `uncertainty` asks for it.
    """
    from segnet_tf.inference.monte_carlo import MonteCarlo, write_uncertainty
    from segnet_tf.inference.resizing import resized_argmax

    sampler = MonteCarlo(predictor.keras_model(), samples)

    def label(image, stem: Path):
        size = image.shape[:2]
        result = sampler(predictor.scaled(image))
        if uncertainty:
            write_uncertainty(result, size, stem)
        return resized_argmax(result.probabilities, size)

    return label


def _refuse_clashes(images: list[str], output: Path, uncertainty: bool) -> None:
    """Refuses results that would replace one another, or an input image."""
    inputs = {Path(name).resolve() for name in images}
    parts = ("labels", "overlay", "uncertainty")[: 3 if uncertainty else 2]
    seen: dict[str, str] = {}
    for name in images:
        stem = Path(name).stem
        if stem in seen:
            raise UserError(
                f"the labels of {seen[stem]} and {name} would be written to the same "
                "file: give each its own --output"
            )
        seen[stem] = name
        for part in parts:
            target = output / f"{stem}_{part}.png"
            if target.resolve() in inputs:
                raise UserError(
                    f"{target} is an input and would be overwritten: choose another "
                    "--output"
                )


def _save(picture, path: str) -> None:
    from segnet_tf.files import replacing

    with replacing(path) as temporary:
        picture.save(temporary)
