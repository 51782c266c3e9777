"""Imports TensorFlow late, and without the notices that it prints at its start."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from platform import machine
from threading import RLock, current_thread, main_thread
from typing import Any

from segnet_tf.console.packages import missing_package
from segnet_tf.console.surroundings import is_settled, settle_keras
from segnet_tf.errors import UserError

__all__ = [
    "import_tensorflow",
    "imported",
    "keras",
    "notices_kept_back",
    "tensorflow",
]


_redirecting = RLock()

_FATAL = {"TF_XLA_FLAGS", "XLA_FLAGS"}
"""Variables whose mistakes end the process at once, after a line to standard error."""


@contextmanager
def notices_kept_back() -> Iterator[None]:
    """Drops the output to standard error, or prints it if an exception is raised.

    TensorFlow and LiteRT write there at any log level, and not through Python. One of
    their lines is an "error" about a missing GPU; a newcomer would take it for a
    failure. Standard error is the process's, so threads take turns. Nothing is held
    back if XLA's flags are set: a wrong one ends the process right after its notice.
    """
    if os.environ.keys() & _FATAL:
        yield
        return
    with _redirecting:
        yield from _notices_kept_back()


def _notices_kept_back() -> Iterator[None]:
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        file = tempfile.TemporaryFile()
    except OSError:  # no folder for temporary files: the notices are not missed
        file = open(os.devnull, "w+b")
    stderr = os.dup(2)
    with file as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except UserError:  # its own line says enough
            raise
        except BaseException:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def import_tensorflow(training: bool = False):
    """Imports TensorFlow and finds its devices, without the notices of its start.

    Args:
        training: whether x86 processors without instructions for neural networks have
            oneDNN's kernels, too. It halves SegNetLite's training step there, but
            makes some forward passes slower (docs/benchmarks.md). It counts only if
            TensorFlow has not been imported before.

    Returns:
        The module tensorflow.

    Raises:
        UserError: if TensorFlow, or a package that it needs, is not installed, or if
            keras.json has a wrong value.
    """
    if training and machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with _interrupt_at_once(), notices_kept_back():
        try:
            if is_settled():
                settle_keras()
            import tensorflow
        except ModuleNotFoundError as error:
            raise missing_package(error) or error from None
        tensorflow.config.list_physical_devices()
    return tensorflow


@contextmanager
def _interrupt_at_once() -> Iterator[None]:
    """Ctrl-C ends the process inside.

    Modules that are being imported may catch an exception, or turn it into another one.
    """
    ours = is_settled() and current_thread() is main_thread()
    if not ours:
        yield
        return

    stderr = os.dup(2)

    def leave(*_):
        os.write(stderr, b"\ninterrupted\n")
        os._exit(130)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(stderr)


class LazyModule:
    """A module that is imported when the first of its names is used.

    It serves the tables that `--help` prints. Their functions use TensorFlow, whose
    import takes seconds; their names and help do not. Keras has such a class, too.
    """

    def __init__(self, name: str):
        self._name = name
        self._module: Any = None

    def __getattr__(self, attribute: str) -> Any:
        if self._module is None:
            import_tensorflow()
            self._module = import_module(self._name)
        return getattr(self._module, attribute)


def imported(path: str) -> Any:
    """The object that "module:name" stands for; its module is imported now.

    The records of the tables name their functions so.
    """
    module, name = path.split(":")
    return getattr(import_module(module), name)


tensorflow: Any = LazyModule("tensorflow")
keras: Any = LazyModule("keras")
