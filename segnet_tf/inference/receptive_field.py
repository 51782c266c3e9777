"""The receptive field of a Keras model, read from its graph."""

import keras
from keras import layers

from segnet_tf.inference.tiling import ReceptiveField
from segnet_tf.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.layers.normalization import LocalResponseNormalization

__all__ = ["receptive_field", "size_multiple"]

POINTWISE = (
    layers.Activation,
    layers.Add,
    layers.BatchNormalization,
    layers.Concatenate,
    layers.Dropout,
    layers.InputLayer,
    layers.ReLU,
    layers.Rescaling,
    layers.SpatialDropout2D,
    LocalResponseNormalization,
)
"""Layers whose output at a pixel depends only on their inputs at that pixel."""


def size_multiple(model: keras.Model) -> int:
    """The number that height and width must be multiples of: 2 ** poolings.

    Then no level has an odd size.
    """
    poolings = MaxPoolingWithArgmax2D | layers.MaxPooling2D
    levels = sum(isinstance(layer, poolings) for layer in model.layers)
    return 2**levels


def receptive_field(model: keras.Model) -> ReceptiveField | None:
    """The receptive field of a network and the channels of its widest map.

    The function walks back from a region of the output that begins where the windows of
    all levels begin. For each map it counts the cells before the region that the output
    depends on. The other end is the mirror image.

    Args:
        model: a functional model.

    Returns:
        None if the model has a layer that this function does not know, or uses a layer
        twice.
    """
    if any(len(layer["inbound_nodes"]) > 1 for layer in model.get_config()["layers"]):
        return None
    # For each map: its reach in its own cells, and the width of a cell in pixels.
    reaches = {id(model.outputs[0]): (0, 1)}
    for layer in reversed(model.operations):
        made = [output for output in _list(layer.output) if id(output) in reaches]
        if not made:
            continue
        reach = max(reaches[id(output)][0] for output in made)
        found = _before(layer, reach, reaches[id(made[0])][1])
        if found is None:
            return None
        for tensor in _taken(layer):
            reach, cell = reaches.get(id(tensor), found)
            reaches[id(tensor)] = max(reach, found[0]), cell
    step = size_multiple(model)
    reach, _ = reaches[id(model.inputs[0])]
    return ReceptiveField(step, -(-reach // step) * step, _width(model, reaches))


def _before(layer, reach: int, cell: int) -> tuple[int, int] | None:
    """Reach and cell width of a layer's inputs, from those of its output."""
    if isinstance(layer, MaxPoolingWithArgmax2D):
        return 2 * reach, cell // 2
    if isinstance(layer, MaxUnpooling2D):
        return -(-reach // 2), cell * 2
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
        kernel = zip(layer.kernel_size, layer.dilation_rate, strict=True)
        more = max((size - 1) * rate + 1 for size, rate in kernel) // 2
        keeps_size = layer.padding == "same" or more == 0
        return (reach + more, cell) if keeps_size and {*layer.strides} == {1} else None
    return (reach, cell) if isinstance(layer, POINTWISE) else None


def _taken(layer) -> list:
    """The tensors whose values a layer uses; of `like` it uses only the size."""
    taken = _list(layer.input)
    return taken[:2] if isinstance(layer, MaxUnpooling2D) else taken


def _width(model: keras.Model, reaches: dict) -> int:
    tensors = {id(t): t for layer in model.operations for t in _list(layer.output)}
    widths = [
        tensors[key].shape[-1] / cell**2
        for key, (_, cell) in reaches.items()
        if key in tensors
    ]
    return round(max(widths))


def _list(tensors) -> list:
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]
