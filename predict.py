"""Labels images: writes <stem>_labels.png and <stem>_overlay.png for each.

python predict.py street.png
python predict.py *.jpg --model runs/camvid-segnet_lite --output labelled
python predict.py street.png --model streets.tflite --threads 4   # no TensorFlow
python predict.py street.png --model runs/camvid-bayesian_segnet_basic --uncertainty

Images of any size. One much larger or smaller than those that the model was trained on
is scaled to as many pixels, and its labels back; --native runs it as it is, which is
right for large scenes where training saw parts of such scenes. Above 2 megapixels
(SegNet and SegNetBasic: 1) an image is then run in tiles that overlap so far that the
labels are those of the whole image. With --samples or --uncertainty that happens
sooner, and each tile draws dropout masks of its own.
"""

import argparse
import os
import sys
from pathlib import Path

import segnet_tf
from segnet_tf import cli
from segnet_tf.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--version", action="version", version=segnet_tf.__version__)
    parser.add_argument(
        "--model",
        help=".tflite or .keras file, or folder of a run, a shipped model or a "
        "SavedModel [the shipped one, or the newest run]",
    )
    parser.add_argument("--output", default="predictions", help="folder [predictions]")
    parser.add_argument("--threads", type=int, help="to compute on [all cores]")
    parser.add_argument(
        "--native", action="store_true", help="run images as large as they are"
    )
    parser.add_argument(
        "--samples", type=int, help="label by the mean of N dropout samples [none]"
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="write <stem>_uncertainty.png and .npy too, of 20 samples by default",
    )
    arguments = parser.parse_args(with_dashed_files(sys.argv[1:]))
    samples = 20 if arguments.samples is None else arguments.samples
    sampled = arguments.uncertainty or arguments.samples is not None
    predict_files(
        arguments.images,
        arguments.model,
        Path(arguments.output),
        arguments.threads,
        arguments.native,
        samples if sampled else None,
        arguments.uncertainty,
    )


def with_dashed_files(arguments: list[str]) -> list[str]:
    """Names of files that begin with a dash, as *.png gives them, are no options."""
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
    threads: int | None,
    native: bool,
    samples: int | None,
    uncertainty: bool,
) -> None:
    from segnet_tf.images import read_image
    from segnet_tf.inference import FORMS, Predictor, find_model
    from segnet_tf.visualize import class_shares, overlay, palette_image

    refuse_clashes(images, output, uncertainty)
    # Reading comes first: a wrong name should not have to wait for the model. Photos
    # are large, so each is read again when its turn comes.
    for name in images:
        read_image(name)
    path = find_model(model, FORMS if samples is None else ("model.keras",))
    if model is None:
        here = Path.cwd()
        print("model:", path.relative_to(here) if path.is_relative_to(here) else path)
    predictor = Predictor(path, threads, native)
    channels = predictor.info.channels
    if samples is not None:
        from segnet_tf.scaling import enlarged_argmax
        from segnet_tf.uncertainty import MonteCarlo, write_uncertainty

        sampler = MonteCarlo(predictor.keras_model(), samples)
    for name in images:
        image = read_image(name, channels)
        stem = output / Path(name).stem
        if samples is None:
            labels = predictor.labels(image)
        else:
            size = image.shape[:2]
            result = sampler(predictor.scaled(image))
            labels = enlarged_argmax(result.probabilities, size)
            if uncertainty:
                write_uncertainty(result, size, stem)
        save(palette_image(labels, predictor.info), f"{stem}_labels.png")
        save(overlay(image, labels, predictor.info), f"{stem}_overlay.png")
        shares = ", ".join(
            f"{predictor.info.classes[index]} {share:.1%}"
            for index, share in class_shares(labels, predictor.info)
        )
        print(f"{stem}_overlay.png: {shares}")


def refuse_clashes(images: list[str], output: Path, uncertainty: bool) -> None:
    """No prediction may take the place of another, or of an image."""
    inputs = {Path(name).resolve() for name in images}
    parts = ("labels", "overlay", "uncertainty")[: 3 if uncertainty else 2]
    seen: dict[str, str] = {}
    for name in images:
        stem = Path(name).stem
        if stem in seen:
            raise UserError(
                f"{seen[stem]} and {name} would be written to the same file"
            )
        seen[stem] = name
        for part in parts:
            target = output / f"{stem}_{part}.png"
            if target.resolve() in inputs:
                raise UserError(
                    f"{target} is an input, and would be overwritten: choose another "
                    "--output"
                )


def save(picture, path: str) -> None:
    from segnet_tf.files import replacing

    with replacing(path) as temporary:
        picture.save(temporary)


if __name__ == "__main__":
    cli.run(main)
