"""The generated scenes: repeatable, aligned, complete, and not to be told by colour."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from segnet_tf.datasets.synthetic import draw_scene

NAMES = (
    *("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence"),
    *("Car", "Pedestrian", "Bicyclist"),
)
VOID = 255


@pytest.fixture(scope="module")
def training() -> tuple[np.ndarray, np.ndarray]:
    return scenes(seed=0, count=80)


@pytest.fixture(scope="module")
def held_out() -> tuple[np.ndarray, np.ndarray]:
    return scenes(seed=1, count=30)


def scenes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = [draw_scene(seed, index) for index in range(count)]
    images, labels = zip(*drawn, strict=True)
    return np.stack(images), np.stack(labels)


def digest(image: np.ndarray, labels: np.ndarray) -> str:
    return hashlib.sha256(image.tobytes() + labels.tobytes()).hexdigest()


# --- repeatable ----------------------------------------------------------------------


def test_the_same_arguments_draw_the_same_scene():
    first = digest(*draw_scene(3, 5, 96, 128))
    draw_scene(3, 6, 96, 128)
    assert digest(*draw_scene(3, 5, 96, 128)) == first


@pytest.mark.parametrize("other", [(3, 6), (4, 5), (5, 3)])
def test_other_arguments_draw_another_scene(other):
    image, labels = draw_scene(3, 5, 96, 128)
    other_image, other_labels = draw_scene(*other, 96, 128)
    assert (image != other_image).mean() > 0.5
    assert (labels != other_labels).mean() > 0.05


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_draws_the_same_bytes(hash_seed):
    code = (
        "import sys, hashlib; from segnet_tf.datasets.synthetic import draw_scene\n"
        "image, labels = draw_scene(7, 11)\n"
        "data = image.tobytes() + labels.tobytes()\n"
        "print(hashlib.sha256(data).hexdigest())"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": paths}
    output = subprocess.check_output([sys.executable, "-c", code], env=environment)
    assert output.decode().split()[-1] == digest(*draw_scene(7, 11))


# --- shape and size ------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [(32, 32), (33, 47), (90, 121), (192, 256), (360, 480), (720, 960)]
)
def test_types_and_ids_at_every_size(size):
    for index in range(2):
        image, labels = draw_scene(2, index, *size)
        assert image.shape == (*size, 3) and image.dtype == np.uint8
        assert labels.shape == size and labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {*range(11), VOID}
        assert image.std() > 10


def test_default_size():
    assert draw_scene(0, 0)[1].shape == (192, 256)


@pytest.mark.parametrize("index", range(4))
def test_size_changes_the_resolution_and_not_the_street(index):
    _, small = draw_scene(9, index, 120, 160)
    _, large = draw_scene(9, index, 360, 480)
    large = large[1::3, 1::3]
    both = (small != VOID) & (large != VOID)
    assert (small == large)[both].mean() > 0.93


# --- content -------------------------------------------------------------------------


@pytest.mark.parametrize("class_id", range(11), ids=NAMES)
def test_every_class_is_in_enough_scenes(training, class_id):
    _, labels = training
    pixels = (labels == class_id).sum((1, 2))
    assert (pixels >= 40).mean() > (0.45 if class_id > 5 else 0.85)


def test_class_shares_are_those_of_a_street(training):
    _, labels = training
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    expected = (
        *((0.12, 0.24), (0.15, 0.28), (0.01, 0.03), (0.24, 0.36), (0.04, 0.10)),
        *((0.06, 0.16), (0.004, 0.012), (0.008, 0.03), (0.035, 0.10)),
        *((0.007, 0.02), (0.004, 0.015)),
    )
    for name, share, (low, high) in zip(NAMES, shares, expected, strict=False):
        assert low < share < high, name
    assert 0.01 < shares[VOID] < 0.05


def test_poles_and_signs_are_not_thinner_than_two_pixels(training):
    """A one-pixel post would be gone after the first pooling."""
    _, labels = training
    pole = labels == 2
    padded = np.pad(pole, ((0, 0), (0, 0), (1, 1)))
    alone = pole & ~padded[:, :, :-2] & ~padded[:, :, 2:]
    assert alone.sum() < 0.1 * pole.sum()


def borders(labels: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour has another id, less the last lines."""
    here = labels[:, :-1, :-1]
    return (here != labels[:, :-1, 1:]) | (here != labels[:, 1:, :-1])


