"""Filters and permissions."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from webpubsub_emulator.filter import InvalidFilterError, compile_filter
from webpubsub_emulator.hub import Connection
from webpubsub_emulator.permissions import JOIN_LEAVE, SEND, Permissions, compile_wildcard


def connection(user: str | None = "ann", *groups: str) -> Connection:
    created = Connection("chat", user_id=user, connection_id="c1")
    created.groups.update(groups)
    return created


@pytest.mark.parametrize(
    "text",
    [
        "userId eq 'ann'",
        "USERID EQ 'ann'",
        "userId ne 'Ann'",
        "userId ne null",
        "connectionId eq 'c1'",
        "'a' in groups",
        "not ('x' in groups)",
        "userId in ('bob', 'ann')",
        "length(userId) eq 3",
        "length(groups) ge 2",
        "length('') lt 1",
        "tolower('ANN') eq userId and toupper(userId) eq 'ANN'",
        "trim('  ann ') eq userId",
        "substring(userId, 1) eq 'nn'",
        "substring(userId, 1, 1) eq 'n'",
        "concat(userId, 'a') eq 'anna'",
        "contains(userId, 'n') and startswith(userId, 'a') and endswith(userId, 'n')",
        "indexof(userId, 'n') eq 1",
        "indexof(userId, 'x') eq -1",
        "'it''s' eq concat('it', '''s')",
        "true or false and false",
        "(true or false) and true",
        "not false and true",
        "not not true",
        "2 gt 1 and 1 le 1",
        "(1 eq 1) eq true",
        "protocol eq null",
        " or ".join(["userId eq 'ann'"] * 5000),
    ],
)
def test_filter_matches_ann(text: str) -> None:
    assert compile_filter(text)(connection("ann", "a", "b")) is True


@pytest.mark.parametrize(
    "text",
    [
        "userId eq 'ann'",
        "length(userId) gt 0",
        "length(userId) lt 100",
        "contains(userId, 'n')",
        "startswith(userId, '')",
        "indexof(userId, 'n') ge 0",
        "substring(userId, 0) eq ''",
        "substring('ann', 9) eq ''",
        "concat(userId, 'x') eq 'x'",
        "null gt 1",
        "'x' in groups",
        "userId in ('ann')",
    ],
)
def test_filter_does_not_match_an_anonymous_connection(text: str) -> None:
    assert compile_filter(text)(connection(None)) is False


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("userId lt 1", "Invalid syntax for 'userId lt 1': Type 'string', expect 'int'."),
        ("ab", "Token 'ab' is not supported."),
        ("userId", "Type 'string', expect 'bool'."),
        ("true or userId", "Type 'string', expect 'bool'."),
        ("not length(userId) gt 5", "Type 'int', expect 'bool'."),
        ("userId eq 1", "Type 'int', expect 'string'."),
        ("groups eq null", "Type 'collection' cannot be compared."),
        ("userId in groups and", "Expression expected at position 20 in 'userId in groups and'."),
        ("length(userId, userId) eq 1", "Invalid token 'length(userId,userId)'."),
        ("length() eq 1", "Invalid token 'length()'."),
        ("'open", "There is an unterminated string literal at position 5 in ''open'."),
        ("userId eq 'a' 'b'", "Syntax error at position 17 in 'userId eq 'a' 'b''."),
        ("(true", "')' or operator expected at position 5 in '(true'."),
        ("99999999999999999999 gt 1", "is not supported."),
        ("(" * 101 + "true" + ")" * 101, "Recursion depth exceeded allowed limit."),
        ("not(" * 5000 + "true" + ")" * 5000, "Recursion depth exceeded allowed limit."),
    ],
)
def test_invalid_filter_names_the_error(text: str, fault: str) -> None:
    with pytest.raises(InvalidFilterError) as raised:
        compile_filter(text)

    assert fault in str(raised.value)


WORDS = [
    *("userId", "groups", "'a'", "1", "-1", "null", "true"),
    *("not", "and", "or", "eq", "gt", "in", "length(", "substring("),
    *("(", ")", ",", "$", "'"),
]
Expected = Callable[[Connection], bool]
clients = st.builds(
    connection,
    st.none() | st.sampled_from(["ann", "bob", "", "o'hara", "Ünal"]),
    st.sampled_from("ab"),
)
words = st.sampled_from(["ann", "bob", "a", "o'hara", ""])


def quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


def _atoms() -> st.SearchStrategy[tuple[str, Expected]]:
    return st.one_of(
        words.map(lambda w: (f"userId eq {quoted(w)}", lambda c: c.user_id == w)),
        words.map(lambda w: (f"{quoted(w)} in groups", lambda c: w in c.groups)),
        words.map(
            lambda w: (
                (f"contains(userId, {quoted(w)})", lambda c: w in (c.user_id or "\0"))
                if w
                else ("userId ne null", lambda c: c.user_id is not None)
            )
        ),
        st.integers(0, 7).map(
            lambda n: (
                f"length(userId) gt {n}",
                lambda c: c.user_id is not None and len(c.user_id) > n,
            )
        ),
    )


def _compound(
    parts: st.SearchStrategy[tuple[str, Expected]],
) -> st.SearchStrategy[tuple[str, Expected]]:
    def both(a: tuple[str, Expected], b: tuple[str, Expected]) -> tuple[str, Expected]:
        return f"({a[0]}) and ({b[0]})", lambda c: a[1](c) and b[1](c)

    def either(a: tuple[str, Expected], b: tuple[str, Expected]) -> tuple[str, Expected]:
        return f"({a[0]} or {b[0]})", lambda c: a[1](c) or b[1](c)

    def negated(a: tuple[str, Expected]) -> tuple[str, Expected]:
        return f"not ({a[0]})", lambda c: not a[1](c)

    return (
        st.builds(both, parts, parts) | st.builds(either, parts, parts) | st.builds(negated, parts)
    )


@given(st.recursive(_atoms(), _compound, max_leaves=12), clients)
def test_compound_filter_agrees_with_its_parts(
    filter_: tuple[str, Expected], client: Connection
) -> None:
    text, expected = filter_

    assert compile_filter(text)(client) is expected(client)


@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=14,
    ).map(" ".join)
    | st.text(max_size=30),
    clients,
)
@example("substring('a', -1) eq 'a'", connection())
@example("\u0661 eq 1", connection())
def test_any_text_is_a_filter_or_an_error(text: str, client: Connection) -> None:
    try:
        matches = compile_filter(text)(client)
    except InvalidFilterError:
        return

    assert matches in (True, False)


# Roles


@pytest.mark.parametrize(
    ("pattern", "matching", "not_matching"),
    [
        ("room.*", ["room.a", "room."], ["room.a.b", "room", "Room.a"]),
        ("room.**", ["room.a", "room.a.b"], ["hall"]),
        ("room.?", ["room.a"], ["room.", "room.ab", "room.."]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_wildcard_matches(pattern: str, matching: list[str], not_matching: list[str]) -> None:
    compiled = compile_wildcard(pattern)

    assert compiled is not None
    assert all(compiled.fullmatch(group) for group in matching)
    assert not any(compiled.fullmatch(group) for group in not_matching)


@pytest.mark.parametrize("pattern", ["", "a" * 1025, "*" * 6, "\\", "a\\b"])
def test_invalid_wildcard_grants_nothing(pattern: str) -> None:
    assert compile_wildcard(pattern) is None


def test_role_grants_only_its_action() -> None:
    allowed = Permissions(["webpubsub.sendToGroup", "webpubsub.joinLeaveGroup.a.b", "other"])

    assert allowed.allows(SEND, "anything")
    assert allowed.allows(JOIN_LEAVE, "a.b")
    assert not allowed.allows(JOIN_LEAVE, "a")


def test_revocation_overrides_a_role_until_granted_again() -> None:
    allowed = Permissions(["webpubsub.sendToGroups.*"])

    allowed.revoke(SEND, "a")
    assert not allowed.allows(SEND, "a")
    assert allowed.allows(SEND, "b")
    allowed.grant(SEND, "a")
    assert allowed.allows(SEND, "a")
