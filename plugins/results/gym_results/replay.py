"""One stored rollout again without its model: the recorded calls go to a fresh session, which verifies afresh.

What the session says on the way is compared with the recording. A difference means that the environment is not the one
the model worked in, so that its new verdict would say nothing of the model: the rollout fails then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import orjson

from gym_core import (
    Done,
    Item,
    ModelCall,
    Request,
    Response,
    Rollout,
    Task,
    ToolRun,
    Trajectory,
    Verdict,
    encode_json,
    parse_json,
)
from gym_core.errors import SessionError
from gym_core.spi import (
    MAIN,
    SESSION,
    LiveSession,
    Recording,
    Redactor,
    Reply,
    RolloutRun,
    Stage,
    places_of,
    plain_json,
    shown_to,
    without_result,
)

_DONE = Done().reason
_SHOWN = 80


class ReplayDiffers(SessionError):
    """The environment answered otherwise than the recording says. The message says where, and shows both."""


class Recorded:
    """A stored rollout as what happened in it. `opening`: how many items the session opened with."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        row, about = rollout.row, rollout.row["rollout"]
        self.task = Task(without_result(row), task_id=rollout.task_id, index=int(about.get("task_index") or 0))
        self.whole = rollout.trajectory
        whole = self.whole
        self.items = [*whole.input, *whole.items, *whole.others]
        self.opening: list[Item] = self.items[len(whole.input) : len(whole.input) + int(about.get("opening") or 0)]
        self.runs: Sequence[ToolRun] = whole.tool_runs or ()
        self.replies = [Reply.of(wire, len(self.items)) for wire in about.get("replies") or ()]

    @property
    def seed(self) -> int:
        """What the session is seeded with."""
        return int(self.rollout.row["rollout"]["seed"])

    def trajectory(self) -> Trajectory:
        """What the verifier is given: as it was recorded, without what it asked models then."""
        whole = self.whole
        calls = [call for call in whole.model_calls if not call.verifies]  # it comes last: no number changes
        places = chain.from_iterable(chain(call.shown, call.gave) for call in calls)
        ends = [
            *(stop for _, stop in places),
            *(run.call + 1 for run in self.runs),
            *(run.output + 1 for run in self.runs),
        ]
        return Trajectory(
            whole.input,
            whole.items,
            stop_reason=whole.stop_reason,
            model_calls=tuple(calls),
            tool_runs=tuple(self.runs),
            others=whole.others[: max(ends, default=0) - len(whole.input) - len(whole.items)] if whole.others else (),
        )

    def replied_to(self, reply: Reply) -> Response:
        """The response that the session replied to: the latest of the main actor then."""
        calls = self.whole.model_calls
        call = next((call for call in reversed(calls[: reply.model_calls]) if call.actor == MAIN), None)
        return self.response(call) if call is not None else Response({"object": "response", "output": []})

    def gave(self, place: int) -> ModelCall | None:
        """The call of the main actor that gave an item."""
        calls = self.whole.model_calls
        return next((one for one in calls if one.actor == MAIN and place in places_of(one.gave)), None)

    def response(self, call: ModelCall) -> Response:
        """What a model answered."""
        body = {"object": "response", "id": call.response_id, "model": call.model, "usage": call.usage}
        return Response({**body, "output": [dict(self.items[place]) for place in places_of(call.gave)]})


def replayed(stage: Stage, rollout: Rollout, *, redactor: Redactor) -> RolloutRun:
    """A stored rollout that is to be verified again. `redactor`: what the recording was written through."""
    recorded = Recorded(rollout)
    replay = _Replay(recorded, redactor)
    return RolloutRun(
        stage,
        recorded.task,
        rollout.repeat,
        int(rollout.row["rollout"].get("attempt", 1)),
        replay.work,
        rewritten=replay.row,
        seed=recorded.seed,
    )


