"""What SegNetLite's options change."""

import numpy as np

from segnet_tf.models import SegNetLite
from segnet_tf.models.pretrained import copy_matching_weights


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


def test_context_can_be_left_out():
    names = {layer.name for layer in SegNetLite(context_dilations=(3,)).layers}
    assert "context3_depthwise" in names and "context2_depthwise" not in names
    assert SegNetLite(context_dilations=()).count_params() < SegNetLite().count_params()
