"""What SegNetLite's options change."""

import keras
import numpy as np
import pytest

from segnet_tf.errors import UserError
from segnet_tf.models import SegNetLite, networks, segnet_lite
from segnet_tf.models.pretrained import copy_matching_weights
from segnet_tf.training.optimizers import encoder_layers


def test_skips_start_at_zero_and_then_count(rng):
    plain = SegNetLite(num_classes=3, width=0.25, skips=False)
    skipping = SegNetLite(num_classes=3, width=0.25)
    new = copy_matching_weights(plain, skipping)
    assert new == [f"skip{n}{part}" for n in (4, 3, 2) for part in ("", "_bn")]
    image = rng.uniform(0, 255, (1, 37, 50, 3)).astype(np.float32)
    before = plain(image).numpy()
    np.testing.assert_array_equal(skipping(image), before)
    skipping.get_layer("skip2_bn").gamma.assign(np.ones(8))
    assert np.abs(skipping(image) - before).max() > 1e-3


@pytest.mark.parametrize("name", ["segnet_lite", "segnet_lite1"])
def test_imagenet_weights_fill_the_encoder(name):
    """Each array is in its place, and no other layer is touched."""
    keras.utils.set_random_seed(0)
    model = networks.build(name, 3, encoder_weights="imagenet")
    keras.utils.set_random_seed(0)
    plain = networks.build(name, 3)
    encoder = encoder_layers(model, networks.NETWORKS[name].encoder)
    path = segnet_lite.IMAGENET_WEIGHTS["lite1" if "1" in name else "lite0"]
    with np.load(path) as arrays:
        filled = {key.split("/")[0] for key in arrays}
        for key in arrays:
            layer, weight = key.split("/")
            found = getattr(model.get_layer(layer), weight)
            np.testing.assert_array_equal(found, arrays[key])
    assert filled == {layer for layer in encoder if model.get_layer(layer).weights}
    for layer in plain.layers:
        if layer.name not in filled:
            for one, other in zip(
                layer.weights, model.get_layer(layer.name).weights, strict=True
            ):
                np.testing.assert_array_equal(one, other)


def test_unknown_encoders_and_widths_are_refused():
    with pytest.raises(
        UserError, match="encoder: no 'lite9': choose from lite0, lite1"
    ):
        SegNetLite(encoder="lite9")
    with pytest.raises(ValueError, match="it needs width=1"):
        SegNetLite(encoder="lite1", width=0.5, encoder_weights="imagenet")


def test_context_can_be_left_out():
    names = {layer.name for layer in SegNetLite(context_dilations=(3,)).layers}
    assert "context3_depthwise" in names and "context2_depthwise" not in names
    assert SegNetLite(context_dilations=()).count_params() < SegNetLite().count_params()
