"""Runs to look at: made by the engine with scripted models, with what a page can stumble over in every field."""

from __future__ import annotations

import asyncio
import base64
import random
import struct
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gym_core import (
    Agent,
    CallContext,
    ComponentContext,
    Episode,
    Request,
    ResourceServer,
    Response,
    Session,
    Stop,
    StopReason,
    Task,
    Tokens,
    Trajectory,
    Verdict,
    collect,
    tool,
    user_message,
)
from gym_testing import LoopAgent, ScriptedModel, call, say, think

HOSTILE = "<img src=x onerror=\"window.hurt='img'\"><script>window.hurt='script'</script>"
"""Would set `window.hurt` were it ever markup; closes elements and attributes on the way."""
CLOSING = "</script><script>window.hurt='closed'</script></title></style>\"'><svg onload=\"window.hurt='svg'\">"
ANSI = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \u202eright to left\u202c \x00"
TASKS = 24
LONG = "All work and no play makes a model repeat itself.\n" * 60


def make_all(folder: Path) -> None:
    """All of the runs, into a folder."""
    asyncio.run(_make_all(folder))


async def _make_all(folder: Path) -> None:
    for name, make in {
        "shop-small": lambda: shop(0.45),
        "shop-large": lambda: shop(0.8),
        "team": team,
        "hostile": hostile,
        "constant": constant,
        "long": long,
    }.items():
        await _run(folder / f"{name}.jsonl", **make())


async def _run(output: Path, **settings: Any) -> None:
    async for _ in collect(output=output, **settings):
        pass


def shop(skill: float) -> dict[str, Any]:
    """Tool calls, components, fields, failures of several kinds, cut rollouts, calls that loop."""

    class ShopSession(Session[Any]):
        @tool
        def price(self, item: str) -> dict[str, Any]:
            """The price of an item."""
            if item == "unicorn":
                raise ValueError("there is no such item")
            return {"item": item, "price": {"amount": 12, "currency": "EUR"}, "stock": [3, 1, 4]}

        def verify(self, trajectory: Trajectory) -> Verdict:
            if self.task["nr"] == 5:
                raise ValueError("the expected answer of this task is not a number")
            right = float("12" in trajectory.output_text)
            tidy = 1.0 if trajectory.output_text.endswith(".") else 0.5
            info = {
                "read": trajectory.output_text[-40:],
                "expected": 12,
                "checks": {"number": bool(right), "unit": True},
            }
            return Verdict(round(0.8 * right + 0.2 * tidy, 3), {"correct": right, "tidy": tidy}, info)

    class Shop(ResourceServer):
        """Prices."""

        session_type = ShopSession

        def tasks(self) -> Iterable[Task]:
            for nr in range(TASKS):
                yield Task.ask(
                    f"What does {('an apple', 'a pear', 'a lamp')[nr % 3]} cost? Look it up.",
                    task_id=f"price-{nr:02}",
                    nr=nr,
                    kind=("fruit", "fruit", "household")[nr % 3],
                    level=("easy", "hard")[nr % 2],
                )

    def answer(request: Request, context: CallContext) -> Any:
        chance = random.Random(f"{context.key} {skill}")
        turn = sum(1 for item in request.input if item.get("type") == "function_call_output")
        looping = context.key[0] in ("price-07", "price-11")
        if turn == 0 or (looping and turn < 6):
            item = "unicorn" if context.key[0] == "price-03" else "apple"
            return [think("I have to look the price up before I can say anything."), call("price", item=item)]
        if context.key == ("price-09", 0):
            raise RuntimeError("the connection was closed in the middle of the answer")
        if looping:
            return Response(
                {
                    "id": "r",
                    "output": [say("It is")],
                    "status": "incomplete",
                    "usage": _usage(900, 256),
                    "incomplete_details": {"reason": "max_output_tokens"},
                }
            )
        text = "It costs 12 euros." if chance.random() < skill else "It costs 13 euros"
        return Response({"id": "r", "output": [say(text)], "status": "completed", "usage": _usage(200 + 9 * turn, 20)})

    return {
        "model": ScriptedModel(answer, name="large" if skill > 0.5 else "small"),
        "env": Shop(None, ComponentContext(name="shop")),
        "agent": LoopAgent(None, ComponentContext(name="loop")),
        "repeats": 2,
        "seed": 1,
    }


