"""Gateways: where programs that are not in this process reach the models and tools of the rollouts here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Never

from gym_core.contract.component import Component, OptionsT_co
from gym_core.domain.errors import UsageError

if TYPE_CHECKING:
    from gym_core.contract.agent import Episode
    from gym_core.contract.model import Model


class Endpoint:
    """What a program is told of one rollout: its URLs, and the token that opens them for as long as they are offered.

    `base_url`: the model, as OpenAI's clients want it, with `token` as the key: responses and chat completions, streams
    included. `session_url`: the session's tools and replies as plain JSON, empty where only a model is offered.
    """

    def __init__(self, base_url: str, token: str, session_url: str = "") -> None:
        self.base_url = base_url
        self.token = token
        self.session_url = session_url

    @property
    def mcp_url(self) -> str:
        """The session's tools over the Model Context Protocol (streamable HTTP), with `token` as the bearer.

        Raises `UsageError` where none are offered.
        """
        raise UsageError("this endpoint offers no tools over MCP")

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables by which OpenAI's clients, in a child process, find the model."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": self.token}

    @property
    def used(self) -> bool:
        """Whether anything may have been asked there so far."""
        return True

    def recall(self, answer: Any) -> BaseException | None:
        """The error of this rollout that an answer in JSON tells again, which a program was given and passed on."""
        return None


def no_gateway(*asked: Any) -> Never:
    """Stands for what a gateway does, or makes one, where there is none: raises `UsageError`."""
    raise UsageError("there is no gateway here, so that no program can ask for anything")


class Gateway(Component[OptionsT_co], ABC):
    """Offers rollouts to programs. `gym run --gateway` names one; it is opened when the first rollout needs it.

    One instance serves all rollouts of a process. Whatever comes in is a call of the episode or model that is offered:
    recorded, limited and paid for as in process. When an offer ends, nothing of it is under way any more.
    """

    @abstractmethod
    def offer(self, episode: Episode, actor: str) -> AbstractAsyncContextManager[Endpoint]:
        """Offer an episode, its model and its tools, within a block. `actor`: whose its model calls are."""

    @abstractmethod
    def offer_model(self, model: Model) -> AbstractAsyncContextManager[Endpoint]:
        """Offer one model, within a block."""

    def check_workers(self, count: int) -> None:
        """Raise `UsageError` where so many workers of one machine could not open one each."""

    def check_reachable(self, host: str) -> None:
        """Raise `UsageError` where programs on `host` could not reach it; `localhost` is this machine."""
