"""The models of one session as a served environment reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core import Model, Request, Response
from gym_core.chat import responses_request
from gym_core.responses import as_items
from gym_core.spi import BACKEND_FIELDS
from gym_http.protocol.errors import ServeError, WireError
from gym_http.remote.gateway_grant import Offer, new_token
from gym_http.serve.auth import same


class OfferedModels(Offer):
    """The models by role, bound to one rollout: whatever is asked of them is recorded and paid for there.

    `tokens`: what opens each role.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        super().__init__()
        self._models = {role: models[role] for role in models}
        self.tokens = {role: new_token() for role in self._models}

    def admits(self, token: str, role: str) -> bool:
        """Whether a token opens a role."""
        return same(token, self.tokens.get(role) or new_token())

    async def respond(self, role: str, body: Mapping[str, Any], *, chat: bool = False) -> Response:
        """A call of one model. Raises `WireError` for a body that is no request."""
        model = self._models.get(role)
        if model is None:
            raise ServeError(404, f"this session has no model for the role {role!r}")
        try:
            fields = responses_request(body) if chat else body
            items = as_items(fields.get("input"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WireError("", f"the request cannot be read: {error}") from None
        params = {name: value for name, value in fields.items() if name not in BACKEND_FIELDS and name != "input"}
        return await model.respond(Request({"input": items, **params}))
