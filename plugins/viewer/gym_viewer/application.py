"""The page and its API as an ASGI application."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gym_core import GymError
from gym_viewer.access import Access, json_answer, problem
from gym_viewer.api import compare, events, health, rollout, rollouts, run, runs, tokens
from gym_viewer.api.query import Query
from gym_viewer.library import Library, NotThere

logger = logging.getLogger("gym.viewer")

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_RUN = "/api/runs/{run:str}"
_ROLLOUT = f"{_RUN}/rollouts/{{n:str}}"


@cache
def page_files() -> dict[str, bytes]:
    """The files of the page by their names; which there are is known before anybody asks for one."""
    found = files("gym_viewer") / "page"
    return {
        entry.name: entry.read_bytes()
        for entry in found.iterdir()
        if entry.is_file() and PurePosixPath(entry.name).suffix in _TYPES
    }


def build(library: Library, token: str) -> Access:
    """The application over the runs of a library, for whoever has the token."""

    def answering(make: Callable[[Library, Query], Any]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:  # in a thread: it reads files
            found = make(library, Query(request.path_params, request.query_params))
            return found if isinstance(found, Response) else json_answer(found)

        return answer

    def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        content = page_files().get(name)
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type=_TYPES[PurePosixPath(name).suffix])

    def icon(request: Request) -> Response:
        """What a browser asks for by itself where a document names none: JSON, and the one that takes the token."""
        return Response(page_files()["icon.svg"], media_type=_TYPES[".svg"])

    api: dict[str, Callable[[Library, Query], Any]] = {
        "/api/runs": runs.runs,
        _RUN: run.run,
        f"{_RUN}/rollouts": rollouts.rollouts,
        f"{_RUN}/tasks": run.tasks,
        f"{_RUN}/by": run.by_field,
        f"{_RUN}/health": health.health,
        _ROLLOUT: rollout.rollout,
        f"{_ROLLOUT}/neighbours": rollouts.neighbours,
        f"{_ROLLOUT}/items": rollout.items,
        f"{_ROLLOUT}/items/{{place:int}}": rollout.item,
        f"{_ROLLOUT}/spans": rollout.spans,
        f"{_ROLLOUT}/tokens": tokens.tokens,
        f"{_ROLLOUT}/raw": rollout.raw,
        "/api/compare": compare.runs,
        "/api/compare/rollouts": compare.rollouts,
    }
    routes = [
        Route("/", page),
        Route("/page/{name:str}", page),
        Route("/favicon.ico", icon),
        *(Route(path, answering(make)) for path, make in api.items()),
        Route(f"{_RUN}/events", events.events(library)),
    ]
    app = Starlette(routes=routes, exception_handlers={Exception: _failed, HTTPException: _refused, GymError: _wrong})
    return Access(app, token)


def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, GymError)
    return problem(404 if isinstance(error, NotThere) else 422, error.message, error.hint)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, "there is nothing at this address")


def _failed(request: Request, error: Exception) -> Response:
    logger.error("%s failed", request.url.path, exc_info=error)
    return problem(500, f"{type(error).__name__}: {error}"[:500], "the command's --debug shows where")
