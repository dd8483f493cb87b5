"""What keeps the host from starting."""


class LoadError(Exception):
    """The app cannot be hosted; the sentence says why."""
