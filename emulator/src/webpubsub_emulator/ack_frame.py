"""The frames of a reliable client that only listens: sequence acknowledgements and pongs."""

import re

HEADER_BYTES = 6
_EMPTY_PONG = b"\x8a\x80"
_MAX_PAYLOAD_BYTES = 100
MAX_ACK_FRAME_BYTES = HEADER_BYTES + _MAX_PAYLOAD_BYTES

_COMPACT = b'{"type":"sequenceAck","sequenceId":'
_ACK = re.compile(rb'\{"type": ?"sequenceAck", ?"sequenceId": ?([0-9]{1,19})\}')

# A final, masked text frame of each length; RFC 6455, 5.2. The product of a mask and a factor is
# the mask repeated, which is longer than the payload by the shift.
_LENGTHS = range(len(_COMPACT) + 2, _MAX_PAYLOAD_BYTES + 1)
_FORMS = {
    bytes((0x81, 0x80 | length)): (
        length,
        int.from_bytes(b"\0\0\0\1" * (length // 4 + 1)),
        8 * (4 - length % 4),
    )
    for length in _LENGTHS
}


def is_empty_pong(data: bytes) -> bool:
    """Return whether the data is the response to a ping without content, and all of it."""
    return len(data) == HEADER_BYTES and data.startswith(_EMPTY_PONG)


def parse_ack_frame(data: bytes) -> int | None:
    """Return the sequence id if the data is one whole frame with an acknowledgement."""
    form = _FORMS.get(data[:2])
    if form is None or len(data) != HEADER_BYTES + form[0]:
        return None
    length, factor, shift = form
    mask = int.from_bytes(data[2:6]) * factor >> shift
    payload = (int.from_bytes(data[6:]) ^ mask).to_bytes(length)
    match = _ACK.fullmatch(payload)
    return int(match[1]) if match else None
