"""What does pooling gain where the image moves by a few pixels?

python -m experiments.shifts --model RUN --data-dir runs/streets

RUN is a trained network that unpools, such as runs/decoders/segnet_basic-0, which
experiments.decoders trains. It sees held-out scenes as they are, and shifted. How much
do the features change behind a max-pooling? How much would they change if every second
value of the same maps were taken, or means? How many positions change, and how many
labels?

A change is the root mean square of the difference, divided by that of two unrelated
maps: 0 is no change, 1 is a map that has nothing to do with the other.
"""

import argparse
from itertools import islice

import keras
import numpy as np
import tensorflow as tf

from segnet_tf import datasets
from segnet_tf.console import cli
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import find_model, load_model
from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D
from segnet_tf.models.clone import with_pooling_mode

SHIFTS = (1, 2, 3)
BORDER = 16
"""Pixels that are cut off around the image, so that it can be shifted, and around the
labels, which edges disturb."""

SMALLEST = 4 * BORDER + max(SHIFTS) + 1
"""Height and width of an image of which that leaves something."""

KINDS = ("every second", "mean", "max")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="run folder or .keras file [as in evaluate.py]")
    parser.add_argument("--data-dir", help="folder of images [generated scenes]")
    parser.add_argument("--scenes", type=int, default=100)
    arguments = parser.parse_args()
    changes, moved, labels = measured(
        arguments.model, arguments.data_dir, arguments.scenes
    )
    print("| shift | pooling | " + " | ".join(KINDS) + " | positions that change |")
    print("|---|---|---|---|---|---|")
    for row, shift in enumerate(SHIFTS):
        for level in range(changes.shape[1]):
            cells = [f"{value:.2f}" for value in changes[row, level]]
            cells.append(f"{moved[row, level]:.0%}")
            print(f"| {shift} px | {level + 1} | {' | '.join(cells)} |")
    for shift, share in zip(SHIFTS, labels, strict=True):
        print(f"shift of {shift} px: {share:.1%} of the labels change")


def measured(
    model: str | None = None, data_dir: str | None = None, scenes: int = 100
) -> tuple[np.ndarray, ...]:
    """Means over the first scenes of the val split.

    Returns:
        changes (shifts, levels, kinds); share of positions that change (shifts,
        levels); share of labels that do (shifts,).

    Raises:
        UserError: if an image is too small to be shifted.
    """
    network = load_model(find_model(model, forms=("model.keras",)))
    outputs = probe(network)
    found = []
    split = datasets.load("folder" if data_dir else "synthetic", "val", data_dir)
    for image, _ in islice(split, scenes):
        if min(image.shape[:2]) < SMALLEST:
            raise UserError(
                "{}: an image of {}x{}: must be at least {}x{}".format(
                    data_dir, *image.shape[:2], SMALLEST, SMALLEST
                )
            )
        still = outputs(moved_by(0, image))
        found.append([compared(still, outputs(moved_by(s, image)), s) for s in SHIFTS])
    changes, moved, labels = zip(
        *(zip(*row, strict=True) for row in found), strict=True
    )
    return tuple(np.mean(part, axis=0) for part in (changes, moved, labels))


def moved_by(shift: int, image: np.ndarray) -> tf.Tensor:
    """The scene, seen by a camera that turned by so many pixels: float32 batch of 1."""
    window = image[BORDER:-BORDER, BORDER + shift : image.shape[1] - BORDER + shift]
    return tf.constant(window[None], tf.float32)


def probe(model: keras.Model):
    """A function of an image: every pooling's input and positions, and the logits."""
    model = with_pooling_mode(model, "window")
    pools = [la for la in model.layers if isinstance(la, MaxPoolingWithArgmax2D)]
    parts = [[pool.input, pool.output[1]] for pool in pools]
    return tf.function(keras.Model(model.inputs[0], [parts, model.outputs[0]]))


def compared(still, moved, shift: int) -> tuple:
    """Changes (levels, kinds), shares of positions (levels,), share of labels.

    Args:
        still, moved: what `probe`'s function gives for a scene, and shifted.
    """
    changes, positions = [], []
    for (before, where), (after, where_after) in zip(still[0], moved[0], strict=True):
        pairs = zip(ways_to_halve(before), ways_to_halve(after), strict=True)
        changes.append([change(*pair) for pair in pairs])
        positions.append(np.mean(where != where_after))
    one, other = (part[1].numpy().argmax(-1)[0] for part in (still, moved))
    inner = slice(BORDER, -BORDER)
    same = (
        one[inner, BORDER + shift : -BORDER] == other[inner, BORDER : -BORDER - shift]
    )
    return changes, positions, 1 - same.mean()


def ways_to_halve(x: tf.Tensor) -> tuple[np.ndarray, ...]:
    """Maps (1, H, W, C) at half the size, in the order of `KINDS`."""
    options = {"ksize": 2, "strides": 2, "padding": "SAME"}
    halves = (
        x[:, ::2, ::2],
        tf.nn.avg_pool2d(x, **options),
        tf.nn.max_pool2d(x, **options),
    )
    return tuple(half.numpy()[0, 1:-1, 1:-1] for half in halves)


def change(one: np.ndarray, other: np.ndarray) -> float:
    """Difference of two maps (H, W, C), as a share of that of unrelated maps."""
    square = ((one - other) ** 2).mean(axis=(0, 1))
    spread = one.var(axis=(0, 1)) + other.var(axis=(0, 1))
    alive = spread > 0  # A channel that is zero everywhere says nothing.
    return float(np.sqrt(square[alive] / spread[alive]).mean())


if __name__ == "__main__":
    cli.run(main, "experiments.shifts")
