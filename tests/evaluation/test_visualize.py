"""Pictures: ids survive, colours are right, the legend says what is there."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from segnet_tf.datasets.dataset import DatasetInfo
from segnet_tf.evaluation import visualize
from segnet_tf.evaluation.overlays import overlay
from segnet_tf.evaluation.plots import draw_confusion, draw_curves
from segnet_tf.evaluation.visualize import (
    VOID_STRIPES,
    WRONG_COLOUR,
    class_shares,
    colour_labels,
    comparison,
    comparison_sheet,
    error_image,
    fit_width,
    font,
    palette_image,
)

INFO = DatasetInfo(
    "toy", ("Sky", "Road", "Car"), ((10, 20, 30), (200, 0, 0), (0, 250, 0))
)


@pytest.fixture
def labels(rng) -> np.ndarray:
    labels = rng.integers(0, 3, (30, 40)).astype(np.uint8)
    labels[:2] = 255
    return labels


def test_palette_image_holds_ids_and_colours(labels, tmp_path):
    path = tmp_path / "labels.png"
    palette_image(labels, INFO).save(path)
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        colours = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colours, colour_labels(labels, INFO))
    assert (colours[labels == 1] == (200, 0, 0)).all()
    assert (colours[labels == 255] == 0).all()


def test_class_shares(labels):
    shares = class_shares(labels, INFO)
    assert [share for _, share in shares] == sorted(
        (s for _, s in shares), reverse=True
    )
    for index, share in shares:
        assert share == (labels == index).mean()
    only = class_shares(np.full((3, 3), 2, np.uint8), INFO)
    assert only == [(2, 1.0)]


def is_hatched(pixels) -> bool:
    """Whether these pixels (n, 3) are stripes of both shades, about half and half."""
    first, second = ((pixels == stripe).all(axis=-1) for stripe in VOID_STRIPES)
    return bool((first | second).all() and 0.3 < first.mean() < 0.7)


def test_overlay_tints_by_class_and_hatches_void(labels, rng):
    image = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    picture = np.asarray(overlay(image, labels, INFO, opacity=0.5))
    assert picture.shape[0] >= 30 and picture.shape[1] > 40
    tinted = picture[:30, :40].astype(int)
    void = labels == 255
    assert is_hatched(tinted[void])
    expected = (image.astype(int) + colour_labels(labels, INFO)) / 2
    np.testing.assert_allclose(tinted[~void], expected[~void], atol=0.5)
    key = {tuple(colour) for colour in picture[:, 40:].reshape(-1, 3).tolist()}
    assert set(VOID_STRIPES) <= key
    labels[void] = 0
    key = np.asarray(overlay(image, labels, INFO))[:, 40:].reshape(-1, 3).tolist()
    assert VOID_STRIPES[0] not in map(tuple, key), "no void, no line about it"


def test_void_is_no_black_class():
    """In truth, errors, overlay and legend."""
    info = DatasetInfo("toy", ("background", "leaf"), ((0, 0, 0), (0, 250, 0)))
    image, labels = np.zeros((8, 12, 3), np.uint8), np.zeros((8, 12), np.uint8)
    labels[:, 6:] = 255
    _, truth, _, errors = comparison(image, labels, labels, info)
    tinted = np.asarray(overlay(image, labels, info))[:8, :12]
    for picture in (truth, errors, tinted):
        assert is_hatched(picture[:, 6:].reshape(-1, 3))
        assert len(np.unique(picture[:, :6].reshape(-1, 3), axis=0)) == 1
    assert (truth[:, :6] == 0).all()
    sheet = comparison_sheet([("a", image, labels, labels * 0)], info)
    key = np.asarray(sheet)[:, 4 * 324 :].reshape(-1, 3).tolist()
    assert {(0, 0, 0), *VOID_STRIPES} <= set(map(tuple, key))


def drawn(text: str) -> bytes:
    picture = Image.new("L", (200, 20))
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=font(13))
    return picture.tobytes()


def test_letters_of_other_alphabets_are_drawn():
    """What a font does not have is drawn as the same box, whatever it is."""
    assert len({drawn(letter) for letter in "дЯλעعđñẹ"} - {drawn("\U0010fffd")}) == 8


def test_without_matplotlib_the_letters_are_pillows(monkeypatch):
    assert font(13).getname()[0] == "DejaVu Sans"
    monkeypatch.setattr(visualize, "find_spec", lambda name: None)
    truetype = ImageFont.truetype

    def none_installed(source, size, **options):
        if isinstance(source, str):
            raise OSError("cannot open resource")
        return truetype(source, size, **options)

    monkeypatch.setattr(ImageFont, "truetype", none_installed)
    assert font.__wrapped__(13).getname() == ImageFont.load_default(13).getname()


def test_letters_that_no_font_has_print_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_confusion(np.eye(2, dtype=int), ("叶", "斑"), tmp_path / "confusion.png")


def test_legend_shows_the_classes_found():
    labels = np.array([[0, 0], [0, 2]], np.uint8)
    picture = np.asarray(overlay(np.zeros((2, 2, 3), np.uint8), labels, INFO))
    panel = {tuple(colour) for colour in picture[:, 2:].reshape(-1, 3)}
    assert {INFO.colours[0], INFO.colours[2]} <= panel
    assert INFO.colours[1] not in panel


def test_overlay_of_void_alone():
    void = np.full((3, 4), 255, np.uint8)
    assert overlay(np.zeros((3, 4, 3), np.uint8), void, INFO).size[1] >= 3


def test_curves_are_drawn_with_and_without_validation(tmp_path):
    rows = [{"epoch": 1, "loss": 2.0, "mean_iou": 0.1}]
    draw_curves(rows, tmp_path / "one.png")
    rows.append({"epoch": 2, "loss": 1.0, "mean_iou": 0.2, "val_mean_iou": 0.1})
    draw_curves(rows, tmp_path / "two.png")
    one, two = (
        Image.open(tmp_path / name).tobytes() for name in ("one.png", "two.png")
    )
    assert one != two


def test_errors_mark_wrong_pixels_and_void_and_nothing_else(labels, rng):
    image = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    prediction = np.where(labels == 255, 1, labels).astype(np.int64)
    prediction[10:14, 5:9] = (labels[10:14, 5:9].astype(int) + 1) % 3
    errors = error_image(image, labels, prediction)
    wrong, void = np.zeros((30, 40), bool), labels == 255
    wrong[10:14, 5:9] = True
    assert (errors[wrong] == WRONG_COLOUR).all()
    assert is_hatched(errors[void]), "a prediction on void is no error"
    right = errors[~wrong & ~void].astype(int)
    assert (right == right[:, :1]).all() and right.min() >= 150
    brightness = image[~wrong & ~void].mean(axis=-1)
    assert np.corrcoef(right[:, 0], brightness)[0, 1] > 0.99


def test_comparison_holds_image_truth_prediction_and_errors(labels, rng):
    image = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    prediction = rng.integers(0, 3, (30, 40))
    parts = comparison(image, labels, prediction, INFO)
    truth, void = parts[1], labels == 255
    assert is_hatched(truth[void])
    assert (truth[~void] == colour_labels(labels, INFO)[~void]).all()
    expected = (
        image,
        truth,
        np.array(INFO.colours)[prediction],
        error_image(image, labels, prediction),
    )
    for part, wanted in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, wanted)
    # On a sheet of their own width they stand unchanged, one pitch apart.
    sheet = np.asarray(comparison_sheet([("a", image, labels, prediction)], INFO, 40))
    for column, wanted in enumerate(expected):
        left = column * 44
        np.testing.assert_array_equal(sheet[40:70, left : left + 40], wanted)
    key = {tuple(colour) for colour in sheet[:, 4 * 44 :].reshape(-1, 3).tolist()}
    assert {*INFO.colours, WRONG_COLOUR, *VOID_STRIPES} <= key


def test_a_sheet_lists_the_classes_it_shows():
    image, zeros = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    rows = [("one", image, zeros, zeros), ("two", image, zeros, zeros + 2)]
    sheet = np.asarray(comparison_sheet(rows, INFO, 64))
    key = {tuple(colour) for colour in sheet[:, 4 * 68 :].reshape(-1, 3).tolist()}
    assert {INFO.colours[0], INFO.colours[2]} <= key and INFO.colours[1] not in key


@pytest.mark.parametrize("size", [(3, 900), (900, 3), (1, 1), (600, 800)])
def test_fit_width_bounds_both_sides_and_mixes_no_labels(size, rng):
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    labels = rng.choice([0, 7, 255], size).astype(np.uint8)
    small, ids = fit_width(80, image, labels)
    assert small.shape[:2] == ids.shape
    assert ids.shape[1] <= 80 and ids.shape[0] <= 120
    assert set(np.unique(ids)) <= {0, 7, 255}


@pytest.mark.parametrize("count", [1, 3, 37, 150])
def test_confusion_is_drawn_for_few_and_many_classes(count, tmp_path):
    confusion = np.diag(np.arange(count) * 10)
    confusion[:, 0] += 1
    confusion[0] = 0  # a class that the ground truth does not hold
    names = tuple(f"class number {index}" for index in range(count))
    draw_confusion(confusion, names, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        # Sixteen pixels a name is what can still be read.
        assert min(picture.size) >= 16 * count
        darker = np.asarray(picture.convert("L")) < 128
    assert darker.any()


def test_the_legend_grows_with_the_picture():
    labels = np.zeros((1440, 1920), np.uint8)
    labels[:700] = 1
    small, large = (
        overlay(np.zeros((*ids.shape, 3), np.uint8), ids, INFO)
        for ids in (labels[::3, ::3], labels)
    )
    keys = [picture.width - width for picture, width in ((small, 640), (large, 1920))]
    assert keys[1] == pytest.approx(3 * keys[0], rel=0.05)
