"""Sessions as NeMo Gym's environment servers seed and close them: under an id that the caller has made, any number of
times.

Seeding again with the same id gives the same session, closing one that is closed or was never seeded succeeds, and what
was closed is not seeded again: the two requests may overtake one another on their way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gym_core.spi import REQUEST_FIELD
from gym_http.protocol.errors import ServeError
from gym_http.protocol.nemo import Episode, SeedRequest
from gym_http.serve.environment.session import ServedSession, gone
from gym_http.serve.environment.sessions import REMEMBERED, Sessions
from gym_nemo.episodes import row_of_episode

Opener = Callable[[], Awaitable[ServedSession]]


def row_of(body: SeedRequest) -> dict[str, Any]:
    """The row that a seed request brings. Its own request stays with the agent there, so it may be without one."""
    given = {REQUEST_FIELD: {"input": []}, **body["task_data"]}
    return row_of_episode(body["task_id"], body["episode_id"]["rollout_id"], given)


@dataclass(slots=True)
class _Named:
    """`opening`: None once it is closed. `episode`: None for one that was closed before it was seeded."""

    episode: Episode | None
    opening: asyncio.Future[ServedSession] | None


class NamedSessions:
    """The sessions of a server by the ids that callers have given them; the oldest are forgotten."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._named: dict[str, _Named] = {}

    async def seed(self, name: str, episode: Episode, opener: Opener) -> ServedSession:
        """The session of a name, opened where there is none. Raises `ServeError`: 409 for another episode's, 410."""
        named = self._named.get(name)
        if named is None:
            named = _Named(episode, asyncio.ensure_future(opener()))
            self._keep(name, named)
        elif named.opening is None:
            raise gone("was closed")
        elif named.episode != episode:
            raise ServeError(409, "this session is another episode's", field="resources_session_id")
        opening = named.opening
        assert opening is not None
        try:
            return await asyncio.shield(opening)
        except BaseException:
            if opening.done() and self._named.get(name) is named:
                del self._named[name]  # it may be tried again
            raise

    async def close(self, name: str, episode: Episode) -> None:
        """Close the session of a name, whatever has become of it."""
        named = self._named.get(name)
        if named is None:
            self._keep(name, _Named(None, None))
            return
        if named.episode is not None and named.episode != episode:
            raise ServeError(409, "this session is another episode's", field="resources_session_id")
        opening, named.opening = named.opening, None
        if opening is None:
            return
        try:
            served = await asyncio.shield(opening)
        except Exception:
            return  # there is nothing to close
        if not served.closed:
            await self._sessions.close(served.ident)

    def _keep(self, name: str, named: _Named) -> None:
        self._named[name] = named
        if len(self._named) > REMEMBERED + self._sessions.settings.max_sessions:
            del self._named[next(iter(self._named))]
