"""Acknowledgements of many clients are parsed together, with the results of parsing each."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_broadcast import frame
from webpubsub_emulator.ack_columns import parse_ack_frames

COMPACT = '{"type":"sequenceAck","sequenceId":%s}'
SPACED = '{"type": "sequenceAck", "sequenceId": %s}'
CLIENTS = 40


def masked(text: str, first: int = 0x81, seed: int = 0) -> bytes:
    return frame(text.encode(), first, random.Random(seed).randbytes(4))


def acks(count: int = CLIENTS, digits: int = 4) -> list[bytes]:
    """Frames of clients with different masks and the ids 0, 1 and so on of a number of digits."""
    lowest = 10 ** (digits - 1)
    return [masked(COMPACT % (lowest + number), seed=number) for number in range(count)]


WHOLE = masked(COMPACT % 1234)
# Each has the size of an acknowledgement with four digits, and is none.
OTHERS = {
    "other bytes": bytes(len(WHOLE)),
    "other type": masked(COMPACT.replace("sequenceAck", "sequenceack") % 1234),
    "other property": masked(COMPACT.replace("Id", "ID") % 1234),
    "not a number": masked(COMPACT % "12x4"),
    "no digit": masked(COMPACT % "1e99"),
    "not ended": masked((COMPACT % 1234)[:-1] + "]"),
    "number goes on": masked((COMPACT % 12345)[:-1]),
    "first fragment": masked(COMPACT % 1234, first=0x01),
    "binary": masked(COMPACT % 1234, first=0x82),
    "reserved bit": masked(COMPACT % 1234, first=0xC1),
    "not masked": WHOLE[:1] + bytes((WHOLE[1] & 0x7F,)) + WHOLE[2:],
    "another length in the header": WHOLE[:1] + bytes((WHOLE[1] + 1,)) + WHOLE[2:],
    "one wrong byte in the mask": WHOLE[:5] + bytes((WHOLE[5] ^ 1,)) + WHOLE[6:],
}


@pytest.mark.parametrize("digits", [*range(1, 20)])
def test_ids_of_every_length_are_read(digits: int) -> None:
    lowest = 10 ** (digits - 1)
    count = min(9, CLIENTS) if digits == 1 else CLIENTS

    assert parse_ack_frames(acks(count, digits)) == [lowest + n for n in range(count)]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("place", [0, 1, 17, CLIENTS - 1])
def test_frame_of_the_same_size_that_is_no_acknowledgement_is_found(
    other: bytes, place: int
) -> None:
    frames = acks()
    frames[place] = other
    expected = [None if n == place else 1000 + n for n in range(CLIENTS)]

    assert parse_ack_frames(frames) == expected


def test_nothing_is_read_where_no_frame_is_an_acknowledgement() -> None:
    assert parse_ack_frames([]) == []
    for other in (*OTHERS.values(), b"", b"\x81", WHOLE * 2, WHOLE[:20]):
        assert parse_ack_frames([other] * CLIENTS) == [None] * CLIENTS


def test_ids_of_twenty_digits_are_left_to_the_ordinary_reader() -> None:
    assert parse_ack_frames([masked(COMPACT % 10**19)] * CLIENTS) == [None] * CLIENTS


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([COMPACT, SPACED]), st.integers(0, 10**6)),
            st.sampled_from([*OTHERS.values(), b"", WHOLE * 2, WHOLE[:9], masked("ping")]),
        ),
        max_size=120,
    )
)
def test_frames_of_all_kinds_keep_their_places(
    kinds: list[tuple[str, int] | bytes],
) -> None:
    frames = [
        kind if isinstance(kind, bytes) else masked(kind[0] % kind[1], seed=place)
        for place, kind in enumerate(kinds)
    ]

    assert parse_ack_frames(frames) == [
        None if isinstance(kind, bytes) else kind[1] for kind in kinds
    ]
