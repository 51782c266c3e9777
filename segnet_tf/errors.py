"""Exceptions that end a command without a traceback."""

__all__ = ["Stopped", "UserError", "printable"]


class UserError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what to do.

    The commands print the message without a traceback and exit with code 2. Any other
    exception is a defect and keeps its traceback.

    Args:
        message: names of files and what stands in them may hold control characters,
            which become escapes.
    """

    def __init__(self, message: object = ""):
        super().__init__(printable(str(message)))


class Stopped(BaseException):
    """A signal ended the work at a good place.

    Like KeyboardInterrupt it is no Exception, so that nobody handles it by accident.

    Args:
        number: of the signal; the command exits with 128 + number.
        message: one line on where the work stands.
    """

    def __init__(self, number: int, message: str):
        super().__init__(message)
        self.number = number


def printable(text: str) -> str:
    r"""Text for a terminal: control characters are shown as escapes.

    >>> print(printable("a\x1b[31m\n"))
    a\x1b[31m\n
    """
    return "".join(
        letter
        if letter.isprintable() or "\ud800" <= letter <= "\udfff"
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
