"""The one exception that means "the user can mend this"."""

__all__ = ["UserError"]


class UserError(ValueError):
    """Bad input, said in one line: what is wrong, where, and what to do.

    The commands print the message without a traceback and exit with code 2; any
    other exception is a defect and keeps its traceback.
    """
