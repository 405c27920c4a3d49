"""A reply, and its headers, which are taken apart only when somebody looks at them. Importing this loads no parser."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

MEGABYTE = 1 << 20
MAX_REPLY_MB = 128
"""What is read of a reply where nothing else is said: the log probabilities of a very long answer fit into it."""
LENIENT = {
    "lenient_headers": True,  # folded lines
    "lenient_optional_cr_before_lf": True,
    "lenient_spaces_after_chunk_size": True,
}
"""What RFC 9112 lets a client read although servers may not write it; the same that aiohttp reads."""


class TooLong(Exception):
    """A body is longer than what is read of one."""


def too_long(most: int) -> str:
    """The words for it; `most`: in bytes."""
    return f"the reply is longer than {most / MEGABYTE:g} MB"


async def read_all(parts: AsyncIterable[bytes | memoryview], most: int) -> bytes:
    """A body that comes in parts, for any client. Raises `TooLong` for more than `most` bytes."""
    found: list[bytes | memoryview] = []
    async for part in parts:
        most -= len(part)
        if most < 0:
            raise TooLong
        found.append(part)
    return b"".join(found)


class HttpReply(NamedTuple):
    """A reply of any status, read to its end and decompressed.

    Attributes:
        status: The HTTP status code.
        headers: Looked up in any case of letters; of a repeated header the first value.
        body: The whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class ReplyHeaders(Mapping[str, str]):
    """The headers of a reply, taken apart when the first of them is looked up."""

    __slots__ = ("_head", "_read")

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._read: dict[str, list[str]] | None = None

    def _all(self) -> dict[str, list[str]]:
        if self._read is None:
            import httptools

            self._read = {}
            parser = httptools.HttpResponseParser(_Collector(self._read))
            parser.set_dangerous_leniencies(**LENIENT)
            with suppress(httptools.HttpParserUpgrade):
                parser.feed_data(self._head)
        return self._read

    def __getitem__(self, name: str) -> str:
        return self._all()[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def getall(self, name: str, default: Sequence[str] = ()) -> Sequence[str]:
        """All values of a header that may stand there more than once, such as `Set-Cookie`."""
        return self._all().get(name.lower(), default)


class _Collector:
    def __init__(self, headers: dict[str, list[str]]) -> None:
        self._headers = headers

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip(" \t"))
