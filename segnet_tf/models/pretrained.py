"""Weights from elsewhere: VGG16's ImageNet kernels, or another run's."""

import os
import re
from pathlib import Path

import h5py
import keras
import numpy as np

from segnet_tf.errors import UserError
from segnet_tf.models.segnet import VGG16_STAGES

__all__ = ["copy_matching_weights", "load_vgg16_kernels"]

KERNELS = {
    f"conv{stage}_{number}": f"block{stage}_conv{number}"
    for stage, widths in enumerate(VGG16_STAGES, start=1)
    for number in range(1, len(widths) + 1)
}
"""Our thirteen encoder layers and their names in keras.applications."""


def load_vgg16_kernels(model: keras.Model, source: str | os.PathLike) -> None:
    """Puts VGG16's thirteen ImageNet kernels into a network with its encoder.

    Kernels only: a bias before batch normalisation would be subtracted again. VGG16
    saw BGR, our networks see RGB, so the first kernel's input channels are turned.

    Args:
        model: has layers conv1_1 to conv5_3, such as SegNet.
        source: "imagenet" for keras.applications' download, or an HDF5 file with
            VGG16's weights as Keras writes them, with its classifier or without.

    Raises:
        UserError: if the network has no such encoder, or not for RGB, the download
            fails, or the file is missing, is no HDF5, or does not fit; the message
            names the layer.
    """
    if not all(name in {layer.name for layer in model.layers} for name in KERNELS):
        raise UserError(f"encoder_weights: none come with {model.name}")
    channels = model.get_layer("conv1_1").kernel.shape[2]
    if channels != 3:
        raise UserError(
            f"encoder_weights: {model.name}'s conv1_1 takes {channels} channel(s), "
            "VGG16's kernels RGB: leave out --encoder-weights"
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
                f"{model.name}'s {ours} {tuple(variable.shape)}"
            )
        variable.assign(kernel)


def _downloaded_kernels() -> dict[str, np.ndarray]:
    try:
        vgg16 = keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:  # what get_file raises for a failed download
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"encoder_weights: no download of VGG16's weights ({reason}): fetch "
            "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 elsewhere and give "
            "--encoder-weights FILE"
        ) from error
    return {name: vgg16.get_layer(name).kernel.numpy() for name in KERNELS.values()}


def _kernels_in_file(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"encoder_weights: {path}: no such file")
    if not h5py.is_hdf5(path):
        raise UserError(f"encoder_weights: {path}: no HDF5 file, or a damaged one")
    found: dict[str, np.ndarray] = {}

    def collect(name: str, item) -> None:
        # Only kernels have four dimensions. Older Keras puts the layer's name into
        # the path, Keras 3 into an attribute of the group.
        if isinstance(item, h5py.Dataset) and item.ndim == 4:
            places = f"{name} {item.parent.attrs.get('name', '')}"
            layer = re.search(r"block\d_conv\d", places)
            if layer:
                found[layer[0]] = item[()]

    try:
        with h5py.File(path) as file:
            file.visititems(collect)
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError(f"encoder_weights: {path}: a damaged file ({error})") from None
    missing = [name for name in KERNELS.values() if name not in found]
    if missing:
        raise UserError(f"encoder_weights: {path}: no kernel of layer {missing[0]}")
    return found


def copy_matching_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copies each layer's weights where both have it by name and in shape.

    Returns:
        Names of the target's layers that kept their own weights.

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
