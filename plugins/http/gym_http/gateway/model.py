"""A model as programs reach it that belong to a session or a runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_chat import responses_request
from gym_core import Model, Request, Response
from gym_core.responses import as_items
from gym_core.spi import BACKEND_FIELDS, BoundModel
from gym_http.gateway.grant import Offer
from gym_http.protocol.errors import WireError


class OfferedModel(Offer):
    """A model, bound to one rollout: whatever is asked of it is recorded and paid for there."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    async def respond(self, body: Mapping[str, Any], *, chat: bool = False, actor: str = "") -> Response:
        """A call of the model. `actor`: who asks, by default the one named like its role.

        Raises `WireError` for a body that is no request.
        """
        model = self._model
        if actor:
            if actor == "policy" or not isinstance(model, BoundModel):
                raise WireError("", f"the actor {actor!r:.80} is none of whoever has this model")
            model = model.named(actor)
        try:
            fields = responses_request(body) if chat else body
            items = as_items(fields.get("input"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WireError("", f"the request cannot be read: {error}") from None
        params = {name: value for name, value in fields.items() if name not in BACKEND_FIELDS and name != "input"}
        return await model.respond(Request({"input": items, **params}))
