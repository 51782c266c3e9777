"""Corruptions do what their names say, and cost what they should."""

import numpy as np
from PIL import Image

from experiments import robustness
from segnet_tf.datasets.dataset import DatasetInfo, Split


def test_corruptions_and_their_score():
    labels = np.indices((40, 60)).sum(axis=0).astype(np.uint8) // 25
    image = np.repeat(60 * labels[..., None], 3, axis=-1)
    info = DatasetInfo("bands", tuple("abcd"), ((0, 0, 0),) * 4)
    split = Split(info, "all", ("only",), lambda index: (image, labels))

    class Brightness:
        """Knows the bands by how bright they are."""

        def labels(self, image):
            return np.clip(np.rint(image[..., 0] / 60), 0, 3).astype(np.uint8)

    scores = {
        name: robustness.score(Brightness(), split, corrupt).mean_iou
        for name, corrupt in robustness.CORRUPTIONS.items()
    }
    assert scores["none"] == scores["grey"] == 1
    assert scores["dark, a third of the light"] < scores["blur, radius 2"] < 1
    assert 0.8 < scores["half the size"] < scores["twice the size"] <= 1
    picture = Image.fromarray(image)
    sizes = [corrupt(picture, 0).size for corrupt in robustness.CORRUPTIONS.values()]
    assert sizes.count((60, 40)) == 7 and {(30, 20), (120, 80)} < set(sizes)
    noises = [np.asarray(robustness.noisy(picture, index)) for index in (0, 0, 1)]
    assert np.array_equal(noises[0], noises[1])
    assert not np.array_equal(noises[0], noises[2])