class _Replay:
    """What is done in a rollout that is verified again."""

    __slots__ = ("_asked", "_recorded", "_redactor", "_seen")

    def __init__(self, recorded: Recorded, redactor: Redactor) -> None:
        self._recorded = recorded
        self._redactor = redactor
        self._seen: ModelCall | None = None
        self._asked = [*range(len(recorded.whole.model_calls))]

    async def work(self, run: RolloutRun) -> tuple[str, Verdict | None]:
        """What the session was asked again, unless the verifier needs none of it, and a verdict."""
        recorded = self._recorded
        # What the verifier asks models is found to be, or added to, what was said then.
        run.recording = Recording(recorded.items)
        async with run.open_session(partial(self._ask, run)) as session:
            if not session.info.judges_trajectory:
                await self._replay(run, session)
            return recorded.rollout.stop_reason or "", await run.verify(session, recorded.trajectory())

    async def _replay(self, run: RolloutRun, session: LiveSession) -> None:
        """Ask the session what it was asked, in that order, whoever asked it; it has to answer the same."""
        recorded = self._recorded
        opening = await session.set_up(run.request.body.get("tools")) or ()
        self._compare(recorded.opening, opening, "`setup`")
        ended: Done | None = None
        replies = [*recorded.replies]
        for number in range(len(recorded.runs) + 1):
            while replies and replies[0].tool_calls <= number:
                ended = await self._reply(run, session, replies.pop(0)) or ended
            if number < len(recorded.runs):
                await self._run_tool(run, session, number)
        self._check_end(session.toolbox.done or ended)

    async def _run_tool(self, run: RolloutRun, session: LiveSession, number: int) -> None:
        items, made = self._recorded.items, self._recorded.runs[number]
        run.phase = "tool"
        if session.info.answers_calls and made.actor == MAIN:
            call = self._recorded.gave(made.call)
            if call is not None and call is not self._seen:
                self._seen = call
                await session.answer_calls(self._recorded.response(call))
        output = await session.toolbox.call(items[made.call])
        self._compare([items[made.output]], [output], f"tool call {number + 1} ({output.get('call_id')})")

    async def _reply(self, run: RolloutRun, session: LiveSession, reply: Reply) -> Done | None:
        recorded = self._recorded
        run.phase = "reply"
        expected = [recorded.items[place] for place in places_of(reply.gave)]
        answer = await session.reply(recorded.replied_to(reply))
        if expected and (isinstance(answer, Done) or not answer):
            raise ReplayDiffers(f"`reply` ended the episode where the recording goes on with {_shown(expected[0])}")
        if isinstance(answer, Done):
            return answer
        self._compare(expected, answer, "`reply`")
        return None

    def _compare(self, expected: Sequence[Item], answered: Sequence[Item], who: str) -> None:
        """Compare what the session answered with what it had answered."""
        for place, item in enumerate(answered):
            now = parse_json(self._redactor.redact_bytes(encode_json(item)))
            if place >= len(expected):
                raise ReplayDiffers(f"{who} goes on where the recording ends: {_shown(now)}")
            if now != expected[place]:
                raise ReplayDiffers(f"{who} answered otherwise than recorded: {_difference(expected[place], now)}")
        if len(answered) < len(expected):
            raise ReplayDiffers(f"{who} returned fewer items than recorded")

    def _check_end(self, ended: Done | None) -> None:
        if ended is None or ended.reason in (_DONE, self._recorded.rollout.stop_reason):
            return
        raise ReplayDiffers(
            f"the session ended the episode with {ended.reason!r}, the recording ends with "
            f"{self._recorded.rollout.stop_reason!r}"
        )

    async def _ask(
        self,
        run: RolloutRun,
        role: str,
        request: Request,
        *,
        actor: str = "",
        sampling: Mapping[str, Any] | None = None,
    ) -> Response:
        """A model asked by the verifier answers; one asked on the way there has answered already."""
        if run.phase == "verify":
            return await run.ask(role, request, actor=actor, sampling=sampling)
        asked = plain_json(request.body)
        question = asked.pop("input", None)
        if sampling is not None:
            asked = plain_json({**sampling})
        recorded = self._recorded
        calls, who = recorded.whole.model_calls, actor or (role if role != MAIN else SESSION)
        for number in self._asked:
            call = calls[number]
            alike = call.actor == who and (call.sampling or {}) == asked
            if alike and [recorded.items[place] for place in shown_to(calls, number)] == question:
                self._asked.remove(number)
                return recorded.response(call)
        raise ReplayDiffers(f"the session asked its `{role}` model something that it did not ask in the recording")

    def row(self, now: Rollout) -> Rollout:
        """The stored row with the verdict that stands in the row of its replay. All else stays, the old reward in
        `rollout.rescored.from`."""
        row, found = self._recorded.rollout.row, now.row["rollout"]
        rescored: dict[str, Any] = {"from": row["reward"], "run_id": found["run_id"]}
        if found["model_calls"]:
            rescored["model_calls"], rescored["usage"] = found["model_calls"], found["usage"]
        if "items" in found:
            rescored["items"] = found["items"]
        about = {**row["rollout"], "info": found["info"], "error": found["error"], "rescored": rescored}
        for name in ("rewards", "metrics"):
            about.pop(name, None)
            if name in found:
                about[name] = found[name]
        if found["error"] is not None:
            about["status"] = found["status"]
        given = {name: now.row[name] for name in ("reward", "reward_components")}
        return Rollout({**row, **given, "rollout": about})


def _difference(then: Any, now: Any) -> str:
    """Where two items part, with a little of what follows."""
    one, other = _text(then), _text(now)
    if one == other:
        one, other = _json(then), _json(now)
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(0, at - 20)
    cut = "…" if begin else ""
    return f"from character {at} on, recorded {cut}{one[begin:]!r:.{_SHOWN}}, now {cut}{other[begin:]!r:.{_SHOWN}}"


def _shown(item: Any) -> str:
    return f"{_text(item)!r:.{_SHOWN}}"


def _text(item: Any) -> str:
    value = item.get("output", item.get("content")) if isinstance(item, dict) else item
    return value if isinstance(value, str) else _json(item)


def _json(value: Any) -> str:
    return encode_json(value, orjson.OPT_SORT_KEYS).decode()
