"""Why batch normalisation? A small SegNet with and without, at several rates.

python -m experiments.normalisation

Trains the same convolutions from the same start, on generated scenes of 48x64, with the
paper's SGD and momentum. Without normalisation every convolution has a bias. Prints
mIoU on held-out scenes, one value per seed.
"""

import argparse

import keras
import numpy as np
from keras import layers

from segnet_tf.console import cli
from segnet_tf.datasets import synthetic
from segnet_tf.metrics.confusion import Scores, confusion_matrix
from segnet_tf.models import SegNet
from segnet_tf.models.clone import rebuilt
from segnet_tf.training.pixel_loss import PixelLoss

ENCODER = ((16, 16), (32, 32), (64, 64))
SIZE = (48, 64)
SCENES = {"train": 64, "val": 32}
BATCH = 4
RATES = (1e-3, 1e-2, 1e-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    print("| rate | with | without |\n|---|---|---|")
    for rate in RATES:
        cells = []
        for normalised in (True, False):
            runs = [
                trained(normalised, rate, arguments.steps, seed)[1]
                for seed in range(arguments.seeds)
            ]
            cells.append(", ".join(f"{100 * mean_iou:.1f}" for mean_iou in runs))
        print(f"| {rate:g} | {' | '.join(cells)} |", flush=True)


def trained(
    normalised: bool, rate: float, steps: int, seed: int = 0
) -> tuple[list[float], float]:
    """The loss of every step, and mIoU on held-out scenes at the end."""
    keras.utils.set_random_seed(seed)
    model = SegNet(encoder=ENCODER)
    if not normalised:
        model = without_normalisation(model)
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, PixelLoss("cross-entropy", None), jit_compile=False)
    images, labels = scenes("train")
    rng, losses = np.random.default_rng(seed), []
    for _ in range(steps):
        batch = rng.choice(len(images), BATCH, replace=False)
        losses.append(float(model.train_on_batch(images[batch], labels[batch])))
    images, labels = scenes("val")
    predicted = model.predict(images, batch_size=8, verbose=0).argmax(-1)
    confusion = confusion_matrix(labels, predicted, synthetic.INFO.num_classes)
    return losses, Scores.from_confusion(confusion).mean_iou


def without_normalisation(model: keras.Model) -> keras.Model:
    """The same network and initial kernels, with biases instead of normalisation."""

    def changed(layer):
        if isinstance(layer, layers.BatchNormalization):
            return layers.Identity(name=layer.name)
        if isinstance(layer, layers.Conv2D):
            return rebuilt(layer, use_bias=True)
        return rebuilt(layer)

    def call(layer, *args, mask=None, **kwargs):
        # Of all layers here, only normalisation takes a mask.
        return layer(*args, **kwargs)

    # `clone` would copy all weights of a convolution, and these have one more.
    bare = keras.models.clone_model(model, clone_function=changed, call_function=call)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            bare.get_layer(layer.name).kernel.assign(layer.kernel)
    return bare


def scenes(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 (N, H, W, 3) and labels uint8 (N, H, W), void = 255."""
    seed, _ = synthetic.SPLITS[split]
    drawn = [synthetic.draw_scene(seed, n, *SIZE) for n in range(SCENES[split])]
    images, labels = (np.stack(part) for part in zip(*drawn, strict=True))
    return images.astype(np.float32), labels


if __name__ == "__main__":
    cli.run(main, "experiments.normalisation")
