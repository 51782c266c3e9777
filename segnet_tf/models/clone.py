"""Clones a network with some of its layers changed. No other module does this."""

from collections.abc import Callable

import keras

from segnet_tf.layers.pooling import MaxPoolingWithArgmax2D, MaxUnpooling2D
from segnet_tf.layers.positions import check_mode

__all__ = ["as_float32", "clone", "one_tensor", "rebuilt", "with_pooling_mode"]


def clone(
    model: keras.Model,
    replace: Callable,
    image=None,
    call: Callable | None = None,
) -> keras.Model:
    """Clones a functional model layer by layer, with its weights.

    Args:
        model: the original, which stays as it is.
        replace: layer -> the layer that replaces it, or None to copy it.
        image: the clone's input, a KerasTensor; by default one like the model's.
        call: (layer, *args, **kwargs) -> output, for new layers that are not called
            like the layers that they replace.

    Returns:
        A new, uncompiled model with one tensor as input and one as output. (A loaded
        model may take a list.) Each layer with weights gets a copy of the weights of
        the original layer of the same name.

    Raises:
        ValueError: if these weights have other shapes.
    """

    def clone_function(layer):
        found = replace(layer)
        return rebuilt(layer) if found is None else found

    twin = keras.models.clone_model(
        model,
        # The input of a loaded model may be a list of one tensor.
        input_tensors=None
        if image is None
        else keras.tree.pack_sequence_as(model.input, [image]),
        clone_function=clone_function,
        call_function=call,
    )
    # By name, because a new layer in one branch changes the order.
    twins = {layer.name: layer for layer in twin.layers}
    for layer in model.layers:
        if layer.weights and layer.name in twins and twins[layer.name].weights:
            twins[layer.name].set_weights(layer.get_weights())
    return keras.Model(twin.inputs[0], twin.outputs[0], name=model.name)


def rebuilt(layer, **changes):
    """A new layer with the config of this one, in which some values are changed.

    A bare operation, such as the sum of two tensors, takes only the changes that it has
    an argument for: it computes in the dtype of its inputs.
    """
    config = layer.get_config()
    if not isinstance(layer, keras.layers.Layer):
        changes = {name: value for name, value in changes.items() if name in config}
    return type(layer).from_config({**config, **changes})


def with_pooling_mode(model: keras.Model, mode: str) -> keras.Model:
    """Clones a network with another representation of pooling positions.

    Args:
        model: any functional model with our pooling layers, built or loaded.
        mode: "argmax", "window", "mask" or "input"; see `segnet_tf.layers.positions`.

    Returns:
        A new, uncompiled model with a copy of the weights; `model` stays as it is.

    Raises:
        ValueError: if the mode is unknown.
    """
    check_mode(mode)

    def change(layer):
        if isinstance(layer, MaxPoolingWithArgmax2D | MaxUnpooling2D):
            return rebuilt(layer, mode=mode)
        return None

    return clone(model, change)


def as_float32(model: keras.Model) -> keras.Model:
    """Clones a network, with its weights, with every layer in float32."""
    return clone(model, lambda layer: rebuilt(layer, dtype="float32"))


def one_tensor(model: keras.Model) -> keras.Model:
    """A model of the same layers with one tensor as input and one as output.

    The input of a loaded model may be a list of one tensor.
    """
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
