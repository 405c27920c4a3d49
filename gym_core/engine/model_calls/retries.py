"""Which failed model call is tried again, how often, and after how long.

Only model calls are retried: tools have side effects. Delays use full jitter (uniform between 0 and an exponentially
growing bound), after "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

from gym_core.domain import errors


@dataclass(frozen=True, slots=True)
class Retry:
    """One row of the policy table. `attempts` counts the first one; times are seconds.

    `total`: no attempt starts later than this after the first one failed. `base` and `cap`: the first and the largest
    bound of a delay.
    """

    attempts: int
    total: float
    base: float
    cap: float


NEVER = Retry(attempts=1, total=0, base=0, cap=0)
RETRY_AFTER_CAP = 300.0
"""The longest wait that a server can ask for, in seconds; a longer one is cut to this."""

POLICY: dict[type[errors.ModelError], Retry] = {
    errors.RateLimitError: Retry(attempts=100, total=1800, base=1.0, cap=60),
    errors.OverloadedError: Retry(attempts=50, total=600, base=1.0, cap=30),
    errors.ServerError: Retry(attempts=16, total=180, base=0.5, cap=20),
    errors.ConnectionFailedError: Retry(attempts=16, total=180, base=0.5, cap=20),
    errors.ModelTimeoutError: Retry(attempts=3, total=3600, base=1.0, cap=10),
    errors.BrokenReplyError: Retry(attempts=12, total=180, base=0.5, cap=20),
}
"""What is retried, by the class of the error. A class that is not listed is not retried."""

UNANSWERED = Retry(attempts=6, total=15, base=0.5, cap=4)
"""For an endpoint that has never answered: most likely nothing listens there, so the run stops soon."""


def retry_for(error: errors.ModelError, *, answered: bool = True) -> Retry:
    """The policy for an error: that of its class, or that for an endpoint which has never answered."""
    if not answered and isinstance(error, errors.ConnectionFailedError):
        return UNANSWERED
    if not error.retryable:
        return NEVER
    # a backend may raise classes of its own, below those of the table
    return next((POLICY[cls] for cls in type(error).__mro__ if cls in POLICY), NEVER)


def next_delay(policy: Retry, error: errors.ModelError, *, attempt: int, elapsed: float, jitter: float) -> float | None:
    """Seconds until the next attempt, or None when there is none.

    `attempt`: how many were made. `elapsed`: seconds since the first one failed. `jitter`: a draw from [0, 1).
    """
    if attempt >= policy.attempts:
        return None
    bound = min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 30))
    delay = bound * jitter
    if error.retry_after is not None:
        # The jitter on top keeps thousands of callers from returning in the same instant.
        delay += min(error.retry_after, RETRY_AFTER_CAP)
    return delay if elapsed + delay <= policy.total else None


class FailedAttempts:
    """The failed attempts of one model call.

    Each row of the table counts its own: a long rate limit does not use up the patience with a dropped connection.
    `began`: when the first one failed. `most`: how many there may be in all, None for no bound but the table's.
    """

    __slots__ = ("_by_policy", "_count", "_most", "began")

    def __init__(self, began: float, most: int | None = None) -> None:
        self.began = began
        self._most = most
        self._count = 0
        self._by_policy: dict[Retry, tuple[int, float]] = {}

    def delay(self, error: errors.ModelError, *, now: float, jitter: float, answered: bool) -> float | None:
        """Count a failure at `now` (seconds); returns the seconds until the next attempt, or None for none."""
        self._count += 1
        policy = retry_for(error, answered=answered)
        attempt, first = self._by_policy.get(policy, (0, now))
        self._by_policy[policy] = (attempt + 1, first)
        if self._most is not None and self._count > self._most:
            return None
        return next_delay(policy, error, attempt=attempt + 1, elapsed=now - first, jitter=jitter)
