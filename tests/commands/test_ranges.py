"""Images of more than 8 bits, from the data set to the exported file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from docs.leaves import write_leaves
from segnet_tf.commands import evaluate as evaluate_command
from segnet_tf.commands.predict import predict_files
from segnet_tf.datasets import registry
from segnet_tf.datasets.images import read_image
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.export.tflite import export_tflite
from segnet_tf.inference.model_file import read_labels, save_model
from segnet_tf.inference.predictor import Predictor
from segnet_tf.inference.tflite_metadata import read_metadata
from segnet_tf.training import trainer
from segnet_tf.training.config import TrainConfig

SIZE = (64, 96)


@pytest.fixture(scope="module")
def model():
    from networks import network

    return network("segnet_basic")


@pytest.fixture
def deep(tmp_path):
    """A picture of 12 bits in 16, dark in its upper half."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4096, SIZE).astype(np.uint16)
    values[:32] //= 4
    path = tmp_path / "deep.png"
    Image.fromarray(values).save(path)
    return path


def labels_in(folder):
    return np.asarray(Image.open(folder / "deep_labels.png"))


def test_a_model_scales_as_its_training_images_were(model, deep, tmp_path, capsys):
    keras_file, lite_file = tmp_path / "m.keras", tmp_path / "m.tflite"
    info = replace(INFO, value_range=(0.0, 4095.0), image_size=SIZE)
    save_model(model, keras_file, info)
    export_tflite(model, lite_file, info, SIZE)
    assert read_labels(keras_file).value_range == (0, 4095)
    assert read_metadata(lite_file).info.value_range == (0, 4095)
    expected = Predictor(lite_file).labels(read_image(deep, 3, (0, 4095)))
    predict_files([str(deep)], str(lite_file), tmp_path / "lite")
    assert_array_equal(labels_in(tmp_path / "lite"), expected)
    predict_files([str(deep)], str(keras_file), tmp_path / "keras")
    assert (labels_in(tmp_path / "keras") == expected).mean() > 0.999
    assert "warning" not in capsys.readouterr().out
    # --range wins over the model's.
    predict_files([str(deep)], str(lite_file), tmp_path / "1", value_range=(0, 1023))
    other = Predictor(lite_file).labels(read_image(deep, 3, (0, 1023)))
    assert_array_equal(labels_in(tmp_path / "1"), other)


def test_an_image_that_is_nearly_black_to_the_model(model, deep, tmp_path, capsys):
    file = tmp_path / "m.tflite"
    export_tflite(model, file, replace(INFO, image_size=SIZE), SIZE)
    predict_files([str(deep)], str(file), tmp_path / "out")
    assert "values, 0 to 4095, are little of the range 0 to 65535" in (
        capsys.readouterr().out
    )


def test_an_image_that_is_too_bright_for_the_model(model, deep, tmp_path, capsys):
    file = tmp_path / "m.tflite"
    info = replace(INFO, value_range=(0.0, 1023.0), image_size=SIZE)
    export_tflite(model, file, info, SIZE)
    predict_files([str(deep)], str(file), tmp_path / "out")
    out = capsys.readouterr().out
    # The upper half is dark; of the lower one, three of four values are too bright.
    assert "37% of its values are outside of the range 0 to 1023" in out
    assert "give --range 0-4095" in out
    predict_files([str(deep)], str(file), tmp_path / "1", value_range=(0, 1023))
    assert "warning" not in capsys.readouterr().out, "the user chose it"


def test_a_range_that_8_bits_do_not_use_is_said(model, tmp_path, capsys):
    file, path = tmp_path / "m.tflite", tmp_path / "a.png"
    export_tflite(model, file, replace(INFO, image_size=SIZE), SIZE)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(path)
    predict_files([str(path)], str(file), tmp_path / "out", value_range=(0, 100))
    said = "a.png: has 8 bits, for which --range does not count"
    assert said in capsys.readouterr().out
    predict_files([str(path)], str(file), tmp_path / "1")
    assert "warning" not in capsys.readouterr().out


def test_scoring_says_how_images_are_scaled(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_leaves(tmp_path / "camera", 5, 96, 72, "12-bit")
    write_leaves(tmp_path / "leaves", 5, 96, 72)
    monkeypatch.setattr(evaluate_command, "score", lambda *_: None)
    classes = registry.load("folder", "val", "leaves").info

    def said(value_range, data, *flags) -> str:
        info = replace(classes, value_range=value_range)
        monkeypatch.setattr(evaluate_command, "read_labels", lambda path: info)
        monkeypatch.setattr(evaluate_command, "find_model", lambda *_: Path("m.keras"))
        evaluate_command.main(["--data-dir", data, *flags])
        return capsys.readouterr().out

    assert said(None, "leaves") == ""
    usual = "more than 8 bits: 0 is black, 4095 is white\n"
    assert said((0.0, 4095.0), "camera") == usual
    out = said((0.0, 4095.0), "camera", "--range", "0-65535")
    assert "0 is black, 65535 is white" in out
    assert (
        "these images are scaled by 0 to 65535, but the model's training images are "
        "scaled by 0 to 4095"
    ) in out
    assert "val: its images use 0 to 4095, but are scaled by 0 to 65535" in out
    assert "training images have 8 bits" in said(None, "camera")
    assert "these images have 8 bits, but the model's" in said((0.0, 4095.0), "leaves")
    assert "use 0 to 4095, but are scaled by 0 to 511" in said((0.0, 511.0), "camera")


@pytest.mark.slow
def test_training_and_scoring_on_12_bits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_leaves(tmp_path / "camera", 5, 96, 72, "12-bit")
    config = TrainConfig.of(
        dataset="folder",
        data_dir="camera",
        model="segnet_lite",
        encoder_weights="none",
        epochs=1,
        batch_size=2,
        crop=(32, 32),
        warmup_steps=0,
    )
    run = trainer.train(config)
    out = capsys.readouterr().out
    assert "more than 8 bits: 0 is black, 4095 is white" in out
    assert read_labels(run / "model.keras").value_range == (0, 4095)
    # One dark picture would have a range of its own; it is read as the model's.
    for path in sorted((tmp_path / "camera/images").iterdir()):
        pixels = np.asarray(Image.open(path)) // 8
        Image.fromarray(pixels.astype(np.uint16)).save(path)
    dark = registry.load("folder", "val", "camera")
    assert dark.info.value_range == (0, 511)
    flags = ["--model", str(run), "--data-dir", "camera"]
    evaluate_command.main(flags)
    read = {}
    monkeypatch.setattr(evaluate_command, "score", lambda path, split, *_: read.update(
        image=split.read(0)[0]
    ))  # fmt: skip
    evaluate_command.main(flags)
    assert read["image"].max() <= 32
    evaluate_command.main([*flags, "--range", "0-511"])
    assert read["image"].max() > 100
