"""What the options of a run do, from the weights they start with to those they keep."""

from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from segnet_tf import datasets, load_model
from segnet_tf.datasets import registry
from segnet_tf.datasets.synthetic import INFO
from segnet_tf.errors import UserError
from segnet_tf.inference.model_file import save_model
from segnet_tf.models import SegNet, SegNetBasic, SegNetLite
from segnet_tf.models.pretrained import (
    KERNELS,
    copy_matching_weights,
    load_vgg16_kernels,
)
from segnet_tf.training import trainer
from segnet_tf.training.augmentation import Augmentation
from segnet_tf.training.building import build
from segnet_tf.training.config import TrainConfig
from segnet_tf.training.tensorboard import Panels
from segnet_tf.training.trainer import _warn_of_overlap, train

QUICK = {
    "train_split": "train:4",
    "val_split": "val:1",
    "model": "segnet_basic",
    "crop": (32, 48),
    "batch_size": 2,
    "epochs": 2,
}


# Weights to start from


@pytest.fixture(scope="module")
def vgg16_file(tmp_path_factory):
    """VGG16 with random weights, as Keras writes it."""
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.weights.h5"
    keras.applications.VGG16(include_top=False, weights=None).save_weights(path)
    return path


def test_vgg16_kernels_see_what_they_saw(vgg16_file, rng):
    """The first convolution gives what VGG16's gives on VGG16's own preprocessing."""
    model = SegNet()
    load_vgg16_kernels(model, vgg16_file)
    vgg16 = keras.applications.VGG16(include_top=False, weights=None)
    vgg16.load_weights(vgg16_file)
    image = rng.integers(0, 256, (1, 12, 12, 3)).astype(np.float32)
    theirs = keras.Model(vgg16.input, vgg16.get_layer("block1_conv1").output)
    # VGG16 ends its layer with a ReLU and starts it with a bias of 0.
    expected = theirs(keras.applications.vgg16.preprocess_input(image.copy()))
    ours = keras.Model(model.input, model.get_layer("conv1_1").output)(image)
    np.testing.assert_allclose(tf.nn.relu(ours), expected, rtol=1e-4, atol=1e-2)
    for layer in ("conv3_2", "conv5_3"):
        np.testing.assert_array_equal(
            model.get_layer(layer).kernel, vgg16.get_layer(KERNELS[layer]).kernel
        )


def write_kernels(path, shapes: dict, pattern: str) -> None:
    with h5py.File(path, "w") as file:
        for name, shape in shapes.items():
            kernel = np.full(shape, float(name[5]), np.float32)
            file[pattern.format(name)] = kernel
            file[pattern.format(name) + "_bias"] = np.zeros(shape[-1], np.float32)


@pytest.fixture(scope="module")
def segnet():
    return SegNet()


@pytest.fixture(scope="module")
def vgg16_shapes(segnet) -> dict:
    return {KERNELS[n]: segnet.get_layer(n).kernel.shape for n in KERNELS}


@pytest.mark.parametrize("pattern", ["{0}/{0}_W_1:0", "{0}/{0}/kernel:0"])
def test_vgg16_files_of_older_keras(tmp_path, segnet, vgg16_shapes, pattern):
    write_kernels(tmp_path / "vgg16.h5", vgg16_shapes, pattern)
    segnet.get_layer("conv4_2").kernel.assign(np.zeros((3, 3, 512, 512)))
    load_vgg16_kernels(segnet, tmp_path / "vgg16.h5")
    assert float(segnet.get_layer("conv4_2").kernel.numpy().mean()) == 4.0


def test_a_vgg16_file_that_does_not_fit_names_the_layer(tmp_path, segnet, vgg16_shapes):
    wide = {**vgg16_shapes, "block3_conv2": (3, 3, 256, 8)}
    write_kernels(tmp_path / "wide.h5", wide, "{0}/kernel")
    with pytest.raises(UserError, match="wide.h5: layer block3_conv2 .*conv3_2"):
        load_vgg16_kernels(segnet, tmp_path / "wide.h5")
    short = {name: shape for name, shape in wide.items() if name != "block5_conv1"}
    write_kernels(tmp_path / "short.h5", short, "{0}/kernel")
    with pytest.raises(UserError, match="no kernel of layer block5_conv1"):
        load_vgg16_kernels(segnet, tmp_path / "short.h5")


