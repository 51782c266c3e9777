"""How much each class counts in the loss, from how often it appears."""

import numpy as np

from segnet_tf.console.options import Choice

__all__ = ["CLASS_WEIGHTS", "log_frequency_weights", "median_frequency_weights"]


def median_frequency_weights(
    pixels_per_image: np.ndarray, image_pixels: np.ndarray | int
) -> np.ndarray:
    """Median-frequency class weights (SegNet section 3.1, after Eigen and Fergus).

    A class's frequency is its pixels over all pixels of the images it appears in;
    its weight is the median frequency over its own.

    Args:
        pixels_per_image: int (images, classes), pixels of each class in each image.
        image_pixels: pixels of each image, void included: (images,) or one number.

    Returns:
        float64 (classes,); a class that never appears gets 0.
    """
    pixels_per_image = np.asarray(pixels_per_image, np.float64)
    image_pixels = np.broadcast_to(image_pixels, len(pixels_per_image))
    present = pixels_per_image > 0
    seen = (present * image_pixels[:, None]).sum(axis=0)
    frequency = pixels_per_image.sum(axis=0) / np.maximum(seen, 1)
    found = frequency > 0
    weights = np.zeros_like(frequency)
    weights[found] = np.median(frequency[found]) / frequency[found]
    return weights


def log_frequency_weights(pixels: np.ndarray, c: float = 1.10) -> np.ndarray:
    """Class weights 1 / ln(c + share), after ENet (arXiv:1606.02147, section 5.2).

    ENet takes c = 1.02; 1.10 spreads the weights less, and is what published recipes
    for CamVid use.

    Args:
        pixels: int (classes,) or (images, classes), valid pixels of each class.

    Returns:
        float64 (classes,).
    """
    pixels = np.atleast_2d(np.asarray(pixels, np.float64)).sum(axis=0)
    return 1 / np.log(c + pixels / max(pixels.sum(), 1))


CLASS_WEIGHTS = {
    "none": Choice("1 for all", lambda counts, pixels: None),
    "median": Choice("median frequency over the class's", median_frequency_weights),
    "sqrt": Choice(
        "the square root of that",
        lambda counts, pixels: np.sqrt(median_frequency_weights(counts, pixels)),
    ),
    "log": Choice("ENet's", lambda counts, pixels: log_frequency_weights(counts)),
}
"""Pixels of each class in each image, and of each image, to weights (classes,)."""
