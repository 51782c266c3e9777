"""How far long work is: a bar on a terminal, plain lines elsewhere."""

import sys
from typing import Any

from segnet_tf.errors import printable

__all__ = ["Progress"]


class Progress:
    """Counts pictures, and prints lines that do not tear the bar.

    The bar shows the rate and the time left. There is none for one picture, or if
    standard error is no terminal; then each picture has its own line instead.

    Args:
        total: of pictures; None: not known.
        unit: what is counted.
    """

    def __init__(self, total: int | None, unit: str = " pictures"):
        self._bar: Any = None
        if total != 1 and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=unit, smoothing=0.1, dynamic_ncols=True)

    def step(self, line: str = "") -> None:
        """One more is done; a line is printed if there is no bar."""
        if self._bar is not None:
            self._bar.update()
        elif line:
            self.say(line)

    def expect(self, more: int) -> None:
        """So many more are to be done than was said; fewer, if it is negative."""
        if self._bar is not None and self._bar.total:
            self._bar.total += more

    def say(self, line: str, error: bool = False) -> None:
        """Prints a line to standard output, or to standard error.

        Args:
            line: control characters in it become escapes.
            error: whether it is about something that went wrong.
        """
        file = sys.stderr if error else sys.stdout
        if self._bar is not None:
            self._bar.write(printable(line), file=file)
        elif file is not None:
            print(printable(line), file=file, flush=not error)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        if self._bar is not None:
            self._bar.close()
