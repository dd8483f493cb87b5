"""A client of Townsquare for servers and bots: rooms, users and streams, sync and async.

with Townsquare("https://townsquare.example.org", key=FUNCTION_KEY) as townsquare:
    townsquare.send_message("lobby", "Good morning")
"""

from townsquare_client.client import AsyncTownsquare, Townsquare
from townsquare_client.errors import (
    ApiError,
    ConflictError,
    ConnectionFailedError,
    ForbiddenError,
    InvalidAddressError,
    InvalidRequestError,
    ListenerError,
    NotFoundError,
    RateLimitedError,
    TownsquareError,
    UnauthenticatedError,
    UnavailableError,
    UnexpectedResponseError,
)
from townsquare_client.log_reader import Position, RoomEvent
from townsquare_client.models import (
    Act,
    Change,
    ChangeAccepted,
    Connection,
    Entry,
    Frame,
    HistoryPage,
    Message,
    MessageAccepted,
    NewFrame,
    Point,
    PushAccepted,
    Room,
    RoomUser,
    Session,
    Stream,
    Subscription,
)

__all__ = [
    "Act",
    "ApiError",
    "AsyncTownsquare",
    "Change",
    "ChangeAccepted",
    "ConflictError",
    "Connection",
    "ConnectionFailedError",
    "Entry",
    "ForbiddenError",
    "Frame",
    "HistoryPage",
    "InvalidAddressError",
    "InvalidRequestError",
    "ListenerError",
    "Message",
    "MessageAccepted",
    "NewFrame",
    "NotFoundError",
    "Point",
    "Position",
    "PushAccepted",
    "RateLimitedError",
    "Room",
    "RoomEvent",
    "RoomUser",
    "Session",
    "Stream",
    "Subscription",
    "Townsquare",
    "TownsquareError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnexpectedResponseError",
]
