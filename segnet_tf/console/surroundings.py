"""What a command finds around it: settings of other programs, terminals, pipes.

`settle` makes them harmless, once, before a command runs. As a library, the package
changes none of this.
"""

import os
import sys
import warnings
from io import TextIOWrapper
from traceback import extract_tb

from segnet_tf.errors import UserError

__all__ = ["is_settled", "leave_quietly", "settle", "settle_keras"]

_settled = False
_UNWANTED = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION",
)


def settle() -> None:
    """Prepares this process for a command.

    - Notebooks name their own backend of matplotlib; pictures here go to files only.
    - Keras' backend may be set to another framework, and two of its variables shorten
      a training in silence. A workaround for old packages, which many shells still
      set, names a protobuf that there is no more.
    - A terminal or a file that has no letter for a character shows its code.
    - A warning that is meant for users is one line.

    Raises:
        UserError: if the current folder has been deleted.
    """
    global _settled
    _settled = True
    os.environ["MPLBACKEND"] = "agg"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in _UNWANTED:
        os.environ.pop(name, None)
    for stream in (sys.stdout, sys.stderr):
        # A test, or a program that embeds this one, may have put another object there.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _one_line
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("the current folder has been deleted: cd to another") from None


_python_format = warnings.formatwarning


def _one_line(message, category, *where, **more) -> str:
    if category is UserWarning:
        return f"warning: {message}\n"
    return _python_format(message, category, *where, **more)


def is_settled() -> bool:
    """Whether this process runs a command."""
    return _settled


def settle_keras() -> None:
    """Undoes settings of keras.json that a command would stumble over.

    Raises:
        UserError: if keras.json has a value that Keras does not know.
    """
    try:
        import keras
    except (AssertionError, ValueError) as error:
        if not extract_tb(error.__traceback__)[-1].filename.endswith("config.py"):
            raise
        where = os.environ.get("KERAS_HOME") or "~/.keras"
        raise UserError(
            f"{where}/keras.json: has a value that Keras does not know: mend the file, "
            "or delete it"
        ) from None
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")


def leave_quietly() -> None:
    """Ends output to a pipe whose reader has gone, as `head` does.

    Python would try to write the rest when it exits, and print an error.
    """
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nothing, stream.fileno())
