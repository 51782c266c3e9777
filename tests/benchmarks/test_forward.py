"""A median of the timed passes, for each network."""

from networks import small

from benchmarks import forward


def test_each_network_gets_a_median():
    models = {name: small(name) for name in ("segnet_basic", "basic_bilinear")}
    seconds = forward.forward_seconds(models, (1, 32, 48, 3), repeats=3)
    assert list(seconds) == list(models)
    assert all(0 < value < 60 for value in seconds.values())
