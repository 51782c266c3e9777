"""The same network without normalisation."""

import numpy as np
import pytest

from experiments import normalisation
from segnet_tf.models import SegNet


def test_without_normalisation():
    model = SegNet(num_classes=3, encoder=((8,), (8,)))
    bare = normalisation.without_normalisation(model)
    kinds = {type(layer).__name__ for layer in bare.layers}
    assert not any("BatchNormalization" in kind for kind in kinds)
    name = "conv1_1"
    np.testing.assert_array_equal(
        bare.get_layer(name).kernel, model.get_layer(name).kernel
    )
    assert bare.get_layer(name).use_bias


@pytest.mark.slow
def test_a_training_without_normalisation():
    losses, mean_iou = normalisation.trained(False, 1e-3, steps=1)
    assert np.isfinite(losses).all() and 0 <= mean_iou < 1
