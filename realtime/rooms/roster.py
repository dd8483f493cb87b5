"""The users in a room, as the service has listed them."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct, field

from realtime.azure.group_connections import MAX_PAGE_CONNECTIONS
from realtime.identity.profiles import Profile
from realtime.messages import RoomUser
from realtime.names import display_name


class Roster(Struct, frozen=True, dict=True):  # a cached property needs the dict
    """The users in a room with their number of connections, and the profiles of the announced.

    Both are by user id. A user who was not announced yet has no profile here.
    """

    users: Counter[str]
    announced: Mapping[str, Profile] = field(default_factory=dict)

    @property
    def crowded(self) -> bool:
        """Whether the users are more than one page: then joins and leaves are not announced.

        Users count, not connections: one user with many tabs does not silence a room.
        """
        return len(self.users) > MAX_PAGE_CONNECTIONS

    @cached_property
    def present(self) -> frozenset[str]:
        """The users whom clients show: also those who were announced and have no connection now.

        Such a user reloads a page, and neither "left" nor "joined" is published then; or "left"
        will be. In a crowded room nothing is published, so the listed ones are shown.
        """
        return frozenset(self.users if self.crowded else self.users.keys() | self.announced.keys())

    def page(self, after: str = "") -> list[RoomUser]:
        """One page of users by user id: the first, or the one after an id."""
        users = sorted(user for user in self.present if user > after)
        return [
            _make_user(user, self.announced.get(user), self.users[user])
            for user in users[:MAX_PAGE_CONNECTIONS]
        ]

    @cached_property
    def first_page(self) -> "FirstPage":
        return FirstPage(self.page(), len(self.present))


class FirstPage(Struct, frozen=True):
    """The first users of a room by user id, and the number of all.

    For the response to a join of a crowded room it is cached for some seconds.
    """

    users: list[RoomUser]
    count: int

    def with_user(self, user_id: str, profile: Profile) -> list[RoomUser]:
        """The users with the one who has just joined, with this profile."""
        others = [one for one in self.users if one.user_id != user_id]
        connections = next((one.connections for one in self.users if one.user_id == user_id), 1)
        users = [*others, _make_user(user_id, profile, connections)]
        return sorted(users, key=lambda one: one.user_id)[:MAX_PAGE_CONNECTIONS]


def _make_user(user_id: str, profile: Profile | None, connections: int) -> RoomUser:
    shown = profile or Profile(display_name(user_id))
    return RoomUser(user_id, shown.name, connections, status=shown.status, colour=shown.colour)
