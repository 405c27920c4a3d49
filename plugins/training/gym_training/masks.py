"""Masks as the stretches that they are made of, which are cut and written without looking at each token."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import overload

from gym_core.spi import PackedIntegers

_ZERO, _ONE = (number.to_bytes(8, sys.byteorder) for number in (0, 1))


class Mask(PackedIntegers):
    """Zeros, and ones where trained tokens stand: `stretches`, in order, of `length` tokens."""

    __slots__ = ("_length", "_stretches")

    def __init__(self, length: int, stretches: Sequence[tuple[int, int]]) -> None:
        self._length = length
        self._stretches = stretches

    @property
    def written(self) -> bytes:
        """As JSON."""
        return b"[%b]" % self._of(b"0,", b"1,")[:-1]

    def tobytes(self) -> bytes:
        """In 64 bits each."""
        return self._of(_ZERO, _ONE)

    def _of(self, zero: bytes, one: bytes) -> bytes:
        parts: list[bytes] = []
        end = 0
        for start, stop in self._stretches:
            parts += zero * (start - end), one * (stop - start)
            end = stop
        return b"".join([*parts, zero * (self._length - end)])

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        return iter(self._values())

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, int) or index.step not in (None, 1):
            return self._values()[index]
        first, last, _ = index.indices(self._length)
        within = [
            (max(start, first) - first, min(stop, last) - first)
            for start, stop in self._stretches
            if start < last and stop > first
        ]
        return Mask(max(last - first, 0), within)

    def _values(self) -> list[int]:
        values = [0] * self._length
        for start, stop in self._stretches:
            values[start:stop] = [1] * (stop - start)
        return values