def team() -> dict[str, Any]:
    """Several actors, context that is compacted, a try that is given up, tokens with a break, images and long texts."""

    class TeamSession(Session[Any]):
        @tool
        def search(self, query: str) -> str:
            """Search."""
            return LONG

        def verify(self, trajectory: Trajectory) -> Verdict:
            return Verdict(0.5, {"helped": 1.0}, {"calls": len(trajectory.tool_calls)})

    class Team(ResourceServer):
        """Two who work together."""

        session_type = TeamSession

        def tasks(self) -> Iterable[Task]:
            for nr in range(3):
                parts = [
                    {"type": "input_text", "text": f"What is in picture {nr}?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{_png()}"},
                    {"type": "input_image", "image_url": "https://example.com/tracker.png"},
                ]
                request = {"input": [{"role": "system", "content": LONG}, {"role": "user", "content": parts}]}
                yield Task({"task_id": f"picture-{nr}", "responses_create_params": request})

    class TeamAgent(Agent):
        """Compacts, asks a helper, tries twice."""

        async def run(self, episode: Episode) -> Stop:
            items = list(episode.request.input)
            for _ in range(3):
                response = await episode.respond(items)
                items += [*response.output, *await episode.call_tools(response.function_calls)]
            helper = episode.actor("helper")
            found = await helper.respond([user_message("What could it be?")])
            summary = user_message(f"So far: {found.output_text}")
            await episode.respond([items[0], summary])
            last = await episode.respond([items[0], summary])
            return Stop(last.stop_reason)

    return {
        "model": TokenSayer(
            [call("search", query="red square")], [call("search", query="blue")], "I see.", "Perhaps a square?",
            "A red square.", "A square, red.",
        ),
        "env": Team(None, ComponentContext(name="team")),
        "agent": TeamAgent(None, ComponentContext(name="team_agent")),
        "concurrency": 1,
    }  # fmt: skip


