"""What an instance knows about other writers of a log, and the constants of the protocol.

docs/history.md describes the protocol.
"""

from msgspec import Struct

CAREFUL_SECONDS = 60.0
"""After a lost race an instance reads the head and the queue rows before each commit."""

SHARED_SECONDS = 2.0
"""After a second lost race, a queue row or another leader, an instance shares the log: it leads,
or leaves its drafts to the leader. Long enough that a log that is written all the time stays in
this mode; one slow message is the price of a wrong guess."""

MAX_EMPTY_READS = 4
"""A leader that finds nothing to commit this many times stops leading."""

EMPTY_READ_PAUSE_SECONDS = 0.015

MAX_OUTSTANDING_ROWS = 3
"""Queue rows of one instance that may wait at the same time: one that is inserted, one that waits
for a commit, one that is committed and not yet marked as published."""

MAX_ROW_DRAFTS = 24
MAX_ROW_CHARACTERS = 150_000
"""A row holds 1 MiB at most (learn.microsoft.com/rest/api/storageservices), in UTF-16."""

MAX_ROW_AGE_SECONDS = 60.0
"""An older row is deleted and not stored: its sender has long been answered."""

MAX_JUNK_ROWS = 20
"""Unusable rows that one commit deletes."""

LEADER_TIMEOUT_SECONDS = 0.2
"""A head that has not changed for this long has no active leader: several commits take less."""

NO_LEADER_TIMEOUT_SECONDS = 0.03
"""The same where nobody leads."""

RANK_DELAY_SECONDS = 0.03
"""Each row before one's own delays a takeover, so that one instance tries first."""

ROW_TIMEOUT_SECONDS = 0.6
"""A row that the leader leaves waiting for this long makes its owner take over."""

MARK_TIMEOUT_SECONDS = 0.3
"""How long an owner waits for the leader's publish before it publishes itself."""

MARK_WAIT_SECONDS = 0.02
"""How long a leader waits for a publish before the next commit, so that this commit marks it."""

BATCH_WINDOW_SECONDS = 0.005
MAX_BATCH_WAIT_SECONDS = 0.1
"""A commit of a busy log waits for the senders of the commit before, who send again when it is
published: as long as one of them comes in each window, but not longer than the whole time. One
commit of 40 costs a third of four commits of 10, for the app, the storage and the service, which
delivers a frame for each commit to each member. In a longer window the next of 100 messages a
second comes, too, and each of them would wait."""

MIN_BUSY_ENTRIES = 5
"""A log is busy after a commit of this many drafts: then several users write at the same time."""

BUSY_COMMITS = 4
MIN_TURN_ENTRIES = 10
"""A leader offers turns to its followers when each of them, and itself, has had this many drafts in
this many commits: then each has some whenever it is its turn."""

MAX_TURN_INSTANCES = 4
"""More instances would wait longer for their turn than a follower waits for the leader."""

TURN_TIMEOUT_SECONDS = 0.2
"""How long the others wait for the instance whose turn it is: several commits take less."""

MISSED_TURN_SECONDS = 0.5
"""For this long after a missed turn a leader offers no turns."""

TURN_WINDOW_SECONDS = 0.01
"""How long the instance whose turn it is waits for a draft."""

MIN_TURN_SECONDS = 0.01
"""A commit in turn takes at least this long: the instance reads the head first."""

MAX_EMPTY_TURNS = 3
"""After more turns in which it has nothing to commit, an instance gives them up."""

MIN_POLL_SECONDS = 0.01
MAX_POLL_SECONDS = 0.03
POLL_SECONDS_PER_FOLLOWER = 0.005
"""Pause between two reads of the head by a follower. Few followers read often, since their senders
wait for it; many read less often, since their reads share the processor and the partition."""

GONE_CHECK_SECONDS = 0.5
"""How often an owner checks whether its row is still there, if the head does not mention it."""


def turn_timeout_seconds(distance: int) -> float:
    """How long an instance waits for the next commit; `distance` turns later it is its turn."""
    return TURN_TIMEOUT_SECONDS + (distance - 1) * RANK_DELAY_SECONDS


def poll_seconds(followers: int) -> float:
    """How long a follower pauses before it reads the head again."""
    return min(max(MIN_POLL_SECONDS, followers * POLL_SECONDS_PER_FOLLOWER), MAX_POLL_SECONDS)


class Contention(Struct):
    """When an instance met other writers of a log, by the monotonic clock."""

    careful_until: float = 0.0
    shared_until: float = 0.0
    no_turns_until: float = 0.0

    def is_careful(self, now: float) -> bool:
        return now < self.careful_until

    def is_shared(self, now: float) -> bool:
        return now < self.shared_until

    def may_take_turns(self, now: float) -> bool:
        return now >= self.no_turns_until

    def note_missed_turn(self, now: float) -> None:
        """Another instance has not committed although it was its turn."""
        self.no_turns_until = now + MISSED_TURN_SECONDS

    def note_conflict(self, now: float) -> None:
        """A commit has lost a race."""
        if self.is_careful(now):
            self.shared_until = now + SHARED_SECONDS
        self.careful_until = now + CAREFUL_SECONDS

    def note_shared(self, now: float) -> None:
        """Queue rows or another leader were seen."""
        self.shared_until = now + SHARED_SECONDS
        self.careful_until = now + CAREFUL_SECONDS
