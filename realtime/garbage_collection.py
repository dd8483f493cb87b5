"""How often the app collects garbage: not while modules are imported, and rarely afterwards."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (10_000, 10, 50)
"""Python's are (700, 10, 10). A request makes several hundred objects that reference counting frees
soon; looking through them for cycles after each 700 took an eighth of the app's processor time."""


def reduce_collections() -> None:
    """Collect less often from now on, and never look through what was imported.

    That stays: a collection of all objects would stop a request for some 50 ms.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def pause_collections() -> Iterator[None]:
    """No collection while modules are imported: nearly all objects that an import makes stay.

    Without this, the collections take a tenth of the time that the import of the app takes. The
    objects are frozen before collections start again: the first one would look through all of them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
