"""Bytes that wait for the decoder."""

from experiments import memory

WINDOWS = 180 * 240 + 90 * 120 + 45 * 60 + 23 * 30


def test_bytes_of_positions_and_features():
    bits, window, argmax, features = memory.kept("segnet_basic", 360, 480)
    assert (bits, window, argmax) == tuple(n * 64 * WINDOWS for n in (0.25, 1, 8))
    pixels = 360 * 480 + 180 * 240 + 90 * 120 + 45 * 60
    assert features == 4 * 64 * pixels
