"""`POST /aggregate_metrics`: statistics over rows that have been verified, whoever has made them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gym_http.protocol.nemo import Metrics, MetricsRequest
from gym_http.serve.json_body import read_as
from gym_http.serve.json_reply import json_reply
from gym_http.serve.openapi import answer, error, operation
from gym_nemo.metrics import aggregate_metrics


async def _metrics(request: Request) -> Response:
    body = await read_as(MetricsRequest, request)
    return json_reply(await asyncio.to_thread(aggregate_metrics, body))  # it may be a hundred thousand rows


PATH = "/aggregate_metrics"
ROUTE: BaseRoute = Route(PATH, _metrics, methods=["POST"], name="aggregate_metrics")
OPENAPI: Mapping[str, Any] = {
    PATH: {
        "post": operation(
            "Statistics over verified rows.",
            {"200": answer("The statistics.", Metrics), "422": error("A field is wrong; `field` says which.")},
            MetricsRequest,
        )
    }
}
