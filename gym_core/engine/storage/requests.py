"""The tools and the sampling in force, which most rollouts share: written once, cited in rows by their hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gym_core.domain.json_text import parse_json
from gym_core.engine.storage.files import line_at, numbered_lines
from gym_core.engine.tasks.keys import DIGEST_SIZE

_BEGINS = b'{"hash":"'
_HASH = slice(len(_BEGINS), len(_BEGINS) + 2 * DIGEST_SIZE)


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """`hash`: what it is cited by, in hexadecimal digits. `fields`: its tools and sampling."""

    hash: str
    fields: Mapping[str, Any]

    def to_wire(self) -> dict[str, Any]:
        """As it stands in `x.tools.jsonl`."""
        return {"hash": self.hash, **self.fields}

    @classmethod
    def of(cls, wire: Mapping[str, Any]) -> SharedRequest:
        """One that another process has sent."""
        return cls(wire["hash"], {name: value for name, value in wire.items() if name != "hash"})


Cited = tuple[SharedRequest, ...]
"""What has to be written before a row is: what it cites, or nothing where it is written already."""


def lines_of(path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """Each whole line of an `x.tools.jsonl`: its hash, the bytes before it, and itself; none where there is no file."""
    for _, offset, line in numbered_lines(path) if path.exists() else ():
        if is_line(line) and line.endswith(b"\n"):
            yield bytes.fromhex(line[_HASH].decode()), offset, line


class StoredRequests(Mapping[str, Mapping[str, Any]]):
    """What an `x.tools.jsonl` holds, by hash, without it: of each line its place is kept, and the last few as read."""

    def __init__(self, path: Path, redact: Callable[[bytes], bytes] = bytes) -> None:
        self._path = path
        self._redact = redact
        self._read = lru_cache(maxsize=64)(self._line_at)
        self._places: dict[str, int] | None = None

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self._read(self._known[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def _known(self) -> Mapping[str, int]:
        if self._places is None:
            self._places = {digest.hex(): offset for digest, offset, _ in lines_of(self._path)}
        return self._places

    def _line_at(self, offset: int) -> Mapping[str, Any]:
        return SharedRequest.of(parse_json(self._redact(line_at(self._path, offset)))).fields


def is_line(line: bytes) -> bool:
    """Whether this is a line of an `x.tools.jsonl`."""
    digits = line[_HASH]
    return line.startswith(_BEGINS) and len(digits) == 2 * DIGEST_SIZE and not digits.strip(b"0123456789abcdef")
