"""The routes of a served environment that NeMo Gym's agents and trainers ask.

`/seed_session`, `/<tool>`, `/verify`, `/close_session`; and `/reset`, `/step`, `/close` for those who play by steps.

The session is a cookie, signed with a secret of the process, that names it. A tool with the name of a route cannot be
called by its path here, which is so in NeMo Gym, too; `/v1` reaches it. Names of those who play by steps are none: in a
session that was seeded they call tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gym_core import Item, ResourceServer, Status, Trajectory, Verdict
from gym_core import Response as ModelResponse
from gym_core.errors import InputError
from gym_core.responses import as_items
from gym_core.spi import REQUEST_FIELD, RESULT_FIELDS, derive_seed, session_info
from gym_http.protocol.errors import ServeError, WireError, error_to_wire
from gym_http.protocol.nemo import AnsweredRow, CloseRequest, SeedRequest
from gym_http.protocol.shapes import read
from gym_http.serve import metrics
from gym_http.serve.agent.rollouts import task_of
from gym_http.serve.application import PHASE
from gym_http.serve.auth import CookieRoute
from gym_http.serve.environment.nemo_sessions import NamedSessions, row_of
from gym_http.serve.environment.nemo_steps import opened, step
from gym_http.serve.environment.routes import row_refused
from gym_http.serve.environment.session import ServedSession
from gym_http.serve.environment.sessions import Sessions, unknown_session
from gym_http.serve.environment.tokens import COOKIE
from gym_http.serve.json_body import read_object
from gym_http.serve.json_reply import json_reply
from gym_nemo.rows import masked, summing_components

NAME = "resources_session_id"
VERIFIED_SECONDS = 60.0
"""A session that has been verified is not asked for more, and nobody closes it: it is idle after this time."""
_ADDED = frozenset({*RESULT_FIELDS, "task_id"})


def routes(server: ResourceServer, sessions: Sessions) -> list[BaseRoute]:
    """The routes. `/{tool}` takes every path of one part, so they come after all others."""
    own = _Routes(server, sessions)
    return [
        Route("/seed_session", own.seed, methods=["POST"], name="seed_session"),
        CookieRoute("/close_session", own.close, methods=["POST"], name="close_session"),
        CookieRoute("/verify", own.verify, methods=["POST"]),
        metrics.ROUTE,
        CookieRoute("/step", own.step, methods=["POST"]),
        Route("/reset", own.reset, methods=["POST"]),
        CookieRoute("/close", own.end, methods=["POST"]),
        CookieRoute("/{tool}", own.tool, methods=["POST"]),
    ]


def judges_rows(server: ResourceServer) -> bool:
    """Whether a row and its response are all that a verdict needs, so that it can be had without a session."""
    session_type = getattr(server, "session_type", None)
    return session_type is not None and session_info(session_type).judges_trajectory


class _Routes:
    def __init__(self, server: ResourceServer, sessions: Sessions) -> None:
        self._server = server
        self._sessions = sessions
        self._named = NamedSessions(sessions)

    async def seed(self, request: Request) -> Response:
        body = await read_object(request)
        if NAME in body:
            return await self._seed_named(read(SeedRequest, body), request)
        served = await self._open(body, request)
        return self._seeded(served, {} if served.opening is None else {"opening": served.opening})

    async def _seed_named(self, body: SeedRequest, request: Request) -> Response:
        name = body["resources_session_id"]
        row = row_of(body)
        served = await self._named.seed(name, body["episode_id"], lambda: self._open(row, request))
        return self._seeded(served, {NAME: name})

    async def close(self, request: Request) -> Response:
        """By the id that the caller made, or, without one, by the cookie. Harmless for one that is gone."""
        body = await read_object(request)
        if NAME in body:
            asked = read(CloseRequest, body)
            await self._named.close(asked["resources_session_id"], asked["episode_id"])
            return json_reply({NAME: asked["resources_session_id"]})
        await self._sessions.close(self._ident(request))
        return json_reply({})

    def _seeded(self, served: ServedSession, body: Any) -> Response:
        answer = json_reply(body)
        answer.set_cookie(
            COOKIE,
            self._sessions.tokens.sign(served.ident),
            max_age=round(self._sessions.settings.session_life),
            httponly=True,
            samesite="lax",
        )
        return answer

    async def reset(self, request: Request) -> Response:
        if COOKIE in request.cookies and self._is_seeded(self._ident(request)):
            return await self.tool(request)
        served = await self._open(await read_object(request), request)
        try:
            return self._seeded(served, opened(served))
        except ServeError:
            await self._sessions.close(served.ident)
            raise

    async def step(self, request: Request) -> Response:
        """An error status for what failed, whether or not failures are masked: who asks this forgets marks."""
        served = self._sessions.find(self._ident(request))
        if served.played is None:
            return await self.tool(request)
        request.scope[PHASE] = "verify"
        response = read(AnsweredRow, await read_object(request))["response"]
        stepped = await step(served, response, self._sessions.settings.max_steps)
        if served.played.stop_reason:
            await self._sessions.close(served.ident)
        else:
            self._sessions.touch(served)
        return json_reply(stepped)

    async def end(self, request: Request) -> Response:
        ident = self._ident(request)
        if self._is_seeded(ident):
            return await self.tool(request)
        await self._sessions.close(ident)
        return json_reply({})

    def _is_seeded(self, ident: str) -> bool:
        """Whether a session is open that goes by tools and `/verify`."""
        served = self._sessions.known(ident)
        return served is not None and served.played is None

    async def tool(self, request: Request) -> Response:
        request.scope[PHASE] = "tool"
        ident = self._ident(request)
        arguments = (await request.body()).decode("utf-8", "replace")
        served = self._sessions.find(ident)
        name = request.path_params.get("tool") or request.url.path.rpartition("/")[2]
        answer = await served.tool(name, arguments)
        self._sessions.touch(served)
        if isinstance(answer.output, str):
            return Response(answer.output, media_type="text/plain")
        return json_reply(answer.output)

    async def verify(self, request: Request) -> Response:
        request.scope[PHASE] = "verify"
        ident = self._ident(request) if COOKIE in request.cookies or not judges_rows(self._server) else None
        row = await read_object(request)
        response = read(AnsweredRow, row)["response"]
        try:
            if ident is None:
                verdict = await self._verify_row(row, response, request)
            else:
                served = self._sessions.find(ident)
                verdict = await served.verify(_trajectory(served, row, response))
                self._sessions.touch(served, min(VERIFIED_SECONDS, self._sessions.settings.session_idle))
        except Exception as error:
            if not self._sessions.settings.masks_failures or isinstance(error, ServeError | WireError | InputError):
                raise
            described = error_to_wire(error, "verify")[1]["error"]
            return json_reply(masked(row, Status.VERIFIER_ERROR.value, f"{described['class']}: {described['message']}"))
        return json_reply(_judged(row, verdict))

    async def _verify_row(self, row: dict[str, Any], response: dict[str, Any], request: Request) -> Verdict:
        """The verdict on a row of which no session is open, in a session of its own."""
        task = {name: value for name, value in row.items() if name not in RESULT_FIELDS}
        served = await self._open(task, request)
        try:
            return await served.verify(_trajectory(served, row, response))
        finally:
            await self._sessions.close(served.ident)

    async def _open(self, row: dict[str, Any], request: Request) -> ServedSession:
        phase = request.scope.get(PHASE, "setup")
        task, repeat = task_of(row)
        request.scope[PHASE] = "setup"
        try:
            return await self._sessions.open(
                task, seed=derive_seed(self._sessions.settings.seed, task.task_id, repeat), repeat=repeat
            )
        except (InputError, KeyError) as error:
            raise row_refused(error, task) from error
        finally:
            if phase != "setup":
                request.scope[PHASE] = phase

    def _ident(self, request: Request) -> str:
        """The id of the session that the cookie names. Raises `ServeError`: 401 without one, 404 for a forged one."""
        signed = request.cookies.get(COOKIE)
        if signed is None:
            raise ServeError(401, "this is asked within a session", hint=f"POST /seed_session sets the cookie {COOKIE}")
        ident = self._sessions.tokens.unsign(signed)
        if ident is None:
            raise unknown_session()
        return ident


def _trajectory(served: ServedSession, row: dict[str, Any], response: dict[str, Any]) -> Trajectory:
    """What is judged. A session that was seeded without its request learns here what was asked."""
    request = row.get(REQUEST_FIELD)
    given: Sequence[Item] = ()
    if not served.task.input and isinstance(request, dict):
        try:
            given = as_items(request.get("input") or [])
        except ValueError as error:
            raise ServeError(422, str(error), field=f"{REQUEST_FIELD}.input") from None
    items = [*(served.opening or ()), *response["output"]]
    return Trajectory(served.task.input or given, items, stop_reason=ModelResponse(response).stop_reason)


def _judged(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The row with what the verifier says. Its info stands at the top, where it meets no other field.

    Components that do not sum to the reward stand there, too, since its trainers refuse them in their own place.
    """
    components = summing_components(verdict.reward, verdict.components)
    kept = verdict.info if components else {**verdict.components, **verdict.info}
    added = {name: value for name, value in kept.items() if name not in row and name not in _ADDED}
    return {**row, **added, "reward": verdict.reward, **components}
