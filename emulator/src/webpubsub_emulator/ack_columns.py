"""Parses the acknowledgements of many clients together.

Most clients send the same text with another number and another mask. Here the frames of one
length are turned into columns: the n-th bytes of all frames lie side by side. A few operations
then unmask and compare all frames, instead of some for each.
"""

from collections import defaultdict
from collections.abc import Sequence

from webpubsub_emulator.ack_frame import HEADER_BYTES, MAX_ACK_FRAME_BYTES, parse_ack_frame

_MASK_START = 2
_MIN_ROWS = 8
"""With fewer frames, it takes longer to make columns than to parse each frame."""


def parse_ack_frames(frames: Sequence[bytes]) -> list[int | None]:
    """Return the sequence id of each frame as `parse_ack_frame` does."""
    by_size: defaultdict[int, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        by_size[len(frame)].append(index)
    if len(by_size) == 1:
        return _parse_rows(frames)
    sequence_ids: list[int | None] = [None] * len(frames)
    for size, indices in by_size.items():
        if HEADER_BYTES < size <= MAX_ACK_FRAME_BYTES:
            found = _parse_rows([frames[index] for index in indices])
            for index, sequence_id in zip(indices, found, strict=True):
                sequence_ids[index] = sequence_id
    return sequence_ids


def _parse_rows(rows: Sequence[bytes]) -> list[int | None]:
    """Parse frames of one size. If they differ in more than the number, parse the halves."""
    if len(rows) < _MIN_ROWS:
        return [parse_ack_frame(row) for row in rows]
    found = _parse_columns(rows)
    if found is not None:
        return [*found]
    middle = len(rows) // 2
    return _parse_rows(rows[:middle]) + _parse_rows(rows[middle:])


def _parse_columns(rows: Sequence[bytes]) -> list[int] | None:
    """Return the sequence ids, or None unless all frames are as the first, with other digits."""
    first = rows[0]
    sequence_id = parse_ack_frame(first)
    if sequence_id is None:
        return None
    count, size, joined = len(rows), len(first), b"".join(rows)
    if joined[::size] + joined[1::size] != first[:1] * count + first[1:2] * count:
        return None
    columns = b"".join([joined[place::size] for place in range(HEADER_BYTES, size)])
    masks = b"".join([joined[_MASK_START + place :: size] for place in range(4)])
    text = _xor(columns, masks)
    expected = text[::count]
    # The digits are at the end, before the brace.
    end = len(columns) - count
    start = end
    while expected[start // count - 1 : start // count].isdigit():
        start -= count
    digits = text[start:end]
    constants = b"".join([expected[place : place + 1] * count for place in range(start // count)])
    if text[:start] != constants or text[end:] != b"}" * count or not digits.isdigit():
        return None
    return _read_numbers(digits, count)


def _xor(columns: bytes, masks: bytes) -> bytes:
    """Unmask; the columns of the mask's four bytes are repeated. RFC 6455, 5.3."""
    size = len(columns)
    repeated = (masks * (size // len(masks) + 1))[:size]
    return (int.from_bytes(columns) ^ int.from_bytes(repeated)).to_bytes(size)


def _read_numbers(digits: bytes, count: int) -> list[int]:
    """Return the number of each row from the columns of their digits."""
    width = len(digits) // count + 1
    rows = bytearray(b" ") * (count * width)
    for place in range(width - 1):
        rows[place::width] = digits[place * count : (place + 1) * count]
    return [int(number) for number in rows.split()]
