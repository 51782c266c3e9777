"""What the commands share: quiet start, one clear line for bad input, exit codes."""

import os
import sys
import tempfile
from collections.abc import Callable

from segnet_tf.errors import UserError

__all__ = ["load_tensorflow", "run"]


def run(main: Callable[[], None], command: str | None = None) -> None:
    """Runs a command: exit 2 and one line for what the user can mend, 130 for ^C.

    Args:
        command: what to call it in messages, where the file's name would not do.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except UserError as error:
        name = command or os.path.basename(sys.argv[0])
        print(f"{name}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def load_tensorflow() -> None:
    """Imports TensorFlow and finds its devices, without the notices of that hour.

    They come from below Python, an "error" about an absent GPU among them, heed no
    log level, and would bury the first lines a newcomer reads.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            import tensorflow

            tensorflow.config.list_physical_devices()
        except BaseException:
            # Then they are worth reading.
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
