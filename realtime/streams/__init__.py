"""Data streams: what a producer declares, and what runs, stores and publishes its ticks."""

from realtime.streams.definition import Data, Stale, Stream

__all__ = ["Data", "Stale", "Stream"]
