"""The leaves of docs/your-data.md are a data set that `folder` reads."""

import numpy as np
import pytest
from PIL import Image

from docs.leaves import CLASSES, COLOURS, LIKE, draw_leaves, write_leaves
from segnet_tf import datasets


def test_leaves_are_a_folder_data_set(tmp_path):
    write_leaves(tmp_path / "leaves", 5, 240, 180)
    splits = [datasets.load("folder", s, tmp_path / "leaves") for s in ("train", "val")]
    assert [len(split) for split in splits] == [4, 1]
    assert splits[0].info.classes == CLASSES and splits[0].info.colours == COLOURS
    found = set()
    for image, labels in splits[0]:
        assert image.shape == (180, 240, 3) and labels.shape == (180, 240)
        found |= set(np.unique(labels).tolist())
    assert found == {0, 1, 2, 255}
    with Image.open(tmp_path / "leaves" / "masks" / "leaf 00.png") as mask:
        assert mask.mode == "P", "a palette, as labelling programs write it"


@pytest.mark.parametrize("like", LIKE)
def test_every_form_says_the_same(like, tmp_path):
    write_leaves(tmp_path / "leaves", 8, 120, 90, like)
    found = [datasets.load("folder", s, tmp_path / "leaves") for s in ("train", "val")]
    assert sum(map(len, found)) == 8
    for split in found:
        for name, (_, labels) in zip(split.names, split, strict=True):
            index = int(name[5:7]) + 100 * (like == "coarse")
            expected = np.asarray(draw_leaves(index, 120, 90)[1])
            if like == "coarse":
                expected = np.where(expected == 2, 1, expected)
            assert (labels == expected).all()
    assert ("white" in "".join(found[0].remarks())) == (like == "12-bit")
