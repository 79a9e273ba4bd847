"""The one exception that a command prints instead of showing a traceback."""


class UserError(ValueError):
    """A mistake the user can mend. The message is a whole sentence: what is wrong, where, what would work."""
