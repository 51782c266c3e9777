"""TensorFlow when it is needed, and without the notices it writes at its start."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from segnet_tf.console.packages import missing_package
from segnet_tf.errors import UserError

__all__ = ["import_tensorflow", "keras", "notices_kept_back", "tensorflow"]


@contextmanager
def notices_kept_back() -> Iterator[None]:
    """Drops what is written to standard error, unless an exception is raised.

    TensorFlow and LiteRT report there, past Python and at any log level, an "error"
    about an absent GPU among it; a newcomer would take it for a failure.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except UserError:  # one line says it already
            raise
        except BaseException:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def import_tensorflow():
    """TensorFlow, with its devices found, without the notices of its start.

    Raises:
        UserError: if TensorFlow, or a package that it needs, is not installed.
    """
    with notices_kept_back():
        try:
            import tensorflow
        except ModuleNotFoundError as error:
            raise missing_package(error) or error from None
        tensorflow.config.list_physical_devices()
    return tensorflow


class LazyModule:
    """A module that is imported when the first of its names is used.

    For tables that `--help` prints: their functions use TensorFlow, their names and
    help do not, and TensorFlow takes seconds to import. Keras has such a class, too.
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        import_tensorflow()
        return getattr(import_module(self._name), attribute)


tensorflow: Any = LazyModule("tensorflow")
keras: Any = LazyModule("keras")