class TokenSayer(ScriptedModel):
    """Says the tokens of what it was shown and of what it said: a letter each, and one that comes back otherwise."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        """The next turn, with its tokens."""
        response = await super().respond(request, context)
        prompt = [ord(sign) % 997 for item in request.input for sign in str(item.get("content") or item)[:60]]
        sampled = [ord(sign) % 997 for sign in str(response.output)[:60]]
        if len(self.requests) % 6 == 3:
            prompt[-1] += 1
        logprobs = [-0.02 * (place % 30) ** 1.5 for place in range(len(sampled))]
        return Response(response.body, Tokens(prompt, sampled, logprobs, str(17 + len(self.requests) // 4)))


def long() -> dict[str, Any]:
    """A rollout of more turns than a page holds at once."""

    class CountingSession(Session[Any]):
        def verify(self, trajectory: Trajectory) -> float:
            return 1.0

    class Counting(ResourceServer):
        """A task."""

        session_type = CountingSession

        def tasks(self) -> Iterable[Task]:
            yield Task({"task_id": "count", "responses_create_params": {"input": "Count."}})

    class Counts(Agent):
        """Says more and more."""

        async def run(self, episode: Episode) -> Stop:
            items = list(episode.request.input)
            for _ in range(240):
                items += (await episode.respond(items)).output
            return Stop(StopReason.COMPLETED)

    return {
        "model": ScriptedModel(*[f"That makes {number}." for number in range(1, 241)]),
        "env": Counting(None, ComponentContext(name="counting")),
        "agent": Counts(None, ComponentContext(name="counts")),
    }


def hostile() -> dict[str, Any]:
    """Markup, ends of elements and control characters wherever a text can stand."""

    class HostileSession(Session[Any]):
        @tool(name="peek")
        def peek(self, what: str) -> str:
            """Peek."""
            if what == "fail":
                raise ValueError(HOSTILE + CLOSING + ANSI)
            return CLOSING + ANSI

        def verify(self, trajectory: Trajectory) -> Verdict:
            if self.task["nr"] == 2:
                raise ValueError(HOSTILE + CLOSING + ANSI)
            return Verdict(0.25, {HOSTILE: 0.25, "__proto__": 1.0}, {HOSTILE: CLOSING, "constructor": ANSI})

    class Hostile(ResourceServer):
        """Texts that would like to be more."""

        session_type = HostileSession

        def tasks(self) -> Iterable[Task]:
            for nr in range(4):
                fields = {HOSTILE: CLOSING, "kind": HOSTILE, "__proto__": "x", "nr": nr}
                request = {
                    "input": [{"role": "user", "content": HOSTILE + ANSI}, {"role": HOSTILE, "content": CLOSING}]
                }
                request = request if nr == 3 else {"input": request["input"][:1]}
                ident = f"{HOSTILE}/../%2e%2e?#&{nr}{ANSI}"
                yield Task({"task_id": ident, **fields, "responses_create_params": request})

    image = {"type": "message", "role": "assistant", "content": [
        {"type": "output_text", "text": CLOSING},
        {"type": "input_image", "image_url": "javascript:window.hurt='url'"},
        {"type": HOSTILE, "text": HOSTILE},
    ]}  # fmt: skip
    script: list[Any] = [
        [
            think(HOSTILE),
            call("peek", what="fail"),
            call(HOSTILE, what=CLOSING, call_id="c2"),
            call("peek", HOSTILE, call_id="c3"),
        ],
        [call("peek", what=ANSI), {"type": HOSTILE, "html": CLOSING}],
        [image],
    ]
    return {
        "model": ScriptedModel(*script, name="hostile"),
        "env": Hostile(None, ComponentContext(name="hostile")),
        "agent": LoopAgent(None, ComponentContext(name="loop")),
    }


def constant() -> dict[str, Any]:
    """A verifier that says the same whatever it reads."""

    class Same(Session[Any]):
        def verify(self, trajectory: Trajectory) -> Verdict:
            return Verdict(1.0, {"format": 1.0})

    class Constant(ResourceServer):
        """Always content."""

        session_type = Same

        def tasks(self) -> Iterable[Task]:
            for nr in range(8):
                yield Task.ask(f"Say something about {nr}.", task_id=f"say-{nr}")

    return {
        "model": ScriptedModel(""),
        "env": Constant(None, ComponentContext(name="constant")),
        "agent": LoopAgent(None, ComponentContext(name="loop")),
    }


class LiveRun(threading.Thread):
    """A run that goes on while it is looked at: a rollout ends when `finish` says so."""

    def __init__(self, output: Path, planned: int = 8) -> None:
        super().__init__()
        self.output, self.left = output, planned
        self._loop = asyncio.new_event_loop()
        self._may_end = asyncio.Semaphore(0)

    def run(self) -> None:
        """Carry the run out."""

        async def answer(request: Request, context: CallContext) -> str:
            await self._may_end.acquire()
            return "12."

        class LiveSession(Session[Any]):
            def verify(self, trajectory: Trajectory) -> float:
                return 1.0

        class Live(ResourceServer):
            """Waits."""

            session_type = LiveSession

            def tasks(self) -> Iterable[Task]:
                for nr in range(wanted):
                    yield Task.ask(f"Wait for {nr}.", task_id=f"wait-{nr}")

        wanted = self.left
        self._loop.run_until_complete(
            _run(
                self.output,
                model=ScriptedModel(answer, name="slow"),
                env=Live(None, ComponentContext(name="live")),
                agent=LoopAgent(None, ComponentContext(name="loop")),
            )
        )

    def finish(self, count: int) -> None:
        """Let some rollouts end."""
        self.left -= count
        for _ in range(count):
            self._loop.call_soon_threadsafe(self._may_end.release)

    def __enter__(self) -> LiveRun:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish(self.left)
        self.join(30)

    def remove(self) -> None:
        """Take its files away again."""
        for path in self.output.parent.glob(f"{self.output.stem}.*"):
            path.unlink()


def _usage(read: int, said: int) -> dict[str, Any]:
    return {"input_tokens": read, "output_tokens": said, "total_tokens": read + said}


def _png() -> str:
    """A red square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\xc0\x30\x40" * 48 for _ in range(48))
    header = struct.pack(">IIBBBBB", 48, 48, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()
