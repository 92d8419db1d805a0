"""The one exception that a user can cause."""


class UserError(Exception):
    """A mistake in the input, told in one line: where, what was found, what was expected."""
