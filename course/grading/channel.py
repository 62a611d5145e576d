"""Messages between the grader and the process that runs a student's code: a JSON header and a blob, over a socket.

The grader reads them as an attack: the student's code shares a process with the one who writes them.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator

_LENGTHS = struct.Struct(">II")
MAX_HEADER = 1 << 20


class BadMessage(ValueError):
    """What came is no message, or too much of it."""


def message(header: dict, blob: bytes = b"") -> bytes:
    head = json.dumps(header).encode()
    return _LENGTHS.pack(len(head), len(blob)) + head + blob


def send(channel: socket.socket, header: dict, blob: bytes = b"") -> None:
    """Send one message, whole.

    Raises:
        OSError: When the other side is gone.
    """
    channel.sendall(message(header, blob))


def receive(channel: socket.socket) -> tuple[dict, bytes]:
    """Wait for one message of somebody who is trusted.

    Raises:
        EOFError: When the other side is gone.
    """
    head, blob = _LENGTHS.unpack(_exactly(channel, _LENGTHS.size))
    return json.loads(_exactly(channel, head)), _exactly(channel, blob)


def _exactly(channel: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        part = channel.recv(min(count - len(content), 1 << 20))
        if not part:
            raise EOFError("the other side is gone")
        content += part
    return bytes(content)


class Inbox:
    """Messages put together from pieces as they come.

    Args:
        most: Bytes that may come in all. They are counted before they are kept.
    """

    def __init__(self, most: int):
        self._most, self._came, self._waiting = most, 0, bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[dict, bytes]]:
        """The messages that are whole now.

        Raises:
            BadMessage: When more came than may come, or a header is no JSON object.
        """
        self._came += len(piece)
        if self._came > self._most:
            raise BadMessage(f"more than {self._most >> 20} MB came from the process")
        self._waiting += piece
        while len(self._waiting) >= _LENGTHS.size:
            head, blob = _LENGTHS.unpack_from(self._waiting)
            if head > MAX_HEADER or blob > self._most:
                raise BadMessage("a message announced more than may come")
            end = _LENGTHS.size + head + blob
            if len(self._waiting) < end:
                return
            content = bytes(self._waiting[_LENGTHS.size : end])
            del self._waiting[:end]
            yield _header(content[:head]), content[head:]


def _header(content: bytes) -> dict:
    try:
        header = json.loads(content)
    except (ValueError, RecursionError):
        raise BadMessage("a message's header is not JSON") from None
    if type(header) is not dict:
        raise BadMessage("a message's header is not a JSON object")
    return header