def test_vgg16_kernels_where_there_are_none(tmp_path, segnet, monkeypatch):
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(UserError, match="not an HDF5 file"):
        load_vgg16_kernels(segnet, tmp_path / "text.h5")
    whole = tmp_path / "whole.h5"
    write_kernels(whole, {"block1_conv1": (3, 3, 3, 64)}, "{0}/kernel")
    (tmp_path / "cut.h5").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(UserError, match="cut.h5: damaged file"):
        load_vgg16_kernels(segnet, tmp_path / "cut.h5")
    with pytest.raises(UserError, match="no such file"):
        load_vgg16_kernels(segnet, tmp_path / "none.h5")
    with pytest.raises(UserError, match="none come with segnet_basic"):
        load_vgg16_kernels(SegNetBasic(), "imagenet")

    def no_network(**_):
        raise Exception("URL fetch failure on https://... : None -- unreachable")

    monkeypatch.setattr(keras.applications, "VGG16", no_network)
    with pytest.raises(UserError, match="notop.h5 elsewhere .*--encoder-weights FILE"):
        load_vgg16_kernels(segnet, "imagenet")


def test_segnet_lite_takes_no_file(tmp_path):
    config = TrainConfig.of(encoder_weights=str(tmp_path / "x.h5"))
    with pytest.raises(UserError, match="--init-from"):
        build(config, 3)


def test_init_from_a_run_with_other_classes(tmp_path, capsys):
    keras.utils.set_random_seed(1)
    donor = SegNetLite(num_classes=11, width=0.25)
    keras.utils.set_random_seed(2)
    target = SegNetLite(num_classes=4, width=0.25)
    classifier = target.get_layer("classifier").get_weights()
    assert copy_matching_weights(donor, target) == ["classifier"]
    for layer in target.layers:
        if layer.name != "classifier":
            for ours, theirs in zip(
                layer.weights, donor.get_layer(layer.name).weights, strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)
    for new, old in zip(
        target.get_layer("classifier").get_weights(), classifier, strict=True
    ):
        np.testing.assert_array_equal(new, old)
    with pytest.raises(UserError, match="no layer of segnet_basic fits segnet_lite"):
        copy_matching_weights(SegNetBasic(filters=8), target)


def test_build_says_what_init_from_did_not_bring(tmp_path, capsys):
    save_model(SegNetBasic(num_classes=11), tmp_path / "model.keras", INFO)
    config = TrainConfig.of(model="segnet_basic", init_from=str(tmp_path))
    model = build(config, 3)
    assert "; new: conv_classifier" in capsys.readouterr().out
    donor = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        model.get_layer("conv1").kernel, donor.get_layer("conv1").kernel
    )


def test_every_option_of_the_crops_is_passed_on():
    given = {"crop": (40, 48), "zoom": (0.7, 0.9), "flip": False, "color_jitter": 0.1}
    config = TrainConfig.of(**given, corruption=0.25)
    assert config.augmentation == Augmentation(**given, corruption=0.25)


# Whole runs


def test_a_run_shows_and_keeps_the_averaged_weights(tmp_path, monkeypatch):
    """With momentum near 1 the average stays at the first update's weights."""
    shown = []
    monkeypatch.setattr(
        Panels,
        "on_test_end",
        lambda self, logs: shown.append(self.model.get_layer("conv1").kernel.numpy()),
    )
    keras.utils.set_random_seed(0)
    start = build(TrainConfig.of(**QUICK), 11).get_layer("conv1").kernel.numpy()
    folder = train(TrainConfig.of(**QUICK, ema=0.9999), str(tmp_path / "run"))
    kept = load_model(folder / "model.keras").get_layer("conv1").kernel.numpy()
    checkpoint = next((folder / "checkpoint").iterdir())
    raw = keras.models.load_model(checkpoint).get_layer("conv1").kernel.numpy()
    rate = TrainConfig().optimization.learning_rate  # no update of AdamW's is larger
    assert np.abs(raw - start).max() > 1.5 * rate
    for averaged in (kept, *shown):
        assert np.abs(averaged - start).max() < 1.01 * rate
    assert len(shown) == 2


