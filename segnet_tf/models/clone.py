"""Cloning a network with some of its layers changed: the one place that does it."""

from collections.abc import Callable

import keras

from segnet_tf.layers import POOLING_MODES, MaxPoolingWithArgmax2D, MaxUnpooling2D

__all__ = ["as_float32", "clone", "one_tensor", "rebuilt", "with_pooling_mode"]


def clone(
    model: keras.Model,
    replace: Callable,
    image=None,
    call: Callable | None = None,
) -> keras.Model:
    """A functional model again, layer by layer, with its weights.

    Args:
        model: left as it is.
        replace: layer -> the layer to put in its place, or None to copy it.
        image: the clone's input, a KerasTensor; by default one like the model's.
        call: (layer, *args, **kwargs) -> output, for layers that are called otherwise
            than the ones whose place they take.

    Returns:
        A new, uncompiled model that takes one tensor and gives one, where a loaded
        model may take a list. A layer with weights gets a copy of those of the
        original's layer of its name.

    Raises:
        ValueError: if these are of other shapes.
    """

    def clone_function(layer):
        found = replace(layer)
        return rebuilt(layer) if found is None else found

    twin = keras.models.clone_model(
        model,
        # A loaded model's input may be a list of one.
        input_tensors=None
        if image is None
        else keras.tree.pack_sequence_as(model.input, [image]),
        clone_function=clone_function,
        call_function=call,
    )
    # By name, since a new layer in one branch changes the order.
    twins = {layer.name: layer for layer in twin.layers}
    for layer in model.layers:
        if layer.weights and layer.name in twins and twins[layer.name].weights:
            twins[layer.name].set_weights(layer.get_weights())
    return keras.Model(twin.inputs[0], twin.outputs[0], name=model.name)


def rebuilt(layer, **changes):
    """A fresh layer like this one, with other values in its config.

    A bare operation, such as the sum of two tensors, is copied without the changes that
    it has no argument for: it computes in the dtype of what it is given.
    """
    config = layer.get_config()
    if not isinstance(layer, keras.layers.Layer):
        changes = {name: value for name, value in changes.items() if name in config}
    return type(layer).from_config({**config, **changes})


def with_pooling_mode(model: keras.Model, mode: str) -> keras.Model:
    """The same network and weights with pooling positions held in another way.

    Args:
        model: any functional model with our pooling layers, fresh or loaded.
        mode: "argmax", "window" or "mask"; see `segnet_tf.layers.pooling`.

    Returns:
        A new, uncompiled model; the weights are copied, `model` is left as it was.

    Raises:
        ValueError: for an unknown mode.
    """
    if mode not in POOLING_MODES:
        raise ValueError(f"mode must be one of {POOLING_MODES}, not {mode!r}")

    def change(layer):
        if isinstance(layer, MaxPoolingWithArgmax2D | MaxUnpooling2D):
            return rebuilt(layer, mode=mode)
        return None

    return clone(model, change)


def as_float32(model: keras.Model) -> keras.Model:
    """The same network and weights with every layer in float32."""
    return clone(model, lambda layer: rebuilt(layer, dtype="float32"))


def one_tensor(model: keras.Model) -> keras.Model:
    """The same layers in a model that takes one tensor and gives one.

    A loaded model may take a list of one.
    """
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
