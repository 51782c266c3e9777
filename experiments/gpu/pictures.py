"""The pictures of a folder of jobs, decoded, on the device."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

__all__ = ["Pictures"]


class Pictures:
    """All samples on the device, each in the upper left of a frame.

    Args:
        folder: of `pack.py`.
        samples: keys of an image and of its labels.
        device: where they lie.
    """

    def __init__(self, folder: Path, samples: set[tuple[str, str]], device):
        images, labels = decoded(folder, "images"), decoded(folder, "labels")
        order = sorted(samples)
        self.index = {sample: place for place, sample in enumerate(order)}
        sizes = np.array([labels[label].shape for _, label in order])
        height, width = sizes.max(0)
        self.sizes = torch.tensor(sizes, device=device)
        self.images = torch.zeros(
            (len(order), height, width, 3), dtype=torch.uint8, device=device
        )
        self.labels = torch.full(
            (len(order), height, width), 255, dtype=torch.uint8, device=device
        )
        for place, (image, label) in enumerate(order):
            rows, columns = labels[label].shape
            self.images[place, :rows, :columns] = torch.from_numpy(images[image])
            self.labels[place, :rows, :columns] = torch.from_numpy(labels[label])

    def places(self, samples) -> np.ndarray:
        return np.array([self.index[tuple(sample)] for sample in samples], np.int64)

    def within(self, places) -> tuple:
        """Images and labels, cut to the largest of these pictures."""
        height, width = self.sizes[torch.as_tensor(places)].amax(0).tolist()
        return self.images[:, :height, :width], self.labels[:, :height, :width]

    def alike(self, places, most: int = 16):
        """Batches of pictures of one size: uint8 images, labels."""
        groups: dict[tuple, list[int]] = {}
        for place in places:
            groups.setdefault(tuple(self.sizes[place].tolist()), []).append(int(place))
        for (height, width), own in groups.items():
            for begin in range(0, len(own), most):
                some = own[begin : begin + most]
                yield (
                    self.images[some, :height, :width],
                    self.labels[some, :height, :width],
                )


def decoded(folder: Path, kind: str) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(folder.glob(f"{kind}*.npz")):
        with np.load(path) as file:
            ends = file["ends"]
            contents = np.split(file["contents"], ends[:-1])
            with ThreadPoolExecutor() as pool:
                arrays = list(pool.map(_array, contents))
            found |= dict(zip(file["names"].tolist(), arrays, strict=True))
    return found


def _array(content: np.ndarray) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content.tobytes())))
