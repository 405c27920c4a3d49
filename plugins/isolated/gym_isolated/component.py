"""What the stand-ins of all kinds share: a child while they are open."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from gym_core import Component, UsageError
from gym_core.spi import secret_values
from gym_isolated.options import IsolatedOptions, found_secrets, given_of, origin_of
from gym_isolated.supervisor import Order, Supervisor

STALL_SECONDS = 3_600.0
"""After how long a child that answers nothing at all has stalled: what is slow there would be slow here as well."""
REPLY_MB = 1 << 20
"""What is read of an answer, in megabytes: all of it, as what a plugin returns in this process has no bound either."""


class Isolated(Component):
    """A component that works in a child process of its own environment while it is open."""

    options: IsolatedOptions
    _supervisor: Supervisor | None = None

    @abstractmethod
    def connect(self, url: str, token: str) -> Any:
        """The component that works through a child's address; an async context manager."""

    @property
    def supervisor(self) -> Supervisor:
        """The keeper of its children. Raises `UsageError` where the component is not open."""
        if self._supervisor is None:
            raise UsageError(f"{self.context.name} is not open", hint="it is an async context manager")
        return self._supervisor

    @property
    def secrets(self) -> Sequence[str]:
        """What the component itself has found: when it was made, and when it was opened."""
        latest = self._supervisor.latest if self._supervisor is not None else None
        return (*found_secrets(self.options), *(latest.child.answer["secrets"] if latest is not None else ()))

    async def __aenter__(self) -> Self:
        options, context = self.options, self.context
        origin = origin_of(options)
        about = {
            "name": context.name,
            "role": context.role,
            "seed": context.seed,
            "concurrency": context.concurrency,
        }
        order = Order(
            environment=origin.environment,
            name=origin.name,
            request={**origin.request(given_of(options)), "context": about},
            secrets=(*secret_values(options), *found_secrets(options)),
        )
        supervisor = Supervisor(order, self.connect)
        self._supervisor = await supervisor.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            await supervisor.__aexit__(kind, error, traceback)
