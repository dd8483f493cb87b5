"""Permissions of a client: roles, and what REST granted or revoked group by group.

https://learn.microsoft.com/azure/azure-web-pubsub/concept-client-protocols#permissions
Roles limit only what the *client* does; the server can add any connection to any group.
"""

import re
from collections.abc import Iterable

JOIN_LEAVE, SEND = "joinLeaveGroup", "sendToGroup"
ACTIONS = (JOIN_LEAVE, SEND)

_MAX_LITERAL_RULES = 1000
_MAX_PATTERNS = 10
_MAX_PATTERN_CHARACTERS = 1024
_MAX_PATTERN_STARS = 5
_PATTERN_TOKEN = re.compile(r"\\[\\*?]|\*\*|\*|\?|[^\\*?]+")
_REGEX_OF_TOKEN = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}


class TooManyRulesError(Exception):
    """A connection has as many literal rules as the service allows."""


class _Rules:
    """The rules for one action."""

    __slots__ = ("all_groups", "granted", "patterns", "revoked")

    def __init__(self) -> None:
        self.all_groups = False
        self.granted: frozenset[str] = frozenset()
        self.revoked: frozenset[str] = frozenset()
        self.patterns: tuple[re.Pattern[str], ...] = ()

    def allows(self, group: str) -> bool:
        if group in self.granted:
            return True
        # A revocation of one group outweighs a role that covers many, until it is granted again.
        if group in self.revoked:
            return False
        return self.all_groups or any(pattern.fullmatch(group) for pattern in self.patterns)


class Permissions:
    """The rules of one connection, read from its roles and changed over REST."""

    __slots__ = ("_rules",)

    def __init__(self, roles: Iterable[str] = ()) -> None:
        self._rules = {action: _Rules() for action in ACTIONS}
        for role in roles:
            self._add_role(role)

    def allows(self, action: str, group: str) -> bool:
        return self._rules[action].allows(group)

    def grant(self, action: str, group: str) -> None:
        rules = self._rules[action]
        _check_count(rules.granted | {group})
        rules.granted |= {group}
        rules.revoked -= {group}

    def revoke(self, action: str, group: str) -> None:
        rules = self._rules[action]
        _check_count(rules.revoked | {group})
        rules.granted -= {group}
        rules.revoked |= {group}

    def _add_role(self, role: str) -> None:
        """Add the rules of one role; an unknown role grants nothing."""
        for action, rules in self._rules.items():
            if role == f"webpubsub.{action}":
                rules.all_groups = True
            elif role.startswith(f"webpubsub.{action}."):
                group = role.removeprefix(f"webpubsub.{action}.")
                if len(rules.granted) < _MAX_LITERAL_RULES:
                    rules.granted |= {group}
            elif role.startswith(f"webpubsub.{action}s."):
                pattern = compile_wildcard(role.removeprefix(f"webpubsub.{action}s."))
                if pattern and len(rules.patterns) < _MAX_PATTERNS:
                    rules.patterns += (pattern,)


def describe_forbidden(verb: str, group: str) -> str:
    """Return the service's error message for a missing permission."""
    return f"The client does not have permission to {verb} group '{group}'."


def compile_wildcard(pattern: str) -> re.Pattern[str] | None:
    """Translate `?` (one character but a dot), `*` (no dots), `**` (any) and `\\` to a regex.

    Returns None for an invalid pattern.
    """
    tokens = _PATTERN_TOKEN.findall(pattern)
    if not pattern or len(pattern) > _MAX_PATTERN_CHARACTERS or "".join(tokens) != pattern:
        return None
    if sum(len(token) for token in tokens if token in ("*", "**")) > _MAX_PATTERN_STARS:
        return None
    return re.compile("".join(map(_token_regex, tokens)), re.DOTALL)


def _token_regex(token: str) -> str:
    if token in _REGEX_OF_TOKEN:
        return _REGEX_OF_TOKEN[token]
    return re.escape(token.removeprefix("\\"))


def _check_count(rules: frozenset[str]) -> None:
    if len(rules) > _MAX_LITERAL_RULES:
        raise TooManyRulesError
