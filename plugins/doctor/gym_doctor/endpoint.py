"""A look at one model: whether it can be reached, is offered, and answers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import takewhile
from operator import eq
from typing import Any

from gym_core import CallContext, Item, ModelBackend, ModelError, Request, user_message
from gym_core.spi import Deadlines, Late, asked_to_end, hint_of, lifespan, message_of, within
from gym_doctor.checks import Finding, State
from gym_http1 import environment_proxy

SECONDS = 120.0
"""How long a look at the endpoint and the call may take, each."""
_DATE_SECONDS = 15.0
_SKEW_WARNING = 5.0
_SKEW_PROBLEM = 120.0
_QUESTION = "Say hello."
_MORE = "Say it again."
_ANSWER_TOKENS = 256
_TOKENS = 16
"""The smallest bound that OpenAI's Responses API takes."""


async def look(role: str, model: ModelBackend, *, call: bool) -> AsyncIterator[Finding]:
    """Open a model, ask for what it offers, and have it answer once if `call`. Nothing but the call costs anything."""
    name = f"model {role}"
    async with AsyncExitStack() as stack:
        living = lifespan(model, Deadlines().close, f"the model backend {name}")
        try:
            opened = await within(stack.enter_async_context(living), SECONDS, "its start")
        except BaseException as error:
            if asked_to_end(error):
                raise
            yield _failed(name, "it cannot be opened", error)
            return
        async for finding in _looked(name, opened, call=call):
            yield finding


async def _looked(name: str, model: ModelBackend, *, call: bool) -> AsyncIterator[Finding]:
    endpoints = model.endpoints or (model.describe().endpoint,)
    endpoint = ", ".join(endpoints)
    try:
        warnings = await within(model.check(), SECONDS, "its look at itself")
    except BaseException as error:
        if asked_to_end(error):
            raise
        yield _failed(name, f"{endpoint} cannot be used", error)
        return
    if len(endpoints) == 1 or not warnings:  # of several the warnings name the one
        yield Finding(name, "ok", f"{endpoint} can be reached")
    for warning in warnings:
        yield Finding(name, "warning", warning, "the call below tells whether it matters" if call else "")
    yield await _offered(name, model)
    if endpoint.startswith(("http://", "https://")):
        yield await clock(endpoints[0])
    if call:
        for one in model.endpoints or (None,):
            found, says_tokens = await _called(name, model, one)
            yield found
            if says_tokens:
                yield await _two_turns(name, model, one)


async def _offered(name: str, model: ModelBackend) -> Finding:
    try:
        models = await within(model.list_models(), SECONDS, "the listing of models")
    except BaseException as error:
        if asked_to_end(error):
            raise
        reason = "no answer in time" if isinstance(error, Late) else message_of(error)
        return Finding(name, "warning", f"which models there are is not known: {reason}")
    wanted = model.describe().model_id
    if any(offered == wanted or offered.endswith(f"/{wanted}") for offered in models):
        return Finding(name, "ok", f"{wanted} is one of {len(models)} models there")
    # many servers list other names than they take: the call tells
    fix = "`gym models` lists what there is"
    return Finding(name, "warning", f"{wanted} is not among the {len(models)} models listed there", fix)


async def _called(name: str, model: ModelBackend, endpoint: str | None) -> tuple[Finding, bool]:
    """What became of a tiny call, and whether its tokens came with it."""
    request = Request.ask(_QUESTION, max_output_tokens=_TOKENS)
    started = time.perf_counter()
    try:
        call = model.respond(request, CallContext(role=name.partition(" ")[2], endpoint=endpoint))
        response = await within(call, SECONDS, "the call")
    except BaseException as error:
        if asked_to_end(error):
            raise
        return _failed(name, "a tiny call failed" + (f" at {endpoint}" if endpoint else ""), error), False
    seconds, usage = time.perf_counter() - started, response.usage
    tokens = f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    who = model.describe().model_id + (f" at {endpoint}" if endpoint else "")
    found = Finding(name, "ok", f"{who} answered a tiny call within {seconds:.2f} s ({tokens})")
    return found, response.tokens is not None