def test_a_run_resumes_with_averages_and_two_rates(tmp_path):
    """Stopping after an epoch and going on gives what going through gives."""
    options = {**QUICK, "ema": 0.5, "encoder_lr_multiplier": 0.5, "accumulate": 2}
    through = train(TrainConfig.of(**options), str(tmp_path / "through"))

    class Stop(Exception):
        pass

    from segnet_tf.training.run_folder import Run

    finish_epoch = Run.finish_epoch

    def stop_after_first(self, *arguments):
        finish_epoch(self, *arguments)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "finish_epoch", stop_after_first)
        with pytest.raises(Stop):
            train(TrainConfig.of(**options), str(tmp_path / "halves"))
    halves = train(TrainConfig.of(**options), str(tmp_path / "halves"), resume=True)
    for ours, theirs in zip(
        load_model(halves / "model.keras").weights,
        load_model(through / "model.keras").weights,
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_validation_image_that_cannot_be_read_costs_no_epoch(tmp_path, monkeypatch):
    load = registry.load

    def with_a_broken_image(name, split, *where):
        loaded = load(name, split, *where)

        def read(index):
            if index == 1:
                raise UserError("frame 1.png: damaged")
            return loaded.read(index)

        return replace(loaded, read=read) if split.startswith("val") else loaded

    monkeypatch.setattr(registry, "load", with_a_broken_image)
    monkeypatch.setattr(
        keras.Model, "fit", lambda *_, **__: pytest.fail("training has begun")
    )
    config = TrainConfig.of(**{**QUICK, "val_split": "val:2"})
    with pytest.raises(UserError, match=r"^frame 1.png: damaged$"):
        train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_that_validates_on_training_images_says_so(tmp_path, capsys):
    config = TrainConfig.of(**{**QUICK, "val_split": "train:1", "init_from": "nowhere"})
    with pytest.raises(UserError, match="nowhere: no model there"):
        train(config, str(tmp_path / "run"))
    assert "1 of the 1 images of 'train' are in" in capsys.readouterr().out


def test_images_in_both_splits_are_counted(tmp_path, capsys):
    """By what they are: equal names in two folders are two images."""
    for kind, mode in (("images", "RGB"), ("masks", "L")):
        for place in ("train/1", "train/2", "train/3", "val/1", "val/4"):
            path = tmp_path / kind / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (32, 32)).save(path)
    (tmp_path / "classes.txt").write_text("leaf\n")
    (tmp_path / "list.txt").write_text("2.png\n4\n3\n")
    train_split, val_split, listed = (
        datasets.load("folder", split, tmp_path)
        for split in ("train", "val", str(tmp_path / "list.txt"))
    )
    _warn_of_overlap(train_split, val_split)
    assert capsys.readouterr().out == ""
    _warn_of_overlap(train_split, listed)
    said = capsys.readouterr().out
    assert said.startswith("warning: 2 of the 3 images of 'list' are in 'train' too")
    assert said.count("\n") == 1


def test_a_run_without_progress_stops_and_stays_over(tmp_path, capsys):
    still = {"learning_rate": 1e-12, "weight_decay": 0.0, "patience": 1}
    config = TrainConfig.of(**{**QUICK, **still, "epochs": 9, "warmup_steps": 0})
    folder = train(config, str(tmp_path / "run"))

    epochs = len((folder / "history.csv").read_text().splitlines()) - 1
    assert epochs < 9
    said = f"without a better mIoU: stopped after epoch {epochs}"
    assert said in capsys.readouterr().out
    # The steps move batch normalisation's statistics; the score of an epoch may rise.
    before = (folder / "history.csv").read_bytes()
    train(config, str(folder), resume=True)
    assert (folder / "history.csv").read_bytes() == before
    assert (folder / "metrics.json").exists()


def test_the_number_of_images_sets_the_epochs(tmp_path, capsys, monkeypatch):
    def stop(config, *_):
        raise Enough(config.optimization.epochs, config.run.validate_every)

    monkeypatch.setattr(trainer, "_fit", stop)
    with pytest.raises(Enough) as found:
        train(TrainConfig.of(**{**QUICK, "epochs": 0}), str(tmp_path / "run"))
    # 200 times the third root of 4 images, in epochs of 2 steps.
    assert found.value.args == (159, 7)
    said = capsys.readouterr().out
    assert "159 epochs of 2 steps" in said and "--epochs sets another" in said


