"""What a run remembers of its tasks: a few bytes for each, whatever their ids look like.

A task id is kept as 93 bits of its BLAKE2b hash, in 10 bytes. Two ids of one data set share them with a chance of
n**2 / 2**94 among n: below 1e-16 for a million tasks, below 1e-12 for a hundred million. A false alarm of that kind is
rarer than a flipped bit in memory, so matches are not verified.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b, sha256
from typing import Any

import orjson

from gym_core.domain.json_text import encode_json
from gym_core.domain.task import id_text, own_task_id, result_task_id
from gym_core.engine.metrics.breakdown import field_value

DIGEST_SIZE = 12
_SHARD_BITS = 13
_SHIFT = 16 - _SHARD_BITS
_KEY = DIGEST_SIZE - 2


def digest(task_id: str) -> bytes:
    """A task id as its hash of 12 bytes."""
    return blake2b(task_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST_SIZE).digest()


def rollout_key(task_id: str, repeat: int) -> bytes:
    """What a `KeyTable` knows a rollout by."""
    return for_repeat(digest(task_id), repeat)


def for_repeat(task: bytes, repeat: int) -> bytes:
    """The hash of a task as that of one of its rollouts; the first has the task's own."""
    return (int.from_bytes(task, "big") ^ repeat).to_bytes(DIGEST_SIZE, "big") if repeat else task


class KeyTable:
    """A set of hashes, or with `value_size` a mapping of hashes to unsigned numbers of so many bytes.

    The first bits of a hash choose one of 8,192 byte strings, which holds the rest of it, entry after entry. The
    search through it runs in C, and there is nothing to rehash when it grows: 10 bytes and the value for each key, at
    most an eighth more, on top of half a megabyte once the first key is in.
    """

    __slots__ = ("_count", "_shards", "_value_size", "_width")

    def __init__(self, value_size: int = 0) -> None:
        self._value_size = value_size
        self._width = _KEY + value_size
        self._shards: list[bytearray] = []
        self._count = 0

    def add(self, key: bytes, value: int = 0) -> bool:
        """Put a key in; False, and nothing changes, when it is in already."""
        shards = self._shards
        if not shards:
            shards = self._shards = [bytearray() for _ in range(1 << _SHARD_BITS)]
        shard, entry = shards[(key[0] << 8 | key[1]) >> _SHIFT], key[2:]
        if entry in shard and self._find(shard, entry) >= 0:
            return False
        shard += entry
        if self._value_size:
            shard += value.to_bytes(self._value_size, "little")
        self._count += 1
        return True

    def get(self, key: bytes) -> int | None:
        """The value of a key, None where there is none."""
        if not self._shards:
            return None
        shard = self._shards[(key[0] << 8 | key[1]) >> _SHIFT]
        at = self._find(shard, key[2:])
        return None if at < 0 else int.from_bytes(shard[at + _KEY : at + self._width], "little")

    def put(self, key: bytes, value: int) -> None:
        """Put a key in, or change its value."""
        if not self.add(key, value):
            shard = self._shards[(key[0] << 8 | key[1]) >> _SHIFT]
            at = self._find(shard, key[2:]) + _KEY
            shard[at : at + self._value_size] = value.to_bytes(self._value_size, "little")

    def _find(self, shard: bytearray, entry: bytes) -> int:
        at = shard.find(entry)
        while at > 0 and at % self._width:  # it lies across two entries
            at = shard.find(entry, at + 1)
        return at

    def __contains__(self, key: bytes) -> bool:
        return bool(self._shards) and self._find(self._shards[(key[0] << 8 | key[1]) >> _SHIFT], key[2:]) >= 0

    def __len__(self) -> int:
        return self._count


class LineSet:
    """A set of line numbers that come in rising order, kept as stretches: 16 bytes for each.

    One thread may add while another asks for numbers below those being added.
    """

    __slots__ = ("_edges",)

    def __init__(self) -> None:
        self._edges = array("Q")

    def add(self, number: int) -> None:
        """Add a number that is above all others."""
        edges = self._edges
        if edges and edges[-1] == number:
            edges[-1] = number + 1
        else:
            edges.append(number)
            edges.append(number + 1)

    def __contains__(self, number: int) -> bool:
        return bisect_right(self._edges, number) & 1 == 1

    def __bool__(self) -> bool:
        return bool(self._edges)


LINE = "line"
"""What `--task-id` says for tasks that are named by their lines."""


class IdTaken(ValueError):
    """Two tasks have one id."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; `--task-id line` names tasks by their lines")


def named_by(row: Mapping[str, Any], by: str | None, *, result: Mapping[str, Any] | None = None) -> str | None:
    """A task's own id, None where its line names it. Raises `ValueError`.

    `by`: the value of `--task-id`. `result`: the row that a run wrote, if the task comes from one.
    """
    if by is None:
        return own_task_id(row) if result is None else result_task_id(result)
    if by == LINE:
        return None
    own = id_text(field_value(row, by))
    if own is None:
        raise ValueError(f"the field `{by}` is missing, which is to name the task (--task-id)")
    return own


def content_id(row: Mapping[str, Any]) -> str:
    """A name for a task without an id that has no place either: equal rows have the same. Raises `JsonError`."""
    return blake2b(encode_json(row, orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


class UniqueIds:
    """Ids of which each is the only one of its kind: one that is there twice gets a number."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def of(self, row: Mapping[str, Any]) -> str:
        """The id of a row by its content, so that a task keeps its own wherever it stands."""
        return self.numbered(sha256(encode_json(row, fallback=str)).hexdigest()[:16])

    def numbered(self, ident: str) -> str:
        """An id, made the only one of its kind: `ID`, then `ID-2`."""
        count = self._seen[ident] = self._seen.get(ident, 0) + 1
        return ident if count == 1 else f"{ident}-{count}"


class TaskIds:
    """Sees to it that no two tasks of a run have one id. Tasks without an id of their own cost nothing."""

    def __init__(self) -> None:
        self._named = KeyTable()
        self._unnamed = LineSet()

    def claim(self, own: str | None, number: int) -> None:
        """Take the id `own`, or the line number (from 1) where a task has none.

        Lines come in rising order. Raises `IdTaken`.
        """
        if own is None:
            if self._named and digest(str(number)) in self._named:
                raise IdTaken(
                    f"a task without an id is named by its line number, and an earlier line has the task_id '{number}'"
                )
            self._unnamed.add(number)
            return
        if not self._named.add(digest(own)):
            raise IdTaken(f"the task_id {own!r} stands on an earlier line already")
        if self._unnamed and own.isdecimal() and own.isascii() and own[0] != "0" and int(own) in self._unnamed:
            raise IdTaken(f"the task_id {own!r} is the name of line {own}, whose task has no id of its own")

    def __contains__(self, own: str) -> bool:
        return digest(own) in self._named
