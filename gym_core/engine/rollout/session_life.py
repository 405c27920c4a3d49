"""The edges of a session: opened and closed within bounds, its verdict checked."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from fractions import Fraction
from types import TracebackType
from typing import Any

from gym_core.contract.resource_server import OpenSession, Session
from gym_core.contract.tools import place_of
from gym_core.domain.abandoned import abandon, contained
from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.errors import SessionError
from gym_core.domain.json_text import JsonError, plain_json, whole_text, written_as_it_is
from gym_core.domain.responses import Item
from gym_core.domain.rollout import Verdict
from gym_core.engine.functions.executor import Executor
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.rollout.failure import DeadlineExceeded

logger = logging.getLogger("gym")


class GuardedSession:
    """A session's life with bounds on both ends. A session that fails to close costs a warning, not its verdict."""

    __slots__ = ("_alarm", "_closing", "_deadlines", "_executor", "_opened")

    def __init__(
        self, opened: AbstractAsyncContextManager[Session[Any]], alarm: Alarm, executor: Executor, deadlines: Deadlines
    ) -> None:
        self._opened = opened
        self._alarm = alarm
        self._executor = executor
        self._deadlines = deadlines
        self._closing = False

    async def __aenter__(self) -> Session[Any]:
        if type(self._opened) is OpenSession:  # opening is nothing to wait for
            return self._opened.session
        entering = self._opened.__aenter__()
        session: Session[Any] = await self._executor.bounded(self._alarm, "setup", self._deadlines.setup, entering)
        return session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        opened = self._opened
        if self._closing or (type(opened) is OpenSession and type(opened.session).close is Session.close):
            return
        self._closing = True  # by whoever gave the rollout up, perhaps
        try:
            closing = self._start_closing(kind, error, traceback)
            if closing is not None:
                await self._to_the_end(closing)
        except BaseException as failed:
            if asked_to_end(failed):
                raise
            if failed is not error:
                logger.warning("a session failed to close: %s", described(failed))

    def _start_closing(self, *cause: Any) -> Awaitable[Any] | None:
        if type(self._opened) is not OpenSession:
            return self._opened.__aexit__(*cause)
        close = self._opened.session.close
        if place_of(close) is None:
            return close()
        return self._executor.call(self._alarm, "close", self._deadlines.close, close)

    async def _to_the_end(self, closing: Awaitable[Any]) -> None:
        """Let a session close within its bound, even when the rollout is cancelled meanwhile."""
        task = asyncio.ensure_future(contained(closing))
        seconds = self._deadlines.close
        self._alarm.allow(seconds)
        try:
            await asyncio.wait([task], timeout=seconds)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=seconds)
            raise
        finally:
            if not task.done():
                task.cancel()
                abandon(task)
        if not task.done():
            raise DeadlineExceeded("close", seconds)
        await task


def checked_items(answer: Any, function: str) -> Sequence[Item]:
    """What `setup` or `reply` returned as items that can be written. Raises `SessionError` for anything else."""
    try:
        if isinstance(answer, list | tuple) and all(isinstance(item, dict) for item in answer):
            items: Sequence[Item] = written_as_it_is(answer)
            return items
        made = plain_json(answer)  # a generator, or models, say
    except JsonError as error:
        raise SessionError(f"`{function}` returned items that are no JSON: {error}") from None
    if not isinstance(made, list):
        raise SessionError(f"`{function}` returned {_kind(answer)}; it must be a list of items")
    odd = next((item for item in made if not isinstance(item, dict)), None)
    if odd is not None or None in made:
        raise SessionError(f"`{function}` returned a list with {_shown(odd)} in it; an item is an object")
    return made


def checked_verdict(verdict: Any) -> Verdict:
    """A verifier's answer as a verdict of plain numbers and plain JSON. Raises `SessionError` for anything else."""
    if type(verdict) is float and math.isfinite(verdict):
        return Verdict(verdict)
    if not isinstance(verdict, Verdict):
        return Verdict(_number(verdict, None))
    components, info = verdict.components, verdict.info
    if not isinstance(components, Mapping):
        raise SessionError(f"`verify` gave components of type {_kind(components)}; it must be a mapping of numbers")
    if not all(isinstance(name, str) for name in components):
        raise SessionError("`verify` gave a reward component whose name is no text")
    try:
        info = {} if type(info) is dict and not info else plain_json(info)
    except JsonError as error:
        raise SessionError(f"`verify` gave info that is no JSON: {error}") from None
    if not isinstance(info, dict):
        raise SessionError(f"`verify` gave info of type {_kind(verdict.info)}; it must be an object")
    return Verdict(
        _number(verdict.reward, "reward"),
        {whole_text(str.__str__(name)): _number(value, name) for name, value in components.items()}
        if components
        else {},
        info,
    )


def _number(value: Any, name: str | None) -> float:
    """What a verifier gave as a number as a plain float; `name`: as what it gave it, None for all that it returned."""
    number = value
    if type(number) is not float:
        if not _is_number(value):
            if name is None:
                raise SessionError(f"`verify` returned {_kind(value)}; it must be a number or a Verdict")
            raise SessionError(f"`verify` gave {name} = {_shown(value)}, which is {_kind(value)}; it must be a number")
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError) as error:
            raise SessionError(f"`verify` gave {name or 'a reward'} that is no number: {error}") from None
    if not math.isfinite(number):
        raise SessionError(f"`verify` gave {name or 'reward'} = {number!r}; it must be a finite number")
    return number


def _is_number(value: Any) -> bool:
    """Whether something is one number: of Python, of numpy, or an array or tensor without dimensions."""
    if isinstance(value, int | float | Decimal | Fraction):  # a bool among them: True is 1.0
        return True
    kind = type(value)
    if not hasattr(kind, "__float__") or isinstance(value, str | bytes | complex):
        return False
    return not getattr(value, "ndim", 0) and getattr(getattr(value, "dtype", None), "kind", "f") in "biuf"


def _kind(value: Any) -> str:
    """The type of a value by its name, with its module where that says more."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    shape = getattr(value, "shape", ())
    about = f" of shape {tuple(shape)}" if isinstance(shape, tuple) and shape else ""
    return kind.__name__ + about if module in ("builtins", "") else f"{module}.{kind.__name__}{about}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return "something"
    return text if len(text) <= 100 else f"{text[:100]}..."
