"""Bodies without their compression, and never more of them than may be read."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from gym_http1.reply import TooLong

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_STARTS = b"\x1f\x8b"
_WINDOW = 1 << 16
_MOST_MEMBERS = 10_000
_UNSPOKEN = frozenset({"br", "zstd", "compress", "x-compress"})


def decoded(body: bytes, encodings: Sequence[str], most: int) -> bytes:
    """A body without what `Content-Encoding` names: gzip, of any number of members (RFC 1952), and deflate.

    Names that are no compression are passed over. Raises `TooLong` when more than `most` bytes would come out,
    `ValueError` for a compression that nobody asked for, or a body that is not compressed as it says.
    """
    names = [name.strip().lower() for value in encodings for name in value.split(",")]
    for name in reversed(names):
        if not body:  # there is nothing to a reply without a body, whatever it says
            break
        if name in _UNSPOKEN:
            raise ValueError(f"it is compressed with {name}, which was not asked for")
        try:
            if name in ("gzip", "x-gzip"):
                body = _inflated(body, _GZIP, most)
            elif name == "deflate":
                body = _deflated(body, most)
        except zlib.error as error:
            raise ValueError(f"it cannot be decompressed: {error}") from None
    return body


def _deflated(body: bytes, most: int) -> bytes:
    try:
        return _inflated(body, zlib.MAX_WBITS, most)
    except zlib.error:
        return _inflated(body, -zlib.MAX_WBITS, most)  # without the frame that RFC 9110 asks for; many servers do


def _inflated(body: bytes, bits: int, most: int) -> bytes:
    parts: list[bytes] = []
    size = at = members = 0
    unpacker = zlib.decompressobj(bits)
    view = memoryview(body)
    while at < len(body):
        window = view[at : at + _WINDOW]  # so that what is left over is short: it is copied at each step
        part = unpacker.decompress(window, most - size + 1)
        size += len(part)
        if size > most:
            raise TooLong
        parts.append(part)
        at += len(window) - len(unpacker.unused_data)
        if unpacker.eof:
            members += 1
            if bits != _GZIP or not body.startswith(_GZIP_STARTS, at) or members == _MOST_MEMBERS:
                break
            unpacker = zlib.decompressobj(bits)
    if not unpacker.eof:
        raise ValueError("its compressed body is cut off")
    return parts[0] if len(parts) == 1 else b"".join(parts)
