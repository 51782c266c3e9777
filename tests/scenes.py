"""Images that say of themselves where their pixels are and what their labels are."""

import numpy as np

from segnet_tf.datasets.dataset import DatasetInfo, Split

INFO = DatasetInfo("coded", ("a", "b", "c"), ((0, 0, 0),) * 3)
STILL = {"zoom": (1.0, 1.0), "flip": False, "color_jitter": 0.0}
"""Options of an `Augmentation` that only cuts."""


def coded_image(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose pixels say where they are and what their label is."""
    rows, columns = np.mgrid[:height, :width]
    labels = ((rows // 8 + columns // 8) % 3).astype(np.uint8)
    image = np.stack([rows, columns, labels * 80], axis=-1).astype(np.uint8)
    return image, labels


def coded_split(sizes) -> Split:
    images = [coded_image(*size) for size in sizes]
    # Blue tells the images apart where the order matters.
    for index, (image, _) in enumerate(images):
        image[..., 2] = index
    names = tuple(f"{index}.png" for index in range(len(images)))
    return Split(INFO, "train", names, lambda index: images[index])
