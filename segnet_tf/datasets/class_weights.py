"""Class weights for the loss, from the frequencies of the classes."""

import numpy as np

from segnet_tf.console.options import Choice

__all__ = ["CLASS_WEIGHTS", "log_frequency_weights", "median_frequency_weights"]


def median_frequency_weights(
    pixels_per_image: np.ndarray, image_pixels: np.ndarray | int
) -> np.ndarray:
    """Median-frequency class weights (SegNet section 3.1, after Eigen and Fergus).

    The frequency of a class is the number of its pixels divided by all pixels of the
    images that contain it. Its weight is the median frequency divided by its own.

    Args:
        pixels_per_image: int (images, classes), pixels of each class in each image.
        image_pixels: pixels of each image, void included: (images,) or one number.

    Returns:
        float64 (classes,); 0 for a class that never appears.
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

    ENet takes c = 1.02. With 1.10, which published recipes for CamVid use, the weights
    differ less.

    Args:
        pixels: int (classes,) or (images, classes), valid pixels of each class.
        c: the constant in the formula.

    Returns:
        float64 (classes,).
    """
    pixels = np.atleast_2d(np.asarray(pixels, np.float64)).sum(axis=0)
    return 1 / np.log(c + pixels / max(pixels.sum(), 1))


CLASS_WEIGHTS = {
    "none": Choice("1 for all", lambda counts, pixels: None),
    "median": Choice(
        "median frequency divided by the class's", median_frequency_weights
    ),
    "sqrt": Choice(
        "the square root of median",
        lambda counts, pixels: np.sqrt(median_frequency_weights(counts, pixels)),
    ),
    "log": Choice(
        "ENet's 1 / ln(1.10 + share)",
        lambda counts, pixels: log_frequency_weights(counts),
    ),
}
"""`make` takes the pixels of each class in each image, and of each image, and returns
weights (classes,), or None for equal weights."""
