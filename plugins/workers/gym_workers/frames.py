"""What a coordinator and its workers say to each other: frames of one JSON object and the bytes it is about.

A frame is the size of the object and the size of the bytes, four octets each, then both. Many rollouts share a frame,
so that the one process which all results pass through has little to do for each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from gym_core import encode_json, parse_json
from gym_workers.channel import Head, Receive

SIZES = struct.Struct("<II")


def encode_frame(head: Head, body: Iterable[bytes] = ()) -> bytes:
    """A frame as bytes. `body`: what `head` is about, in parts."""
    about, whole = encode_json(head, fallback=str), b"".join(body)
    return b"".join((SIZES.pack(len(about), len(whole)), about, whole))


class FrameReader:
    """Cuts a stream into frames and hands each on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        held = self._data
        held += data
        start = 0
        while len(held) - start >= SIZES.size:
            about, whole = SIZES.unpack_from(held, start)
            middle = start + SIZES.size + about
            end = middle + whole
            if len(held) < end:
                break
            # a copy: whoever looks at this thread's stack keeps what a function was given, and `held` is to be resized
            head = parse_json(held[start + SIZES.size : middle])
            self._receive(head, bytes(memoryview(held)[middle:end]))
            start = end
        if start:
            del held[:start]
