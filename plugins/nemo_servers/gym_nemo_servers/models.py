"""The models that a mounted server asks, by NeMo Gym's own client: the judge of the run, whatever name it has there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from gym_chat import completion_from_response, responses_request
from gym_core import Model, Request, encode_json
from gym_nemo.rows import as_response

JUDGE = "judge"
ASKED: ContextVar[Mapping[str, Model]] = ContextVar("gym_nemo_models")
"""The models of the session within which a server is asked."""


def model_client(configuration: Mapping[str, Any]) -> Any:
    """A `ServerClient` that asks models of the run."""
    from nemo_gym.config_types import BaseServerConfig
    from nemo_gym.server_utils import ServerClient
    from omegaconf import OmegaConf  # type: ignore[import-not-found]

    class Client(ServerClient):  # type: ignore[misc]
        async def request(self, server_name: str, url_path: str, method: str, **kwargs: Any) -> Any:
            return await _asked(server_name, url_path, kwargs.get("json"))

    head = BaseServerConfig(**configuration["head_server"])
    return Client(head_server_config=head, global_config_dict=OmegaConf.create(dict(configuration)))


async def _asked(name: str, path: str, body: Any) -> Reply:
    """One request to a model server. Raises what the model raises, and `RuntimeError` for what is no model."""
    if hasattr(body, "model_dump"):
        body = body.model_dump(mode="json", exclude_unset=True)
    body = json.loads(encode_json(body, fallback=str))
    model = ASKED.get({}).get(JUDGE)
    chat = path.endswith("/chat/completions")
    if model is None or not (chat or path.endswith("/v1/responses")):
        raise RuntimeError(f"{name}{path} is no model that this environment may ask")
    body.pop("model", None)
    request = responses_request(body) if chat else body
    response = await model.respond(Request(request))
    whole = as_response(response.body, response.output, request)
    return Reply(encode_json(completion_from_response(whole) if chat else whole))


class Reply:
    """An answer as aiohttp's is read."""

    status = 200
    ok = True

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.content = self
        self.cookies: dict[str, Any] = {}
        self.headers: dict[str, str] = {"Content-Type": "application/json"}

    async def read(self) -> bytes:
        """The body."""
        return self._body

    async def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self._body)

    async def text(self) -> str:
        """The body, as text."""
        return self._body.decode()

    def raise_for_status(self) -> None:
        """Nothing: it has succeeded."""
