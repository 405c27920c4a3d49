"""Model backends, and the bound model that sessions and agents are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Unpack

from gym_core.contract.component import Component, ComponentInfo, OptionsT_co
from gym_core.domain.responses import Request, Response
from gym_core.domain.sampling import SAMPLING, Sampling


@dataclass(slots=True)
class CallContext:
    """What a backend is told about one call.

    `key`: the rollout, as `(task_id, repeat)`. `role`: which model it is asked as. `seed`: for sampling, where the
    endpoint takes one. `endpoint`: which of `ModelBackend.endpoints` the call goes to, None where the backend may
    choose. `actor`: who asks for a session elsewhere, empty for the one named like the role.
    """

    key: tuple[str, int] = ("", 0)
    role: str = "policy"
    seed: int | None = None
    endpoint: str | None = None
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo(ComponentInfo):
    """What `ModelBackend.describe` says: its members of these names. `checks`: whether it has a `check`."""

    model_id: str
    endpoint: str
    max_inflight: int | None = None
    max_retries: int | None = None
    sends_seed: bool = False
    checks: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)


class ModelBackend(Component[OptionsT_co], ABC):
    """Turns a Responses-API request into a response.

    It neither retries nor limits: the engine does both, by the class of the `ModelError` that `respond` raises.
    Cancelling `respond` must end the work at the server.
    """

    @abstractmethod
    async def respond(self, request: Request, context: CallContext) -> Response:
        """One model call. Options given by the user go over the request's fields, its fields over defaults.

        Raises `ModelError` of the class that says what went wrong, see `gym_core.errors`, and nothing else.
        """

    @property
    def model_id(self) -> str:
        """The model's name as it is recorded and priced."""
        return self.context.name

    @property
    def endpoint(self) -> str:
        """What shares a rate limit; requests in flight are limited per endpoint."""
        return f"{self.context.name}:{self.context.role}"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that calls may go to, where there are several of the same model; empty for the one.

        They may change while the backend is open. Each has a rate limit of its own, shared by its name; which one a
        call goes to stands in its `CallContext.endpoint`.
        """
        return ()

    @property
    def max_inflight(self) -> int | None:
        """The most requests at once that this backend wants of each endpoint, None for no limit of its own."""
        return None

    @property
    def max_retries(self) -> int | None:
        """The most times that a failed call of it is tried again, None for as often as its errors allow."""
        return None

    @property
    def sends_seed(self) -> bool:
        """Whether `CallContext.seed` reaches the model."""
        return False

    @property
    def sampling(self) -> Mapping[str, Any]:
        """What it sets in every request, over the request's own fields and in their words, as it is recorded.

        By default its options that have the names of such fields and are not None.
        """
        return {name: value for name in SAMPLING if (value := getattr(self.options, name, None)) is not None}

    def describe(self) -> ModelInfo:
        """What the engine has to know of it."""
        return ModelInfo(
            model_id=self.model_id,
            endpoint=self.endpoint,
            max_inflight=self.max_inflight,
            max_retries=self.max_retries,
            sends_seed=self.sends_seed,
            checks=type(self).check is not ModelBackend.check,
            sampling=self.sampling,
        )

    async def check(self) -> Sequence[str]:
        """A look before the first rollout: warnings are returned, what would fail every call is raised."""
        return ()

    async def list_models(self) -> Sequence[str]:
        """The models that the endpoint offers. May be asked before the backend is opened."""
        return [self.model_id]


class Model(Protocol):
    """A bound model: a backend with its limits, retries, budget and recording, for one rollout."""

    async def respond(self, request: Request | str, /, **sampling: Unpack[Sampling]) -> Response:
        """One recorded model call; a string is one user message, `sampling` goes over the request's fields.

        Raises `TypeError` for a keyword that there is not.
        """
        ...
