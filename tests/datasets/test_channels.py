"""Grey images, and images of four channels: from the file to the exported network."""

import json
import re
from dataclasses import replace
from importlib import import_module

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import small
from PIL import Image

from segnet_tf import datasets
from segnet_tf.datasets.images import grey, read_image, resized
from segnet_tf.datasets.pipeline import evaluation_batches, training_batches
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.evaluation.overlays import overlay
from segnet_tf.evaluation.visualize import as_rgb, comparison_sheet
from segnet_tf.export import parity
from segnet_tf.export.describe import describe
from segnet_tf.export.onnx import export_onnx
from segnet_tf.export.quantization import calibration_files, calibration_images
from segnet_tf.export.savedmodel import export_savedmodel
from segnet_tf.export.tflite import export_tflite
from segnet_tf.inference.model_file import read_labels, save_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.models import SegNet, SegNetBasic, SegNetLite
from segnet_tf.models.networks import NETWORKS
from segnet_tf.models.pretrained import load_vgg16_kernels
from segnet_tf.training.augmentation import Augmentation, augment
from segnet_tf.training.building import build
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.trainer import train

SLOW = pytest.mark.slow
LOW, HIGH = 60, 190
SIZE = (32, 48)


def coded(number: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose last channel alone tells the two classes apart, and its labels."""
    rng = np.random.default_rng(number)
    blocks = rng.integers(0, 2, (SIZE[0] // 8, SIZE[1] // 8), np.uint8)
    labels = blocks.repeat(8, axis=0).repeat(8, axis=1)
    image = rng.integers(90, 150, (*SIZE, channels), np.uint8)
    image[..., -1] = np.where(labels, HIGH, LOW)
    return image, labels


def as_file(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


@pytest.fixture(params=[1, 4])
def channels(request) -> int:
    return request.param


@pytest.fixture
def data(tmp_path, channels):
    """A folder of 40 grey or RGBA images, as a user has it."""
    root = tmp_path / "data"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(40):
        image, labels = coded(number, channels)
        as_file(image).save(root / "images" / f"{number:02}.png")
        Image.fromarray(labels).save(root / "masks" / f"{number:02}.png")
    (root / "classes.txt").write_text("low\nhigh\n")
    return root


def command(name: str, *flags):
    """Runs a command in this process: TensorFlow is here already."""
    import_module(f"segnet_tf.commands.{name}").main([*map(str, flags)])


def test_batches_have_the_channels(data, channels):
    split = datasets.load("folder", "train", data, channels)
    assert split.info.channels == channels
    changes = Augmentation((16, 24), (0.5, 1.3))

    def drawn(image, labels, seed):
        return augment(image, labels, changes, seed)

    images, labels = next(iter(training_batches(split, drawn, 3, seed=0)))
    assert images.shape == (3, 16, 24, channels) and labels.shape == (3, 16, 24)
    image, labels = next(iter(evaluation_batches(split)))
    bright = image[..., -1] > 128
    np.testing.assert_array_equal(bright, labels == 1)


@SLOW
def test_train_evaluate_predict_export(data, channels, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parity, "RUNS", 1)
    arguments = {"encoder": ((8, 8), (8,))}
    shallow = replace(NETWORKS["segnet"], arguments=arguments)
    monkeypatch.setitem(NETWORKS, "segnet", shallow)
    config = TrainConfig.of(
        dataset="folder", data_dir=str(data), channels=channels, model="segnet",
        crop=SIZE, zoom=(1.0, 1.0), color_jitter=0.1, epochs=3, batch_size=2,
        warmup_steps=0, learning_rate=2e-2, validate_every=3, save_best=False,
    )  # fmt: skip
    run = train(config)
    assert read_labels(run / "model.keras").channels == channels

    flags = ("--model", run, "--dataset=folder", "--data-dir", data)
    command("evaluate", *flags)
    [metrics] = (tmp_path / "evaluations").glob("*/metrics.json")
    # With RGB of the four channels alone, half of the pixels would be right.
    assert json.loads(metrics.read_text())["global_accuracy"] > 0.9

    command("export", *flags, "--size=32x48")
    exported = run / "model_float32.tflite"
    report = json.loads((run / "model_float32.tflite.json").read_text())
    assert report["passed"] and report["mean_iou"]["file"] > 0.8
    kind = {1: "grey", 4: "RGB and a fourth"}[channels]
    assert f"height, width, {kind}" in describe(exported)

    image = data / "images" / "00.png"
    for model in (run / "model.keras", exported):
        command("predict", image, "--model", model)
        labels = np.asarray(Image.open(tmp_path / "predictions" / "00_labels.png"))
        assert (labels == coded(0, channels)[1]).mean() > 0.9
    capsys.readouterr()


def test_predict_says_what_an_image_lacks(tmp_path):
    model = SegNetBasic(num_classes=11, input_channels=4, filters=8)
    save_model(model, tmp_path / "model.keras", INFO)
    predictor = Predictor(tmp_path / "model.keras")
    assert predictor.info.channels == 4
    for shape, kind in (((8, 8, 3), np.uint8), ((8, 8, 4), np.float32)):
        wrong = np.zeros(shape, kind)
        said = re.escape(f"(height, width, 4) of uint8, not {shape} of {wrong.dtype}")
        with pytest.raises(UserError, match=said):
            predictor.labels(wrong)


# --- reading -------------------------------------------------------------------------


def test_grey_is_what_the_eye_sees(tmp_path, rng):
    pixels = rng.integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    image = read_image(tmp_path / "colour.png", 1)
    assert image.shape == (5, 7, 1) and image.dtype == np.uint8
    expected = pixels @ (0.299, 0.587, 0.114)
    np.testing.assert_allclose(image[..., 0], expected, atol=0.51)
    levels = np.arange(256, dtype=np.uint8)[None]
    Image.fromarray(levels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", 1)[..., 0], levels)


def test_four_channels_are_read_as_they_are_stored(tmp_path, rng):
    pixels = rng.integers(0, 256, (6, 4, 4), np.uint8)
    pixels[:2, :, 3] = 0  # "transparent", but measured all the same
    Image.fromarray(pixels).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", 4), pixels)
    Image.fromarray(pixels[..., :3]).save(tmp_path / "colour.png")
    with pytest.raises(UserError, match=r"colour.png: has R\+G\+B, not four channels"):
        read_image(tmp_path / "colour.png", 4)
    with pytest.raises(ValueError, match="channels must be one of"):
        read_image(tmp_path / "image.png", 2)


def test_resizing_keeps_the_channels_apart(rng):
    image = np.full((8, 8, 4), (200, 100, 50, 0), np.uint8)
    small_image = resized(image, (3, 5), Image.Resampling.BILINEAR)
    assert small_image.shape == (3, 5, 4)
    assert (small_image == (200, 100, 50, 0)).all()


def test_calibration_images_have_the_channels(data, channels):
    files = calibration_files(data / "images")
    images = calibration_images(files, (16, 24), channels)
    assert len(images) == 40 and {i.shape for i in images} == {(16, 24, channels)}
    low, high = images[0][..., -1].min(), images[0][..., -1].max()
    assert (low, high) == (LOW, HIGH)


def test_other_data_sets_in_grey():
    colour = datasets.load("synthetic", "val:1")
    split = datasets.load("synthetic", "val:1", channels=1)
    assert split.info.channels == 1 and colour.info.channels == 3
    image, labels = split.read(0)
    np.testing.assert_array_equal(image, grey(colour.read(0)[0]))
    np.testing.assert_array_equal(labels, colour.read(0)[1])
    with pytest.raises(UserError, match="synthetic has RGB images"):
        datasets.load("synthetic", "val:1", channels=4)


# --- augmentation --------------------------------------------------------------------


def test_light_and_damage_leave_a_fourth_channel_alone():
    image, _ = coded(0, 4)
    fourth = image[..., 3]
    changes = Augmentation(SIZE, (1.0, 1.0), color_jitter=0.9, corruption=1.0)
    changed = 0
    for seed in range(8):
        crop, labels = augment(image, fourth, changes, (0, seed))
        assert crop.shape == (*SIZE, 4)
        # It moves along: its labels here are its own values.
        np.testing.assert_array_equal(crop[..., 3], labels)
        changed += abs(float(tf.reduce_mean(crop[..., :3])) - image[..., :3].mean()) > 5
    assert changed > 4


def test_grey_changes_in_light_and_damage():
    image, labels = coded(0, 1)
    for degrade in (0.0, 1.0):
        changes = Augmentation(SIZE, (1.0, 1.0), color_jitter=0.5, corruption=degrade)
        crops = [augment(image, labels, changes, (0, seed))[0] for seed in range(6)]
        assert {crop.shape for crop in crops} == {(*SIZE, 1)}
        means = [float(tf.reduce_mean(crop)) for crop in crops]
        assert np.ptp(means) > 20


# --- networks ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_from_other_channels(name, channels):
    model = small(name, num_classes=2, input_channels=channels)
    image, labels = coded(0, channels)
    with tf.GradientTape() as tape:
        logits = model(tf.constant(image[None], tf.float32), training=True)
        loss = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(labels[None], logits, True)
        )
    first = next(v for v in model.trainable_variables if v.path.endswith("kernel"))
    assert first.shape[2] == channels
    gradient = tape.gradient(loss, first.value).numpy()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=(0, 1, 3)) > 0).all()


def test_the_imagenet_encoder_meets_other_channels(rng):
    colour = rng.uniform(0, 255, (1, 32, 48, 3)).astype("float32")
    bright = colour[..., :1]

    def encoded(image):
        options = {"encoder_weights": "imagenet", "input_channels": image.shape[-1]}
        model = SegNetLite(num_classes=2, **options)
        stage = keras.Model(
            model.inputs[0], model.get_layer("block1_project_bn").output
        )
        return stage(image).numpy()

    expected = encoded(np.repeat(bright, 3, axis=-1))
    np.testing.assert_allclose(encoded(bright), expected, rtol=1e-3, atol=1e-3)
    four = np.concatenate([colour, bright], axis=-1)
    np.testing.assert_allclose(encoded(four), encoded(colour), rtol=1e-3, atol=1e-3)


def test_vgg16s_kernels_want_colour(channels):
    config = TrainConfig.of(
        model="segnet", channels=channels, encoder_weights="imagenet"
    )
    with pytest.raises(UserError, match=f"conv1_1 takes {channels} channel"):
        build(config, 2)
    with pytest.raises(UserError, match="no such file"):  # the channels are right
        load_vgg16_kernels(SegNet(2), "missing.h5")


# --- export --------------------------------------------------------------------------


@pytest.mark.parametrize("quantize", ["none", pytest.param("int8", marks=SLOW)])
def test_tflite_without_data(channels, quantize, tmp_path):
    model = SegNet(input_channels=channels, encoder=((8,), (8,)))
    images = parity.trial_images(SIZE, None, [], channels)
    assert {image.shape for image in images} == {(*SIZE, channels)}
    many = [np.roll(image, shift, axis=1) for image in images for shift in range(13)]
    path = tmp_path / "model.tflite"
    metadata = export_tflite(model, path, INFO, SIZE, quantize, calibration=many)
    assert metadata.info.channels == channels
    predictor = Predictor(path)
    assert predictor.info.channels == channels
    predicted = predictor.logits(images[0])
    expected = model(images[0][None].astype("float32"))[0].numpy()
    spread = {"none": 1e-3, "int8": 0.2}[quantize] * np.ptp(expected)
    assert np.abs(predicted - expected).mean() < spread


@SLOW
def test_savedmodel_and_onnx(channels, tmp_path):
    model = small("segnet_basic", input_channels=channels)
    image, _ = coded(0, channels)
    expected = model(image[None].astype("float32")).numpy()[0]
    export_savedmodel(model, tmp_path / "1", INFO)
    predictor = Predictor(tmp_path / "1")
    assert predictor.info.channels == channels
    np.testing.assert_array_equal(predictor.labels(image), expected.argmax(-1))
    as_file(image).save(tmp_path / "image.png")
    serve = tf.saved_model.load(str(tmp_path / "1")).signatures["serve_encoded"]
    data = tf.constant([(tmp_path / "image.png").read_bytes()])
    labels = serve(encoded=data)["labels"].numpy()[0]
    np.testing.assert_array_equal(labels, expected.argmax(-1))
    pytest.importorskip("tf2onnx")
    export_onnx(model, tmp_path / "model.onnx", INFO)
    found = Predictor(tmp_path / "model.onnx").logits(image)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.ptp(expected))


# --- pictures ------------------------------------------------------------------------


def test_pictures_of_other_channels(channels):
    image, labels = coded(0, channels)
    shown = as_rgb(image)
    assert shown.shape == (*SIZE, 3)
    np.testing.assert_array_equal(shown[..., 0], image[..., 0])
    picture = overlay(image, labels, INFO, opacity=0.0)
    np.testing.assert_array_equal(np.asarray(picture)[: SIZE[0], : SIZE[1]], shown)
    sheet = comparison_sheet([("x", image, labels, labels)], INFO, width=SIZE[1])
    np.testing.assert_array_equal(
        np.asarray(sheet)[40 : 40 + SIZE[0], : SIZE[1]], shown
    )
