"""Keeping back what libraries below Python write at their start."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from segnet_tf.errors import UserError

__all__ = ["import_tensorflow", "notices_kept_back"]


@contextmanager
def notices_kept_back() -> Iterator[None]:
    """Drops what is written to standard error meanwhile, unless an exception comes.

    TensorFlow and LiteRT report there, past Python and heedless of any log level, an
    "error" about an absent GPU among it; a newcomer would take it for a failure.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except UserError:  # whose one line says it
            raise
        except BaseException:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def import_tensorflow():
    """TensorFlow, its devices found, without the notices of that hour."""
    with notices_kept_back():
        try:
            import tensorflow
        except ModuleNotFoundError as error:
            raise UserError(
                f"this needs the package {error.name}: pip install -r requirements.txt"
            ) from None
        tensorflow.config.list_physical_devices()
    return tensorflow