def contrast(images: np.ndarray) -> np.ndarray:
    """Step to the right and to the lower neighbour, summed over the colours."""
    pixels = images.astype(np.float32)
    right = np.abs(np.diff(pixels, axis=2))[:, :-1].sum(-1)
    return right + np.abs(np.diff(pixels, axis=1))[:, :, :-1].sum(-1)


def test_image_edges_lie_on_label_borders(held_out):
    images, labels = held_out
    steps, edge = contrast(images), borders(labels)
    assert steps[edge].mean() > 2.5 * steps[~edge].mean()
    # One pixel off is worse, three pixels off is much worse.
    for distance, factor in ((1, 1.07), (3, 1.3)):
        for shift in ((0, distance), (0, -distance), (distance, 0), (-distance, 0)):
            moved = np.roll(edge, shift, (1, 2))
            assert steps[edge].mean() > factor * steps[moved].mean(), shift


# --- not to be told by colour and position -------------------------------------------


def features(
    images: np.ndarray, labels: np.ndarray, per_scene: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(R, G, B, row, column), all 0..255, and ids of some labelled pixels."""
    count, height, width = labels.shape
    scene = np.repeat(np.arange(count), per_scene)
    row, column = (rng.integers(0, size, scene.size) for size in (height, width))
    position = np.stack([row * 255 / height, column * 255 / width], 1)
    values = np.concatenate([images[scene, row, column], position], 1)
    ids = labels[scene, row, column]
    return values[ids != VOID].astype(np.float32), ids[ids != VOID]


def mean_iou(ids: np.ndarray, predicted: np.ndarray) -> float:
    matrix = np.zeros((11, 11))
    np.add.at(matrix, (ids, predicted), 1)
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return float((matrix.diagonal() / union).mean())


def nearest_neighbours(values, ids, queries, balance):
    """Vote of the nearest pixels; `balance` 1 counts a rare class as much as others."""
    weights = np.bincount(ids, minlength=11) ** -float(balance)
    predicted = []
    for block in np.array_split(queries, 40):
        distances = (values**2).sum(1) - 2 * block @ values.T
        nearest = ids[np.argpartition(distances, 15, 1)[:, :15]]
        votes = (nearest[..., None] == np.arange(11)).sum(1) * weights
        predicted.append(votes.argmax(1))
    return np.concatenate(predicted)


def histogram(values, ids, queries, balance):
    """Counts of the classes in boxes of colour and position, over coarser boxes."""
    scores = np.zeros((len(queries), 11))
    for bins, trust in ((2, 1e-3), (4, 1e-1), (7, 10)):
        powers = bins ** np.arange(5)
        counts = np.zeros((bins**5, 11))
        np.add.at(counts, ((values * (bins / 256)).astype(int) @ powers, ids), 1)
        scores += trust * counts[(queries * (bins / 256)).astype(int) @ powers]
    return (scores / np.bincount(ids, minlength=11) ** float(balance)).argmax(1)


@pytest.mark.parametrize("balance", [0, 0.5, 1])
@pytest.mark.parametrize("classifier", [nearest_neighbours, histogram])
def test_a_classifier_of_single_pixels_fails(training, held_out, classifier, balance):
    rng = np.random.default_rng(0)
    values, ids = features(*training, 400, rng)
    queries, truth = features(*held_out, 300, rng)
    score = mean_iou(truth, classifier(values, ids, queries, balance))
    constant = mean_iou(truth, np.full_like(truth, np.bincount(ids).argmax()))
    assert constant < 0.05
    # It learns what there is to learn, or its failure would say nothing.
    assert 2 * constant < score < 0.30
