"""The exception for mistakes that the user can correct."""

__all__ = ["UserError"]


class UserError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what to do.

    The commands print the message without a traceback and exit with code 2. Any other
    exception is a defect and keeps its traceback.
    """
