"""A clock that a test sets."""


class Clock:
    """Called, it returns `time`, in seconds."""

    def __init__(self, time: float = 1000.0) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time