def test_tensorboard_that_cannot_write_is_one_line(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "tensorboard").write_text("")
    with pytest.raises(UserError, match="run/tensorboard: TensorBoard's files cannot"):
        train(TrainConfig.of(**QUICK), str(folder))


def test_mixed_precision_keeps_float32(tmp_path):
    config = TrainConfig.of(**{**QUICK, "epochs": 1}, mixed_precision=True)
    folder = train(config, str(tmp_path / "run"))
    checkpoint = next((folder / "checkpoint").iterdir())
    trained = keras.models.load_model(checkpoint)
    assert trained.get_layer("conv2").compute_dtype in ("bfloat16", "float16")
    kept = load_model(folder / "model.keras")
    assert {layer.compute_dtype for layer in kept.layers} == {"float32"}
    for ours, theirs in zip(kept.weights, trained.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_jit_compile_trains_alike(tmp_path):
    losses = []
    for jit in (False, True):
        config = TrainConfig.of(
            **{**QUICK, "epochs": 1, "train_split": "train:2"},
            jit_compile=jit,
            pooling_mode="window",
        )
        folder = train(config, str(tmp_path / f"jit-{jit}"))
        line = (folder / "history.csv").read_text().split("\n")
        row = dict(zip(line[0].split(","), line[1].split(","), strict=True))
        losses.append(float(row["loss"]))
        checkpoint = next((folder / "checkpoint").iterdir())
        assert keras.models.load_model(checkpoint).jit_compile is jit
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_recalibrate_bn_changes_the_kept_model_alone(tmp_path):
    config = TrainConfig.of(**{**QUICK, "epochs": 1}, recalibrate_bn=True)
    folder = train(config, str(tmp_path / "run"))
    kept = load_model(folder / "model.keras")
    trained = keras.models.load_model(next((folder / "checkpoint").iterdir()))
    np.testing.assert_array_equal(
        kept.get_layer("conv1").kernel, trained.get_layer("conv1").kernel
    )
    moved = (
        kept.get_layer("conv1_bn").moving_variance
        - trained.get_layer("conv1_bn").moving_variance
    )
    assert np.abs(moved).max() > 1e-2


@pytest.mark.parametrize("model", ["basic_bilinear", "fcn8s"])
def test_a_pooling_mode_is_for_networks_that_keep_positions(model):
    options = {**QUICK, "model": model, "pooling_mode": "window"}
    with pytest.raises(UserError, match=f"pooling_mode: {model} keeps no positions"):
        TrainConfig.of(**options)


class Enough(Exception):
    """Ends a run as soon as a test has seen what it came for."""


def test_the_crops_of_a_run_are_those_of_its_options(tmp_path, monkeypatch):
    drawn = []

    def seen(image, labels, augmentation, seed):
        drawn.append(augmentation)
        raise Enough

    monkeypatch.setattr("segnet_tf.training.trainer.augment", seen)
    options = {**QUICK, "zoom": (0.7, 0.9), "flip": False, "corruption": 0.25}
    with pytest.raises(Enough):
        train(TrainConfig.of(**options), str(tmp_path / "run"))
    assert drawn[0] == Augmentation(
        QUICK["crop"], zoom=(0.7, 0.9), flip=False, corruption=0.25
    )


def test_a_run_gives_the_optimizer_its_encoder(tmp_path, monkeypatch):
    given = []

    def seen(config, steps, encoder):
        given.append(encoder)
        raise Enough

    monkeypatch.setattr("segnet_tf.training.building.build_optimizer", seen)
    for multiplier, expected in ((1.0, 0), (0.5, 8)):
        config = TrainConfig.of(**QUICK, encoder_lr_multiplier=multiplier)
        with pytest.raises(Enough):
            train(config, str(tmp_path / f"run-{multiplier}"))
        # Four convolutions and their batch normalisations.
        assert len(given[-1]) == expected
    assert {name.removesuffix("_bn") for name in given[-1]} == {
        "conv1", "conv2", "conv3", "conv4"
    }  # fmt: skip
