"""JSON as the body of a reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from gym_core import encode_json


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as the JSON body of a reply. Raises `JsonError` for what is no JSON."""
    return Response(encode_json(value), status, headers, "application/json")
