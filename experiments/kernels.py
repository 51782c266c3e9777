"""With what kernels does a decoder make the sparse map dense?

python -m experiments.kernels

Prints the shares of a trained SegNetLite's values that are not zero: after each
unpooling, after the 3x3 filter of every channel that follows, and after the 1x1 mixing
of channels that follows this. Prints how many of the filters have weights of one sign,
too: these smear a value over the holes around it, and the others take differences.
"""

import argparse

import keras
import numpy as np

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.inference.model_file import find_model, load_model

PARTS = ("depthwise", "project")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="run folder or .keras file [as in evaluate.py]")
    arguments = parser.parse_args()
    model = load_model(find_model(arguments.model, forms=("model.keras",)))
    image, _ = datasets.load("synthetic", "val:1").read(0)
    print("| level | unpooled | after 3x3 | after 1x1 | filters of one sign |")
    print("|---|---|---|---|---|")
    for level in levels(model):
        *maps, kernels = stage(model, level, image)
        shares = [np.mean(part != 0) for part in maps]
        shares.append(1 - mixed(kernels).mean())
        print(f"| {level} | {' | '.join(f'{share:.0%}' for share in shares)} |")


def levels(model: keras.Model) -> list[int]:
    """The numbers of a SegNetLite's unpoolings, deepest first."""
    names = (layer.name for layer in model.layers)
    return [int(name[8:]) for name in names if name.startswith("upsample")]


def stage(model: keras.Model, level: int, image: np.ndarray) -> tuple[np.ndarray, ...]:
    """A stage of the decoder, on an image.

    Returns:
        What unpooling gives, float32 (H, W, C); what the filters make of it, as large;
        what mixing makes of that, (H, W, next C); the filters, (C, 3, 3).
    """
    names = [f"upsample{level}", *(f"decode{level}_{p}" for p in PARTS)]
    outputs = [model.get_layer(name).output for name in names]
    maps = keras.Model(model.inputs[0], outputs)(image[None].astype("float32"))
    kernel = model.get_layer(names[1]).kernel.numpy()[..., 0]
    return *(np.asarray(part)[0] for part in maps), np.moveaxis(kernel, -1, 0)


def mixed(kernels: np.ndarray) -> np.ndarray:
    """Whether the weights of a filter are of both signs: bool (C,).

    They are if the smaller part sums up to more than a tenth of the larger one.
    """
    flat = kernels.reshape(len(kernels), -1)
    with_, against = np.maximum(flat, 0).sum(1), np.maximum(-flat, 0).sum(1)
    return np.minimum(with_, against) > 0.1 * np.maximum(with_, against)


if __name__ == "__main__":
    cli.run(main, "experiments.kernels")
