"""A number that the coordinator owns and workers use: lent in pieces, taken back on demand.

What may be lost, and when. The coordinator only ever thinks worse of a worker than is true: a loan counts as held from
the moment it is sent, what comes back counts from the moment it is told. A worker tells totals since its start, so what
one message lacks the next makes good, and a late one only delays. A worker that dies takes with it all it held: whose
number it is decides whether that was used up (a budget) or is free again (room for requests). So all workers together
never use more than there is; what is lost is use of it: what is on its way, and what the dead held.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

EVERYTHING = 1 << 60
"""As much as anybody wants, as a loan or to keep; whole and within what JSON can say exactly here."""


@dataclass(slots=True)
class Lease:
    """One number and one worker, as either of the two sees it; totals since the worker's start.

    `keep`: of what it holds the worker returns all beyond this that is not in use.
    """

    lent: int = 0
    returned: int = 0
    spent: int = 0
    keep: int = EVERYTHING

    @property
    def held(self) -> int:
        """What the worker may use."""
        return self.lent - self.returned - self.spent

    def add(self, amount: int, keep: int) -> None:
        """A loan of the coordinator."""
        self.lent += amount
        self.keep = keep

    def settle(self, in_use: int) -> bool:
        """Return what the worker is to keep no more, or note that it has used more; says whether anything was changed.

        More than it holds is in use where what it spent was only guessed: less than nothing is returned then.
        """
        before = self.returned
        self.returned += self.held - max(in_use, min(self.held, self.keep))
        return self.returned != before


class Lender:
    """One number as its owner lends it out; `total` is the owner's to change."""

    def __init__(self, total: float) -> None:
        self.total = total
        self.leases: dict[Hashable, Lease] = {}

    @property
    def held(self) -> int:
        """What workers may use; one that has used more than it was lent has that told as spent."""
        return sum(max(0, lease.held) for lease in self.leases.values())

    def leave(self, worker: Hashable) -> int:
        """A worker has gone; returns what it held to the last."""
        lease = self.leases.pop(worker, None)
        return 0 if lease is None else max(0, lease.held)
