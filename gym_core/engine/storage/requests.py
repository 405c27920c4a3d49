"""The tools and the sampling in force, which most rollouts share: written once, cited in rows by their hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_core.engine.storage.files import numbered_lines
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


def request_lines(path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """Each whole line of an `x.tools.jsonl`: its hash, the bytes before it, and itself; none where there is no file."""
    for _, offset, line in numbered_lines(path) if path.exists() else ():
        if is_line(line) and line.endswith(b"\n"):
            yield bytes.fromhex(line[_HASH].decode()), offset, line


def is_line(line: bytes) -> bool:
    """Whether this is a line of an `x.tools.jsonl`."""
    digits = line[_HASH]
    return line.startswith(_BEGINS) and len(digits) == 2 * DIGEST_SIZE and not digits.strip(b"0123456789abcdef")