async def _two_turns(name: str, model: ModelBackend, endpoint: str | None) -> Finding:
    """Whether the second turn of a conversation begins with the very tokens of the first."""
    context = CallContext(role=name.partition(" ")[2], endpoint=endpoint)
    items = [user_message(_QUESTION)]
    try:
        first = await within(model.respond(Request(_asking(items)), context), SECONDS, "the first of two turns")
        items += [*first.output, user_message(_MORE)]
        second = await within(model.respond(Request(_asking(items)), context), SECONDS, "the second of two turns")
    except BaseException as error:
        if asked_to_end(error):
            raise
        return _failed(name, "two turns for exact tokens failed", error)
    before, after = first.tokens, second.tokens
    if before is None or after is None or before.problem or after.problem:
        why = (before and before.problem) or (after and after.problem) or "one of the answers has none"
        return Finding(name, "problem", f"its exact tokens cannot be used: {why}", "see the page Keep exact tokens")
    known = [*before.prompt, *before.sampled]
    at = sum(takewhile(bool, map(eq, known, after.prompt)))  # how many are the same, from the start on
    if at == len(known):
        return Finding(name, "ok", f"a second turn begins with all {at} tokens of the first")
    if at < len(before.prompt):
        cause = "the chat template writes the question itself otherwise, once it is answered"
    elif any(item.get("type") == "reasoning" for item in first.output):
        cause = "the chat template leaves thinking out of earlier turns, as far as can be seen"
    else:
        cause = f"the answer comes back encoded otherwise from its token {at - len(before.prompt) + 1} on"
    message = f"a second turn keeps {at} of the first one's {len(known)} tokens: {cause}"
    fix = "each turn is a sequence of its own; another template mends it, or -M send_token_ids=true at servers of NeMo"
    return Finding(name, "warning", message, fix)


def _asking(items: Sequence[Item]) -> dict[str, Any]:
    return {"input": [*items], "max_output_tokens": _ANSWER_TOKENS}


async def clock(url: str) -> Finding:
    """Compare the clock of this machine with the `Date` of an endpoint's reply (RFC 9110, 6.6.1). No key is sent."""
    import httpx

    try:
        proxy = environment_proxy(url)
        async with httpx.AsyncClient(timeout=_DATE_SECONDS, proxy=proxy, trust_env=False) as client:
            asked = time.perf_counter()
            reply = await client.head(url)
            there = parsedate_to_datetime(reply.headers["date"])
            underway = time.perf_counter() - asked
    except (httpx.HTTPError, httpx.InvalidURL, OSError, KeyError, ValueError, ImportError) as error:
        return Finding("clock", "ok", f"the endpoint tells no time to compare with ({type(error).__name__})")
    if there.tzinfo is None:
        there = there.replace(tzinfo=UTC)
    # the header is cut to whole seconds, and was written at some moment of the exchange
    ahead = (datetime.now(UTC) - there).total_seconds() - 0.5 - underway / 2
    off = max(abs(ahead) - 0.5 - underway / 2, 0.0)
    if off <= _SKEW_WARNING:
        return Finding("clock", "ok", "the clock agrees with the endpoint's")
    state: State = "problem" if off > _SKEW_PROBLEM else "warning"
    direction = "ahead of" if ahead > 0 else "behind"
    fix = "set it, by NTP: keys and certificates have dates"
    return Finding("clock", state, f"the clock is {abs(ahead):,.0f} s {direction} the endpoint's", fix)


def _failed(name: str, what: str, error: BaseException) -> Finding:
    if isinstance(error, Late):
        return Finding(name, "problem", f"{what}: no answer within {SECONDS:g} s", "is the endpoint well?")
    fix = hint_of(error)
    if isinstance(error, ModelError):
        fix = fix or error.remedy
    return Finding(name, "problem", f"{what}: {message_of(error)}", fix or "report it to the authors of the plugin")
