"""The message that a user reports."""

from realtime.errors import ApiError
from realtime.messages import Entry
from realtime.rooms.history import history
from realtime.rooms.log import logs
from realtime.rooms.outcomes import unknown_message


async def find_reported(log: str, seq: int, reporter: str) -> tuple[str, Entry]:
    """The epoch of the log and the message. Raises ApiError if there is nothing to report."""
    message = await history().find_message(log, seq)
    if message is None:
        raise unknown_message()
    if message.sender == reporter:
        raise ApiError("invalid_target", "You cannot report your own message.")
    return (await logs().cached_head(log)).epoch, message
