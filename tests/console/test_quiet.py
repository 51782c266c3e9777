"""What is written below Python stays away, unless something goes wrong."""

import os

import pytest

from segnet_tf.console import quiet
from segnet_tf.console.quiet import LazyModule, imported, notices_kept_back


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


@pytest.mark.parametrize("variable", ["TF_XLA_FLAGS", "XLA_FLAGS"])
def test_a_process_that_its_flags_end_says_so(variable, capfd, monkeypatch):
    """TensorFlow ends the process there, and nobody could print what was held back."""
    monkeypatch.setenv(variable, "--bogus")
    with notices_kept_back():
        os.write(2, b"Unknown flag: --bogus\n")
        assert capfd.readouterr().err == "Unknown flag: --bogus\n"


@pytest.mark.parametrize(
    "processor, training, given, expected",
    [
        ("x86_64", True, None, "1"),
        ("AMD64", True, None, "1"),
        ("x86_64", True, "0", "0"),
        ("x86_64", False, None, None),
        ("aarch64", True, None, None),
    ],
)
def test_training_takes_onednn(monkeypatch, processor, training, given, expected):
    name = "TF_ENABLE_ONEDNN_OPTS"
    monkeypatch.setattr(quiet, "machine", lambda: processor)
    monkeypatch.setenv(name, given or "")
    if given is None:
        monkeypatch.delenv(name)
    quiet.import_tensorflow(training)
    assert os.environ.get(name) == expected


def test_a_lazy_module_is_imported_once(monkeypatch):
    """Looking for devices, and keeping notices back, at each name would cost time."""
    imports = []
    monkeypatch.setattr(quiet, "import_tensorflow", lambda: imports.append(1))
    lazy = LazyModule("json")
    assert not imports
    assert lazy.loads("[1]") == [1] and lazy.dumps([1]) == "[1]"
    assert len(imports) == 1


def test_a_record_names_its_function():
    assert imported("json:loads")("[1]") == [1]
