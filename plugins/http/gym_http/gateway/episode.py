"""One rollout as a program reaches it: its model and its session, for as long as it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from gym_chat import responses_request
from gym_core import Actor, Episode, FunctionCallOutput, Item, Response
from gym_core.responses import as_items
from gym_core.spi import read_sampling
from gym_http.gateway.grant import Offer
from gym_http.gateway.item_identity import HandedOut
from gym_http.protocol.errors import WireError
from gym_http.protocol.wire import items_from_wire

Who: TypeAlias = tuple[str, str]
"""An actor by its name and its role; without a name it is the one of the endpoint."""
MAIN: Who = ("policy", "policy")


class OfferedEpisode(Offer):
    """An episode under a token. Whatever comes in passes through it and is recorded as in process.

    `actor`: whose the model calls are that name nobody.
    """

    def __init__(self, episode: Episode, actor: str) -> None:
        super().__init__()
        self._episode = episode
        self._actor = actor
        self._handed_out = HandedOut(episode.request.input)

    @property
    def schemas(self) -> Sequence[Mapping[str, Any]]:
        """The tools, as the model is shown them."""
        return self._episode.tools

    async def respond(self, body: Mapping[str, Any], who: Who, *, exactly: bool, chat: bool = False) -> Response:
        """A call of a model. `exactly`: the agent is one of gym's, whose copies say the very same.

        `chat`: the body was that of a chat completion.

        Fields besides `input` are this call's own; those of other clients, which send every field every time, only
        where they differ from the task's. Those that gym does not know are passed on. Raises `WireError` for a body
        that is none.
        """
        try:
            received = items_from_wire(as_items(body.get("input")), "input")
        except ValueError as error:
            raise WireError("input", str(error).removeprefix("`input` ")) from None
        sampling = read_sampling(body if exactly else self._own(body))
        items = received if exactly else self._handed_out.tell(received, chat=chat)
        response = await self._speaker(who).respond(items, **sampling)
        self._handed_out.add(response.output)
        return response

    async def respond_to_chat(self, body: Mapping[str, Any], who: Who) -> Response:
        """The same for the body of a chat completion."""
        try:
            request = responses_request(body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WireError("messages" if "messages" in str(error) else "", f"cannot be read: {error}") from None
        return await self.respond(request, who, exactly=False, chat=True)

    def _own(self, body: Mapping[str, Any]) -> dict[str, Any]:
        request = self._episode.request.body
        return {
            name: value
            for name, value in body.items()
            if value is not None
            and value != request.get(name)
            and not (name == "tools" and _offers(value) == _offers(request.get("tools")))
        }

    def _speaker(self, who: Who) -> Actor:
        name, role = who
        name = name or self._actor
        return self._episode if (name, role) == MAIN else self._episode.actor(name, role)

    async def call_tools(self, calls: Sequence[Item], who: Who = MAIN) -> list[FunctionCallOutput]:
        """The function calls of one response, answered in their order."""
        outputs = await self._speaker(who).call_tools(self._handed_out.called(calls))
        self._handed_out.add(outputs)
        return outputs

    async def reply(self, response: dict[str, Any]) -> Sequence[Item]:
        """The environment's answer to a response."""
        items = await self._episode.reply(Response(response))
        self._handed_out.add(items)
        return items


def _offers(tools: Any) -> Any:
    """Tools as what they offer; clients differ in how they write the rest."""
    if not isinstance(tools, list):
        return None
    fields = ("type", "name", "description", "parameters")
    return [tuple(tool.get(name) for name in fields) if isinstance(tool, dict) else tool for tool in tools]
