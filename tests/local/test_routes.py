"""Matching of paths and route templates, and the values of route parameters."""

import pytest

from local.functions.paths import normalize_path
from local.functions.routes import parse_route


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("api/negotiate", "api/negotiate", {}),
        ("api/negotiate", "API/Negotiate/", {}),
        ("api/negotiate", "api/negotiate//", None),
        ("api/negotiate", "api", None),
        ("rooms/{room}", "rooms/Lobby", {"room": "Lobby"}),
        ("rooms/{room}", "rooms/", None),
        ("rooms/{room}/history", "rooms/a/b/history", None),
        ("rooms/{room?}", "rooms", {}),
        ("rooms/{room=lobby}", "rooms", {"room": "lobby"}),
        ("rooms/{room=lobby}", "rooms/cellar", {"room": "cellar"}),
        ("rooms/{room=lobby}/{page?}", "rooms/cellar/2", {"room": "cellar", "page": "2"}),
        ("{a?}/end", "x/end", {"a": "x"}),
        ("{a?}/end", "end", None),
        ("files/{*path}", "files/a/b.txt", {"path": "a/b.txt"}),
        ("files/{**path}", "files", {}),
        ("v{major:int}.{minor}", "v2.7", {"major": "2", "minor": "7"}),
        ("{ignored:maxlength(0)?}", "", {}),
        ("{ignored:maxlength(0)?}", "x", None),
    ],
)
def test_a_template_matches_a_path(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse_route(template).match(path) == values


@pytest.mark.parametrize(
    ("constraint", "allowed", "refused"),
    [
        ("int", "-2147483648", "2147483648"),
        ("int", "+7", "1_000"),
        ("long", "2147483648", "9223372036854775808"),
        ("guid", "9f0ba6b0-9f6f-4e0b-8a37-3b5f3a5d0a11", "9f0ba6b0"),
        ("alpha", "Abc", "ab1"),
        ("bool", "True", "yes"),
        ("guid", "9f0ba6b09f6f4e0b8a373b5f3a5d0a11", "9f0ba6b-09f6f4e0b8a373b5f3a5d0a11"),
        ("guid", "{9f0ba6b0-9f6f-4e0b-8a37-3b5f3a5d0a11}", "urn:uuid:9f0ba6b0-9f6f-4e0b"),
        ("datetime", "2026-11-21", "yesterday"),
        ("datetime", "11-21-2026", "21-11-2026"),
        ("datetime", "21 Nov 2026 10:00 PM", "21 Nov 2026 13:00 PM"),
        ("datetime", "Saturday, 21 November 2026", "Someday, 21 November 2026"),
        ("datetime", "2026-11-21T10:00:00.123Z", "2026-11-21T25:00:00Z"),
        ("datetime", "10:30", "1030"),
        ("datetime", "2026-2-28", "2026-2-30"),
        ("datetime", "November 2026", "20261121"),
        ("datetime", "2026-11-21 10:00 +01:00", "2026-W47-6"),
        ("decimal", "1.5", "one"),
        ("decimal", "1,000.5", "1e5"),
        ("decimal", "5-", "-5-"),
        ("decimal", ".5", "."),
        ("decimal", "79228162514264337593543950335", "79228162514264337593543950336"),
        ("decimal", "-1", "NaN"),
        ("double", "1e5", "1f5"),
        ("double", "-1,000.5E-3", "5-"),
        ("float", "NaN", "one"),
        ("double", "Infinity", "inf"),
        ("length(3)", "abc", "abcd"),
        ("length(2,3)", "ab", "a"),
        ("minlength(2)", "ab", "a"),
        ("maxlength(2)", "ab", "abc"),
        ("min(18)", "18", "17"),
        ("max(120)", "120", "121"),
        ("range(18,120)", "18", "17"),
        ("range(18,120)", "19", "nineteen"),
        (r"regex(^\d{{3}}-(a|b)$)", "123-A", "12-a"),
        ("int:min(3)", "3", "2"),
    ],
)
def test_a_value_must_satisfy_its_constraint(constraint: str, allowed: str, refused: str) -> None:
    route = parse_route(f"x/{{value:{constraint}}}")

    assert route.match(f"x/{allowed}") == {"value": allowed}
    assert route.match(f"x/{refused}") is None


@pytest.mark.parametrize(
    "template",
    ["/x", "~/x", "x/{", "x/{}", "x/}", "x/{a:unknown}", "x/{a:min(b)}", "x/{a:length}", "x//y"],
)
def test_an_invalid_template_is_rejected(template: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_route(template)


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        ("/rooms/a%20b/%C3%BC", "rooms/a b/ü"),
        ("/rooms/a%2fb/c%2Fd", "rooms/a%2fb/c%2Fd"),
        ("/rooms/%ff", "rooms/%ff"),
        ("/rooms/a%FFb%C3%BC%e2%28", "rooms/a%FFbü%e2("),
        ("/a/../b", "b"),
        ("/a/./b/", "a/b/"),
        ("/a/b/..", "a/"),
        ("/../../b", "b"),
        ("/a/%2e%2E/b", "b"),
        ("/a..b/.c", "a..b/.c"),
        ("/100%", "100%"),
        ("/", ""),
    ],
)
def test_a_path_is_decoded_and_loses_its_dot_segments(raw_path: str, path: str) -> None:
    assert normalize_path(raw_path) == path
