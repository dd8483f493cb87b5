"""What a client may do by itself: roles, grants and revocations, group by group.

https://learn.microsoft.com/azure/azure-web-pubsub/concept-client-protocols#permissions
Roles gate only what the *client* does; the server may put anyone into any group.
"""

import re
from collections.abc import Iterable

JOIN_LEAVE, SEND = "joinLeaveGroup", "sendToGroup"
ACTIONS = (JOIN_LEAVE, SEND)

_MOST_LITERALS = 1000
_MOST_PATTERNS = 10
_LONGEST_PATTERN = 1024
_MOST_STARS = 5
_PATTERN_TOKEN = re.compile(r"\\[\\*?]|\*\*|\*|\?|[^\\*?]+")
_REGEX_OF_TOKEN = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}


class TooManyRulesError(Exception):
    """One connection holds as many literal rules as the service allows."""


class _Rules:
    """The rules for one action."""

    __slots__ = ("everywhere", "granted", "patterns", "revoked")

    def __init__(self) -> None:
        self.everywhere = False
        self.granted: frozenset[str] = frozenset()
        self.revoked: frozenset[str] = frozenset()
        self.patterns: tuple[re.Pattern[str], ...] = ()

    def allow(self, group: str) -> bool:
        if group in self.granted:
            return True
        # A revocation of one group outweighs a role that covers many, until it is granted again.
        if group in self.revoked:
            return False
        return self.everywhere or any(pattern.fullmatch(group) for pattern in self.patterns)


class Permissions:
    """The rules of one connection, read from its roles and changed over REST."""

    __slots__ = ("_rules",)

    def __init__(self, roles: Iterable[str] = ()) -> None:
        self._rules = {action: _Rules() for action in ACTIONS}
        for role in roles:
            self._take(role)

    def allows(self, action: str, group: str) -> bool:
        return self._rules[action].allow(group)

    def grant(self, action: str, group: str) -> None:
        rules = self._rules[action]
        _check_room(rules.granted | {group})
        rules.granted |= {group}
        rules.revoked -= {group}

    def revoke(self, action: str, group: str) -> None:
        rules = self._rules[action]
        _check_room(rules.revoked | {group})
        rules.granted -= {group}
        rules.revoked |= {group}

    def _take(self, role: str) -> None:
        """Take over one role; what is no role of the service grants nothing."""
        for action, rules in self._rules.items():
            if role == f"webpubsub.{action}":
                rules.everywhere = True
            elif role.startswith(f"webpubsub.{action}."):
                group = role.removeprefix(f"webpubsub.{action}.")
                if len(rules.granted) < _MOST_LITERALS:
                    rules.granted |= {group}
            elif role.startswith(f"webpubsub.{action}s."):
                pattern = wildcard(role.removeprefix(f"webpubsub.{action}s."))
                if pattern and len(rules.patterns) < _MOST_PATTERNS:
                    rules.patterns += (pattern,)


def wildcard(pattern: str) -> re.Pattern[str] | None:
    """Read `?` (one character), `*` (any but dots), `**` (any) and `\\`; None if it is invalid."""
    tokens = _PATTERN_TOKEN.findall(pattern)
    if not pattern or len(pattern) > _LONGEST_PATTERN or "".join(tokens) != pattern:
        return None
    if sum(len(token) for token in tokens if token in ("*", "**")) > _MOST_STARS:
        return None
    return re.compile("".join(map(_as_regex, tokens)), re.DOTALL)


def _as_regex(token: str) -> str:
    if token in _REGEX_OF_TOKEN:
        return _REGEX_OF_TOKEN[token]
    return re.escape(token.removeprefix("\\"))


def _check_room(rules: frozenset[str]) -> None:
    if len(rules) > _MOST_LITERALS:
        raise TooManyRulesError
