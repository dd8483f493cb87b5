"""The error with which the host does not start."""


class LoadError(Exception):
    """The app cannot be hosted; the text is the reason."""
