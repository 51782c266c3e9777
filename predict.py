"""Labels images: writes <stem>_labels.png and <stem>_overlay.png for each.

python predict.py street.png
python predict.py *.jpg --model runs/camvid-segnet_lite --output labelled
python predict.py street.png --model runs/camvid-bayesian_segnet_basic --uncertainty
"""

import argparse
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
        "--model", help="run folder or .keras file [the shipped one, or the newest run]"
    )
    parser.add_argument("--output", default="predictions", help="folder [predictions]")
    parser.add_argument(
        "--samples", type=int, help="label by the mean of N dropout samples [none]"
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="write <stem>_uncertainty.png and .npy too, of 20 samples by default",
    )
    arguments = parser.parse_args()
    samples = 20 if arguments.samples is None else arguments.samples
    sampled = arguments.uncertainty or arguments.samples is not None
    predict_files(
        arguments.images,
        arguments.model,
        Path(arguments.output),
        samples if sampled else None,
        arguments.uncertainty,
    )


def predict_files(
    images: list[str],
    model: str | None,
    output: Path,
    samples: int | None,
    uncertainty: bool,
) -> None:
    from segnet_tf.images import read_image
    from segnet_tf.inference import Predictor, find_model
    from segnet_tf.visualize import class_shares, overlay, palette_image

    refuse_same_stems(images)
    # Reading comes first: a wrong name should not have to wait for the model.
    loaded = {name: read_image(name) for name in images}
    path = find_model(model)
    predictor = Predictor(path)
    if samples is not None:
        from segnet_tf.saving import load_model
        from segnet_tf.uncertainty import MonteCarlo, write_uncertainty

        sampler = MonteCarlo(load_model(path), samples)
    for name, image in loaded.items():
        stem = output / Path(name).stem
        if samples is None:
            labels = predictor.labels(image)
        else:
            result = sampler(image)
            labels = result.labels
            if uncertainty:
                write_uncertainty(result, stem)
        save(palette_image(labels, predictor.info), f"{stem}_labels.png")
        save(overlay(image, labels, predictor.info), f"{stem}_overlay.png")
        shares = ", ".join(
            f"{predictor.info.classes[index]} {share:.1%}"
            for index, share in class_shares(labels, predictor.info)
        )
        print(f"{stem}_overlay.png: {shares}")


def refuse_same_stems(images: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in images:
        stem = Path(name).stem
        if stem in seen:
            raise UserError(
                f"{seen[stem]} and {name} would be written to the same file"
            )
        seen[stem] = name


def save(picture, path: str) -> None:
    from segnet_tf.files import replacing

    with replacing(path) as temporary:
        picture.save(temporary)


if __name__ == "__main__":
    cli.run(main)
