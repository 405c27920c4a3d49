"""Which of a model's several endpoints a rollout is sent to.

A rollout stays where it began, since its server has the beginning of its conversation in a cache; a new one goes where
fewest requests are under way. An endpoint that nobody reaches, or that fails several times in a row, is down: its
rollouts move, and every now and then one real call is sent there to see whether it answers again. One that only
complains about too many requests is not down: its own limiter slows it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass

from gym_core.contract.model import ModelBackend
from gym_core.domain import errors
from gym_core.engine.events.logs import log_endpoint_down, log_endpoint_up
from gym_core.engine.model_calls.rate_limits import Limiter, Limiters

IN_A_ROW = 3
"""So many failures without an answer between them mean that an endpoint is down."""
PATIENCE = 30.0
"""Seconds for which an endpoint may say that it is overloaded, and nothing else, before it counts as down."""
FIRST_PROBE, LAST_PROBE = 1.0, 60.0
"""Seconds until an endpoint that is down is tried again: at first, and at most; they double each time."""
REMEMBERED = 1 << 16
"""How many rollouts' endpoints are remembered, those that asked last: more than there are in flight."""

_Key = tuple[str, int]
_FAILURES = (errors.ServerError, errors.ConnectionFailedError, errors.ModelTimeoutError, errors.BrokenReplyError)


@dataclass(slots=True)
class EndpointCounts:
    """What one endpoint did. `failures`: attempts that failed there; `downs`: how often it went down."""

    calls: int = 0
    failures: int = 0
    downs: int = 0


class Place:
    """One endpoint of several. `up`: whether it takes rollouts; `due`: when one that does not is tried again."""

    __slots__ = ("_began", "_pause", "_row", "counts", "due", "limiter", "name", "up")

    def __init__(self, name: str, limiter: Limiter, counts: EndpointCounts) -> None:
        self.name = name
        self.limiter = limiter
        self.counts = counts
        self.up = True
        self.due = 0.0
        self._pause = FIRST_PROBE
        self._row = 0
        self._began = 0.0

    @property
    def load(self) -> tuple[bool, int, int]:
        """The lower, the more it can take: one with a free slot, with fewer requests, that was asked less."""
        limiter = self.limiter
        full = limiter.inflight + 1 > limiter.limit
        return full, limiter.inflight + limiter.waiting, self.counts.calls

    def answered(self) -> None:
        """A call was answered."""
        self.counts.calls += 1
        self._row = 0
        if not self.up:
            self.up = True
            self._pause = FIRST_PROBE
            log_endpoint_up(self.name)

    def failed(self, error: errors.ModelError, now: float) -> None:
        """An attempt failed at `now`, in seconds."""
        self.counts.failures += 1
        overloaded = isinstance(error, errors.OverloadedError)
        if not (error.unsent or overloaded or isinstance(error, _FAILURES)):
            return  # it speaks for itself: a refused request, a rate limit
        if self._row == 0:
            self._began = now
        self._row += 1
        if not self.up:
            self._pause = min(self._pause * 2, LAST_PROBE)
            self.due = now + self._pause
        elif error.unsent or (self._row >= IN_A_ROW and (not overloaded or now - self._began >= PATIENCE)):
            self.up = False
            self.counts.downs += 1
            self.due = now + self._pause
            log_endpoint_down(self.name, error)


class Placement:
    """The endpoints of one backend, and which rollout is at which.

    `time`: seconds on a steady clock. Endpoints that the backend no longer names get no call; new ones get their share.
    """

    def __init__(
        self, backend: ModelBackend, limiters: Limiters, time: Callable[[], float], max_inflight: int | None = None
    ) -> None:
        self._backend = backend
        self._limiters = limiters
        self._time = time
        self._max_inflight = max_inflight
        self._names: tuple[str, ...] = ()
        self._places: dict[str, Place] = {}
        self._homes: OrderedDict[_Key, Place] = OrderedDict()
        self.counts: dict[str, EndpointCounts] = {}
        self._follow()

    @property
    def limiters(self) -> list[Limiter]:
        """Those of its endpoints."""
        return [place.limiter for place in self._places.values()]

    def of(self, key: _Key, *, probe: bool = True) -> Place:
        """Where a call of the rollout `key` goes. With `probe` it may be the one that finds out about an endpoint."""
        if self._backend.endpoints != self._names:
            self._follow()
        homes = self._homes
        home = homes.get(key)
        if home is not None and home.up and self._places.get(home.name) is home:
            homes.move_to_end(key)
            return home
        place = self._due() if probe else None
        if place is None:
            up = [place for place in self._places.values() if place.up]
            place = min(up, key=lambda place: place.load) if up else self._least_hopeless()
        homes[key] = place
        if len(homes) > REMEMBERED:
            homes.popitem(last=False)
        return place

    @property
    def any_up(self) -> bool:
        """Whether any endpoint takes rollouts."""
        return any(place.up for place in self._places.values())

    def count(self, name: str) -> EndpointCounts:
        """What the endpoint `name` did, to be added to."""
        return self.counts.setdefault(name, EndpointCounts())

    def to_wire(self) -> dict[str, dict[str, int]]:
        """What each endpoint did, as it stands in the summary."""
        return {name: asdict(counts) for name, counts in self.counts.items()}

    def _due(self) -> Place | None:
        """An endpoint that is down and to be tried again, by this call alone."""
        now = self._time()
        for place in self._places.values():
            if not place.up and now >= place.due:
                place.due = now + LAST_PROBE  # unless it says before how it is
                return place
        return None

    def _least_hopeless(self) -> Place:
        return min(self._places.values(), key=lambda place: place.due)

    def _follow(self) -> None:
        """Take over which endpoints there are now; of those that stay it is remembered how they are."""
        names = tuple(self._backend.endpoints) or self._names  # a call has to go somewhere
        known = self._places
        self._places = {name: known.get(name) or self._made(name) for name in names}
        self._names = names

    def _made(self, name: str) -> Place:
        return Place(name, self._limiters.of(name, self._max_inflight), self.count(name))
