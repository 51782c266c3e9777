"""Exceptions that end a command without a traceback."""

__all__ = ["Stopped", "UserError"]


class UserError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what to do.

    The commands print the message without a traceback and exit with code 2. Any other
    exception is a defect and keeps its traceback.
    """


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
