"""All open sessions of a served environment: their number, their age, and the memory of those that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from gym_core import Rollout, Task, Verdict
from gym_core.spi import GRACE, ModelGate, group_verdicts
from gym_http.protocol.errors import ServeError
from gym_http.serve.environment.bounds import asking
from gym_http.serve.environment.session import Host, ServedSession, gone
from gym_http.serve.environment.tokens import Tokens
from gym_http.serve.settings import ServeSettings

REMEMBERED = 16_384
"""So many sessions that are gone are still known as such; older ones were never there."""
CLOSING_AT_ONCE = 64
CLOSED = "was closed"
EXPIRED = "has expired: it was open for too long"
IDLE = "has expired: nothing was asked of it for too long"
SHUT_DOWN = "was closed: the server is going down"
_LONGEST_SWEEP = 5.0
_SHORTEST_SWEEP = 0.05


class Sessions:
    """Opens, finds and closes sessions. An async context manager, within which old ones expire.

    `time`: a clock that only goes forward, in seconds; that of the event loop where none is given.
    """

    def __init__(self, host: Host, settings: ServeSettings, *, time: Callable[[], float] | None = None) -> None:
        self.tokens = Tokens()
        self.settings = settings
        self._host = host
        self._loop = asyncio.get_running_loop()
        self.time = time if time is not None else self._loop.time
        self._open: dict[str, ServedSession] = {}
        self._gone: dict[str, str] = {}
        self._opening = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._closers = asyncio.Semaphore(CLOSING_AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._timer = self._loop.call_later(self._period, self._tick)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for served in list(self._open.values()):
            self._retire(served, SHUT_DOWN)
        if self._closing:
            await asyncio.wait(self._closing, timeout=GRACE)
        for _ in self._closing:  # those that take long hold up nobody any more: each has a bound, all together none
            self._closers.release()
        while self._closing:
            await asyncio.wait(self._closing)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return len(self._open) + self._opening >= self.settings.max_sessions

    async def open(
        self, task: Task, *, seed: int, repeat: int = 0, gates: Mapping[str, ModelGate] | None = None
    ) -> ServedSession:
        """Open a session and set it up. Raises `ServeError` (429) when there are too many, and what the setup raises.

        `gates`: models by role that this session asks instead of the server's own.
        """
        if self.full:
            self.sweep()
        if self.full:
            raise ServeError(
                429,
                f"{self.settings.max_sessions} sessions are open, which is all that this server takes",
                hint="close sessions when they are done; gym serve --max-sessions N takes more",
                headers={"Retry-After": "1"},
            )
        self._opening += 1
        try:
            own = self._host.gates
            served = ServedSession(self._host, self.tokens.new_id(), task, repeat, {**own, **gates} if gates else own)
            await served.set_up(seed)
        finally:
            self._opening -= 1
        now = self.time()
        served.life_due = now + self.settings.session_life
        served.idle_due = now + self.settings.session_idle
        self._open[served.ident] = served
        return served

    async def score_group(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """What the environment says of rollouts together, within the bound of `verify`. Raises what it raises."""
        host = self._host
        with asking(host.watch):
            return await group_verdicts(
                host.server, rollouts, executor=host.executor, alarm=host.bounds, seconds=host.deadlines.verify
            )

    def find(self, ident: str) -> ServedSession:
        """An open session. Raises `ServeError`: 410 for one that is remembered to be gone, 404 for any other."""
        served = self._open.get(ident)
        if served is None:
            reason = self._gone.get(ident)
            raise gone(reason) if reason is not None else unknown_session()
        now = self.time()
        reason = self._overdue(served, now)
        if reason:
            self._retire(served, reason)
            raise gone(reason)
        served.idle_due = now + self.settings.session_idle
        return served

    def known(self, ident: str) -> ServedSession | None:
        """A session that has not been closed, be it overdue."""
        return self._open.get(ident)

    def lacking(self, roles: Iterable[str]) -> list[str]:
        """Those of the roles that the server itself has no model for."""
        return [role for role in roles if role not in self._host.gates]

    def touch(self, served: ServedSession, seconds: float | None = None) -> None:
        """Something was asked of a session just now: it is idle for `seconds` at most from here on."""
        served.idle_due = self.time() + (self.settings.session_idle if seconds is None else seconds)

    async def close(self, ident: str) -> None:
        """Close a session; harmless for one that is gone. Raises `ServeError` (404) for one that nobody remembers."""
        served = self._open.get(ident)
        if served is not None:
            await asyncio.shield(self._retire(served, CLOSED))
        elif ident not in self._gone:
            raise unknown_session()

    def sweep(self) -> int:
        """Close what is overdue; returns how many sessions that were."""
        now = self.time()
        overdue = [(served, reason) for served in self._open.values() if (reason := self._overdue(served, now))]
        for served, reason in overdue:
            self._retire(served, reason)
        return len(overdue)

    @staticmethod
    def _overdue(served: ServedSession, now: float) -> str:
        if served.life_due <= now:
            return EXPIRED
        return IDLE if served.idle_due <= now and not served.running else ""

    def _retire(self, served: ServedSession, reason: str) -> asyncio.Task[None]:
        """Let nobody find a session any more, and begin to close it."""
        del self._open[served.ident]
        self._gone[served.ident] = reason
        if len(self._gone) > REMEMBERED:
            del self._gone[next(iter(self._gone))]
        served.closed = reason
        closing = self._loop.create_task(self._close(served, reason))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    async def _close(self, served: ServedSession, reason: str) -> None:
        async with self._closers:
            await served.close(reason)

    @property
    def _period(self) -> float:
        shortest = min(self.settings.session_idle, self.settings.session_life)
        return min(max(shortest / 10, _SHORTEST_SWEEP), _LONGEST_SWEEP)

    def _tick(self) -> None:
        self.sweep()
        self._timer = self._loop.call_later(self._period, self._tick)


def unknown_session() -> ServeError:
    """The answer about a session that does not exist, or is somebody else's."""
    return ServeError(
        404,
        "there is no such session, or the token is not its own",
        hint="a server that was started again knows no earlier sessions: open another one",
    )
