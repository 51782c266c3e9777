"""What is written below Python stays away, unless something goes wrong."""

import os

import pytest

from segnet_tf.console.quiet import notices_kept_back


def test_notices_are_dropped_and_the_rest_is_not(capfd):
    os.write(2, b"before\n")
    with notices_kept_back():
        os.write(2, b"notice\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_an_exception_brings_them_back(capfd):
    with pytest.raises(KeyError), notices_kept_back():
        os.write(2, b"the reason\n")
        raise KeyError
    assert capfd.readouterr().err == "the reason\n"
