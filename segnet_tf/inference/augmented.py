"""Test-time augmentation: the mean of what a network says of several views."""

from collections.abc import Callable, Iterator

import numpy as np

from segnet_tf.console.cli import chosen
from segnet_tf.datasets.images import resized
from segnet_tf.inference.predictor import Predictor
from segnet_tf.inference.resizing import SCALING, resized_scores

__all__ = ["VIEWS", "augmented"]

SCALES = (0.75, 1.25)
"""Heights and widths of the further views, as shares of the usual ones."""


def _flipped(image: np.ndarray) -> Iterator[tuple[np.ndarray, Callable]]:
    yield image[:, ::-1], lambda scores: scores[:, ::-1]


def _rescaled(image: np.ndarray) -> Iterator[tuple[np.ndarray, Callable]]:
    height, width = image.shape[:2]
    for scale in SCALES:
        size = max(1, round(scale * height)), max(1, round(scale * width))
        view = resized(image, size, SCALING)
        yield view, lambda scores: resized_scores(scores, (height, width))


VIEWS = {"flip": _flipped, "scale": _rescaled}
"""Name -> a function: image -> further views, each with the way back for scores."""


def augmented(predictor: Predictor, names: tuple[str, ...]) -> Callable:
    """A function that labels by the mean probabilities of several views.

    With both names, the image and its mirror image are seen at three sizes: six views.

    Args:
        predictor: must give logits or probabilities.
        names: of `VIEWS`.

    Returns:
        picture, image uint8 (h, w, channels), size -> probabilities float32
        (h, w, classes).

    Raises:
        UserError: if there is no such view.
    """
    for name in names:
        chosen("--tta", name, VIEWS)

    def probabilities(image: np.ndarray) -> np.ndarray:
        image = np.ascontiguousarray(image)
        scores = predictor.scores(image, image.shape[:2], keep=True)
        return predictor.probabilities_from(scores)

    def label(picture, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        views = [(image, np.asarray)]
        for name in names:
            views += [
                (view, lambda scores, back=back, inner=inner: back(inner(scores)))
                for seen, back in list(views)
                for view, inner in VIEWS[name](seen)
            ]
        total = np.zeros(1, np.float32)
        for view, back in views:
            total = total + back(probabilities(view))
        return (total / len(views)).astype(np.float32)

    return label
