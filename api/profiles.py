"""The profiles of users: name, status and colour, for everybody with a session."""

from typing import Annotated

import azure.functions as func
from msgspec import Meta, Struct

from api.blueprint import bp
from realtime.concurrency import gather_limited
from realtime.errors import ApiError
from realtime.http import Access, endpoint
from realtime.identity.profiles import profiles
from realtime.names import validate_user_id
from realtime.users.caller import authenticate

MAX_PROFILES = 50
"""The most profiles of one request: each costs a read that is not cached."""


class ProfilesQuery(Struct, frozen=True):
    """Up to 50 user ids, separated by commas."""

    ids: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_,-]*$")] = ""


class UserProfile(Struct, frozen=True, omit_defaults=True):
    """What a user shows: `status` and `colour` are left out if not chosen."""

    user_id: str
    name: str
    status: str = ""
    colour: int | None = None


class UserProfiles(Struct, frozen=True):
    users: list[UserProfile]


@endpoint(bp, "GET", "api/users", Access.SESSION, errors="invalid_user")
async def user_profiles(req: func.HttpRequest, query: ProfilesQuery) -> UserProfiles:
    """Get the profiles of users, for example of the authors of a history page.

    Users who never connected, and deleted ones, are left out. A profile is at most 10 s old.
    """
    await authenticate(req.headers)
    ids = list(dict.fromkeys(map(validate_user_id, filter(None, query.ids.split(",")))))
    if len(ids) > MAX_PROFILES:
        raise ApiError("invalid_request", f"At most {MAX_PROFILES} users a request.")
    found = await gather_limited(profiles().find_cached(user_id) for user_id in ids)
    return UserProfiles(
        [
            UserProfile(user_id, one.name, one.status, one.colour)
            for user_id, one in zip(ids, found, strict=True)
            if one
        ]
    )
