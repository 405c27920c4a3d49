"""Which earlier path a request shares most with: what a walk from the last one finds is what looking at all finds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from gym_core.engine.rollout.speaker import PrefixTree, common


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


paths = st.lists(st.lists(st.integers(0, 2), max_size=8), min_size=1, max_size=12)


@given(paths)
def test_the_latest_of_the_longest_is_found(paths: list[list[int]]) -> None:
    tree = PrefixTree()
    last: list[int] = []
    for number, path in enumerate(paths):
        together = common(path, last)
        for shared in {0, together // 2, together}:
            sizes = [alike(path, other) for other in paths[:number]]
            longest = max(sizes, default=0)
            latest = max((at for at, size in enumerate(sizes) if size == longest), default=None)
            found = tree.find(shared, path[shared:])
            assert found[0] == longest
            assert longest == 0 or found[1] == latest
        tree.add(together - number % 2 if together else 0, path[together - number % 2 if together else 0 :], number)
        last = path


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_common_counts_from_the_start(one: list[int], other: list[int]) -> None:
    assert common(one, other) == alike(one, other)
