"""What the commands share: quiet start, one clear line for bad input, exit codes."""

import os
import sys
from collections.abc import Callable

from segnet_tf.errors import UserError

__all__ = ["run"]


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
