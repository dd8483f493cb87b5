"""Which run makes the ticks of a stream: at most one at a time.

A run writes its id and a lease into the stream's row, under If-Match. Each tick extends the lease.
A run of the timer takes a stream over from the runs of earlier minutes and from runs that a
subscriber has started; any run takes it over when the lease has ended.
"""

import secrets
from datetime import datetime

from msgspec import Struct

from realtime.streams.clock import EARLY_TIMER_SECONDS

LEASE_SECONDS = 10.0
"""The lease of a new run, until its first tick."""

GRACE_SECONDS = 3.0
"""How much later than its next tick a run's lease ends."""

MAX_LEASE_SECONDS = 120.0
"""A lease that ends later than this was written by an instance with a wrong clock."""


class Run(Struct, frozen=True):
    """`number` is the minute of a timer's run, and 0 for a run that a subscriber has started."""

    number: int
    nonce: str

    @property
    def id(self) -> str:
        return f"{self.number}-{self.nonce}"


def new_timer_run(now: datetime) -> Run:
    return Run(int((now.timestamp() + EARLY_TIMER_SECONDS) // 60), secrets.token_hex(16))


def new_subscriber_run() -> Run:
    return Run(0, secrets.token_hex(16))


def parse_run_id(run_id: str) -> Run:
    return Run(_number(run_id), run_id.partition("-")[2])


def may_take_over(run: Run, owner: str, lease_end: float, now: datetime) -> bool:
    """Whether a run may make the ticks of a stream that another run, `owner`, has leased."""
    return owner == run.id or not is_leased(owner, lease_end, now) or run.number > _number(owner)


def is_leased(owner: str, lease_end: float, now: datetime) -> bool:
    remaining = lease_end - now.timestamp()
    return bool(owner) and 0 < remaining <= MAX_LEASE_SECONDS


def lease_end_of(next_due: datetime, now: datetime) -> float:
    """The end of the lease of a run whose next tick is due then, in seconds since 1970."""
    end = next_due.timestamp() + GRACE_SECONDS
    return min(end, now.timestamp() + MAX_LEASE_SECONDS)


def _number(run_id: str) -> int:
    number = run_id.partition("-")[0]
    return int(number) if number.isdecimal() else 0
