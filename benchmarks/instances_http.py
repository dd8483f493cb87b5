"""The little HTTP/1.1 that the parts of the benchmark `instances` need."""


def find_message_end(buffer: bytes | bytearray) -> int:
    """The length of the first whole request or response in a buffer; 0 if it is not whole.

    A message without Content-Length and without chunks has no body.
    """
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        return 0
    head, body = bytes(buffer[:head_end]).lower(), head_end + 4
    if b"\r\ntransfer-encoding: chunked" in head:
        return _find_last_chunk_end(buffer, body)
    _, found, rest = head.partition(b"\r\ncontent-length:")
    end = body + (int(rest.partition(b"\r\n")[0]) if found else 0)
    return end if len(buffer) >= end else 0


def _find_last_chunk_end(buffer: bytes | bytearray, start: int) -> int:
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(bytes(buffer[start:line_end]).partition(b";")[0], 16)
        start = line_end + 2 + size + 2
        if size == 0:
            return start if len(buffer) >= start else 0
    return 0


def status_of(response: bytes | bytearray) -> int:
    return int(response[9:12])
