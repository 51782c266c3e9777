"""Loads weights from elsewhere: VGG16's ImageNet kernels, or those of another run."""

import os
import re
from pathlib import Path

import h5py
import keras
import numpy as np

from segnet_tf.errors import UserError
from segnet_tf.models.encoders import VGG16_STAGES

__all__ = ["copy_matching_weights", "load_vgg16_kernels"]

KERNELS = {
    f"conv{stage}_{number}": f"block{stage}_conv{number}"
    for stage, widths in enumerate(VGG16_STAGES, start=1)
    for number in range(1, len(widths) + 1)
}
"""Our names of the thirteen encoder layers -> their names in keras.applications."""


def load_vgg16_kernels(model: keras.Model, source: str | os.PathLike) -> None:
    """Loads VGG16's thirteen ImageNet kernels into a network with VGG16's encoder.

    Biases are left out: batch normalisation would subtract them again. VGG16 was
    trained on BGR and our networks take RGB, so that the order of the first kernel's
    input channels is reversed.

    Args:
        model: a network with layers conv1_1 to conv5_3, such as SegNet.
        source: "imagenet" for the download of keras.applications, or the path of an
            HDF5 file of VGG16's weights in Keras' format, with or without classifier.

    Raises:
        UserError: if the network does not have this encoder or does not take RGB, if
            the download fails, or if the file is missing, damaged, not HDF5 or does not
            fit; the message names the layer.
    """
    if not all(name in {layer.name for layer in model.layers} for name in KERNELS):
        raise UserError(
            f"encoder_weights: none come with {model.name}: leave out --encoder-weights"
        )
    channels = model.get_layer("conv1_1").kernel.shape[2]
    if channels != 3:
        raise UserError(
            f"encoder_weights: {model.name}'s conv1_1 takes {channels} channel(s), but "
            "VGG16's kernels take RGB: leave out --encoder-weights"
        )
    if source == "imagenet":
        kernels = _downloaded_kernels()
    else:
        kernels = _kernels_in_file(Path(source))
    for ours, theirs in KERNELS.items():
        kernel = kernels[theirs]
        if ours == "conv1_1":
            kernel = kernel[:, :, ::-1]
        variable = model.get_layer(ours).kernel
        if variable.shape != kernel.shape:
            raise UserError(
                f"encoder_weights: {source}: layer {theirs} has shape {kernel.shape}, "
                f"but {model.name}'s {ours} has {tuple(variable.shape)}"
            )
        variable.assign(kernel)


def _downloaded_kernels() -> dict[str, np.ndarray]:
    try:
        vgg16 = keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:  # get_file raises this for a failed download
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"encoder_weights: cannot download VGG16's weights ({reason}): fetch "
            "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 elsewhere and use "
            "--encoder-weights FILE"
        ) from error
    return {name: vgg16.get_layer(name).kernel.numpy() for name in KERNELS.values()}


def _kernels_in_file(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"encoder_weights: {path}: no such file")
    if not h5py.is_hdf5(path):
        raise UserError(f"encoder_weights: {path}: not an HDF5 file, or damaged")
    found: dict[str, np.ndarray] = {}

    def collect(name: str, item) -> None:
        # Only kernels have four dimensions. Older versions of Keras write the layer's
        # name into the path, Keras 3 into an attribute of the group.
        if isinstance(item, h5py.Dataset) and item.ndim == 4:
            places = f"{name} {item.parent.attrs.get('name', '')}"
            layer = re.search(r"block\d_conv\d", places)
            if layer:
                found[layer[0]] = item[()]

    try:
        with h5py.File(path) as file:
            file.visititems(collect)
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError(f"encoder_weights: {path}: damaged file ({error})") from None
    missing = [name for name in KERNELS.values() if name not in found]
    if missing:
        raise UserError(f"encoder_weights: {path}: has no kernel of layer {missing[0]}")
    return found


def copy_matching_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copies the weights of every layer that has one name and shape in both models.

    Args:
        source: the model to copy from.
        target: the model to copy to, changed in place.

    Returns:
        The names of the target's layers that kept their own weights.

    Raises:
        UserError: if no layer fits.
    """
    donors = {layer.name: layer for layer in source.layers}
    receivers = [layer for layer in target.layers if layer.weights]
    kept = []
    for layer in receivers:
        donor = donors.get(layer.name)
        if donor is None or _shapes(donor) != _shapes(layer):
            kept.append(layer.name)
        else:
            layer.set_weights(donor.get_weights())
    if len(kept) == len(receivers):
        raise UserError(f"init_from: no layer of {source.name} fits {target.name}")
    return kept


def _shapes(layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]
