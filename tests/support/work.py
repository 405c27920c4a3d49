"""How much is done to read a text, counted and not timed: it is the same number on every machine and every time.

Counted are the calls of functions, Python's and C's, and what the regular expressions of a package try. Of those the
engine tells nothing, so every search is made twice: by `re`, whose matches count, and by `_Attempts`, which takes the
same ways through a pattern as `re` does and counts them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from re import _compiler, _constants, _parser  # type: ignore[attr-defined]
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any, TypeAlias

import pytest

Next: TypeAlias = "Callable[[int], bool]"
"""What stands behind a part of a pattern: whether it matches from here on."""
Part: TypeAlias = "Callable[[int, Next], bool]"

_CHARACTERS = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN)


LINEAR = 4.5
"""What `growth` is at most where work grows with the text; with its square it were 16."""


def growth(package: str, task: Callable[[int], object], size: int) -> float:
    """How many times as much a task is that is given four times as much."""
    return work(package, task, 4 * size) / work(package, task, size)


def work(package: str, task: Callable[[int], object], size: int) -> int:
    """How many steps a task of some size takes. Counted are the patterns of the modules of `package` loaded so far."""
    counted = _Counter()
    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == package:
                counted.watch(module, patch)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(50_000)  # `_Attempts` goes a few levels down for every repetition
        sys.setprofile(counted.called)
        try:
            task(size)
        finally:
            sys.setprofile(None)
            sys.setrecursionlimit(limit)
    return counted.steps


class _Counter:
    def __init__(self) -> None:
        self.steps = 0

    def called(self, frame: FrameType, event: str, argument: object) -> None:
        if event.endswith("call") and frame.f_code.co_filename != __file__:
            self.steps += 1

    def watch(self, module: ModuleType, patch: pytest.MonkeyPatch) -> None:
        """Has the patterns of a module counted, those in lists and those made in functions as well."""
        for name, value in list(vars(module).items()):
            if value is re:
                patch.setattr(module, name, self._re())
            elif isinstance(value, re.Pattern):
                patch.setattr(module, name, _Counted(self, value))
            elif isinstance(value, list) and value and isinstance(value[0], tuple):
                patch.setattr(module, name, [tuple(map(self._seen, each)) for each in value])

    def _seen(self, value: Any) -> Any:
        return _Counted(self, value) if isinstance(value, re.Pattern) else value

    def _re(self) -> SimpleNamespace:
        functions = {
            name: partial(self._call, name) for name in ("search", "match", "fullmatch", "finditer", "split", "sub")
        }
        return SimpleNamespace(
            **{**vars(re), **functions, "compile": lambda *given: _Counted(self, re.compile(*given))}
        )

    def _call(self, name: str, pattern: str, *arguments: Any) -> Any:
        return getattr(_Counted(self, re.compile(pattern)), name)(*arguments)


class _Counted:
    """A compiled pattern whose searches are counted."""

    def __init__(self, counter: _Counter, pattern: re.Pattern[str]) -> None:
        self._counter = counter
        self._pattern = pattern

    def match(self, text: str, *span: int) -> re.Match[str] | None:
        self._count(text, *span, everywhere=False)
        return self._pattern.match(text, *span)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        self._count(text, everywhere=False, whole=True)
        return self._pattern.fullmatch(text)

    def search(self, text: str, *span: int) -> re.Match[str] | None:
        self._count(text, *span, first=True)
        return self._pattern.search(text, *span)

    def finditer(self, text: str, *span: int) -> Iterator[re.Match[str]]:
        self._count(text, *span)
        return self._pattern.finditer(text, *span)

    def sub(self, replacement: Any, text: str) -> str:
        self._count(text)
        return self._pattern.sub(replacement, text)

    def split(self, text: str) -> list[Any]:
        self._count(text)
        return self._pattern.split(text)

    def _count(self, text: str, start: int = 0, end: int = sys.maxsize, **how: bool) -> None:
        profile = sys.getprofile()
        sys.setprofile(None)
        self._counter.steps += _steps(self._pattern, text, start, min(end, len(text)), **how)
        sys.setprofile(profile)


@cache  # what stands around a word is often the same
def _steps(
    pattern: re.Pattern[str], text: str, start: int, end: int, *,
    everywhere: bool = True, first: bool = False, whole: bool = False,
) -> int:  # fmt: skip
    attempts = _Attempts(pattern, text, end, whole=whole)
    while start <= end:
        found = attempts.matches(start)
        if not everywhere or (first and found is not None):
            break
        start = found if found is not None and found > start else start + 1
    return attempts.steps


class _Attempts:
    """Tries a pattern on a text as a backtracking engine does, depth first; `steps`: how often a part was tried.

    Groups are not remembered: nothing refers back to them.
    """

    def __init__(self, pattern: re.Pattern[str], text: str, end: int, *, whole: bool) -> None:
        self.steps = 0
        self.text = text
        self.end = end
        self._whole = whole
        tree = _parser.parse(pattern.pattern, pattern.flags)
        self._state = tree.state
        self._parts = self._sequence(tree)
        self._found: int | None = None

    def matches(self, start: int) -> int | None:
        """Where a match that starts here ends."""
        self._found = None
        self._parts(start, self._reached)
        return self._found

    def _reached(self, at: int) -> bool:
        if self._whole and at != self.end:
            return False
        self._found = at
        return True

    def _sequence(self, nodes: Any) -> Part:
        parts = [self._part(operation, argument) for operation, argument in nodes]

        def match(at: int, then: Next, place: int = 0) -> bool:
            if place == len(parts):
                return then(at)
            return parts[place](at, lambda reached: match(reached, then, place + 1))

        return match

    def _part(self, operation: Any, argument: Any) -> Part:
        part = self._unnoticed(operation, argument)

        def match(at: int, then: Next) -> bool:
            self.steps += 1
            return part(at, then)

        return match

    def _unnoticed(self, operation: Any, argument: Any) -> Part:
        if operation in _CHARACTERS:
            fits = self._compiled(operation, argument).fullmatch
            return lambda at, then: at < self.end and fits(self.text, at, at + 1) is not None and then(at + 1)
        if operation is _constants.AT:
            holds = self._compiled(operation, argument).match
            return lambda at, then: holds(self.text, at, self.end) is not None and then(at)
        if operation is _constants.SUBPATTERN:
            return self._sequence(argument[-1])
        if operation is _constants.BRANCH:
            branches = [self._sequence(branch) for branch in argument[1]]
            return lambda at, then: any(branch(at, then) for branch in branches)
        if operation in (_constants.ASSERT, _constants.ASSERT_NOT):
            return self._look(*argument, wanted=operation is _constants.ASSERT)
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            return self._repeat(*argument, greedy=operation is _constants.MAX_REPEAT)
        raise NotImplementedError(operation)

    def _compiled(self, operation: Any, argument: Any) -> re.Pattern[str]:
        pattern: re.Pattern[str] = _compiler.compile(_parser.SubPattern(self._state, [(operation, argument)]))
        return pattern

    def _look(self, direction: int, nodes: Any, *, wanted: bool) -> Part:
        body = self._sequence(nodes)
        back = nodes.getwidth()[0] if direction < 0 else 0

        def match(at: int, then: Next) -> bool:
            found = at >= back and body(at - back, lambda reached: True)
            return found is wanted and then(at)

        return match

    def _repeat(self, least: int, most: int, nodes: Any, *, greedy: bool) -> Part:
        body = self._sequence(nodes)

        def again(at: int, then: Next, count: int) -> bool:
            def more() -> bool:
                return count < most and body(at, lambda to: (to > at or count < least) and again(to, then, count + 1))

            if count < least:
                return more()
            return more() or then(at) if greedy else then(at) or more()

        def characters(at: int, then: Next) -> bool:
            """One character after the other, without a level of recursion for each."""
            ends = [at]
            while len(ends) <= most and body(ends[-1], lambda to: True):
                ends.append(ends[-1] + 1)
            return any(then(to) for to in (reversed(ends[least:]) if greedy else ends[least:]))

        single = len(nodes) == 1 and nodes[0][0] in _CHARACTERS
        return characters if single else lambda at, then: again(at, then, 0)
