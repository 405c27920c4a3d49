"""One stored rollout again without its model: the recorded calls go to a fresh session, which verifies afresh.

What the session says on the way is compared with the recording. A difference means that the environment is not the one
the model worked in, so that its new verdict would say nothing of the model: the rollout fails then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from gym_core.contract.resource_server import Done
from gym_core.domain.errors import SessionError
from gym_core.domain.json_text import encode_json, parse_json, plain_json
from gym_core.domain.responses import Item, Request, Response
from gym_core.domain.rollout import ModelCall, Rollout, Trajectory, Verdict
from gym_core.domain.stop_reasons import SESSION_DONE, TRUNCATING
from gym_core.domain.task import Task, without_result
from gym_core.domain.tool_calls import answered_calls, written_places
from gym_core.engine.rollout.agent_rollout import POLICY
from gym_core.engine.rollout.live_session import LiveSession
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.rollout.row import Record
from gym_core.engine.rollout.stage import Stage
from gym_core.wiring.secrets import Redactor

SHOWN = 80


class ReplayDiffers(SessionError):
    """The environment answered otherwise than the recording says. The message says where, and shows both."""


class Recorded:
    """A stored rollout as what happened in it, in order.

    `conversation`: the task's input and everything after it. `opening`: how many items the input has. `outputs`: where
    an output of the policy starts, with its model call. `foreign`: places of items that the agent added by itself.
    `answered`: places of tool outputs, with those of their calls.
    """

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        row, about = rollout.row, rollout.row["rollout"]
        self.task = Task(without_result(row), task_id=rollout.task_id, index=int(about.get("task_index") or 0))
        self.input: list[Item] = self.task.input
        self.items: list[Item] = list((row.get("response") or {}).get("output") or ())
        self.conversation = [*self.input, *self.items]
        self.opening = len(self.input)
        self.foreign = frozenset(about.get("agent_items") or ())
        self.calls: list[dict[str, Any]] = list(about["calls"])
        self.outputs = {
            stretch[0]: (stretch[1], call)
            for call in self.calls
            if call["role"] == POLICY
            for stretch in call["output"]
            if isinstance(stretch, list) and stretch[0] < stretch[1]
        }
        self.asked = [call for call in self.calls if call["role"] != POLICY]
        outputs = (call["output"] for call in self.calls if call["role"] == POLICY)
        said = written_places(outputs, len(self.conversation))
        self.answered = answered_calls(self.conversation, said)

    @property
    def seed(self) -> int:
        """What the session is seeded with."""
        return int(self.rollout.row["rollout"]["seed"])

    def trajectory(self) -> Trajectory:
        """What the verifier is given: as it was recorded."""
        last = max((place for place, call in enumerate(self.calls) if call["role"] == POLICY), default=-1)
        return Trajectory(
            self.input,
            self.items,
            stop_reason=self.rollout.stop_reason or "",
            model_calls=tuple(_model_call(call) for call in self.calls[: last + 1]),
        )


def replayed(stage: Stage, recorded: Recorded, redactor: Redactor, attempt: int) -> RolloutRun:
    """A stored rollout that is to be verified again. `redactor`: what the recording was written through."""
    replay = _Replay(recorded, redactor)
    return RolloutRun(
        stage, recorded.task, recorded.rollout.repeat, attempt, replay.work, row=replay.row, seed=recorded.seed
    )


class _Replay:
    """What is done in a rollout that is verified again."""

    __slots__ = ("_asked", "_recorded", "_redactor")

    def __init__(self, recorded: Recorded, redactor: Redactor) -> None:
        self._recorded = recorded
        self._redactor = redactor
        self._asked = list(recorded.asked)

    async def work(self, run: RolloutRun) -> tuple[str, Verdict | None]:
        """The conversation again, unless the verifier needs none, and a verdict."""
        recorded = self._recorded
        async with run.open_session(partial(self._ask, run)) as session:
            if not session.info.judges_trajectory:
                await self._replay(run, session)
            return recorded.rollout.stop_reason or "", await run.verify(session, recorded.trajectory())

    async def _replay(self, run: RolloutRun, session: LiveSession) -> None:
        """Go through the conversation; what is not the model's or the agent's has to come from the session again."""
        recorded = self._recorded
        conversation = recorded.conversation
        place = self._follow(recorded.opening, await session.set_up(run.request.body.get("tools")) or (), "`setup`")
        response: Response | None = None
        ended: Done | None = None
        count = 0
        while place < len(conversation):
            item = conversation[place]
            if place in recorded.foreign:
                place += 1
            elif place in recorded.outputs:
                stop, call = recorded.outputs[place]
                response = _response(call, conversation[place:stop])
                place = stop
            elif item.get("type") == "function_call_output":
                count += 1
                run.phase = "tool"
                if place not in recorded.answered:
                    raise ReplayDiffers(f"{_call_words(item, count)}: the model made no such call")
                output = await session.toolbox.call(conversation[recorded.answered[place]])
                place = self._follow(place, [output], _call_words(item, count))
            else:
                run.phase = "reply"
                if response is None:
                    raise ReplayDiffers("`setup` returned fewer items than recorded")
                answer = await session.reply(response)
                if isinstance(answer, Done) or not answer:
                    raise ReplayDiffers(f"`reply` ended the episode where the recording goes on with {_shown(item)}")
                place = self._follow(place, answer, "`reply`")
                response = None
        # A session that answers responses has seen the last one, too, unless the rollout was cut before that.
        if response is not None and not response.function_calls and recorded.rollout.stop_reason not in TRUNCATING:
            run.phase = "reply"
            answer = await session.reply(response)
            if isinstance(answer, Done):
                ended = answer
            elif answer:
                raise ReplayDiffers(f"`reply` goes on where the recording ends: {_shown(answer[0])}")
        self._check_end(session.toolbox.done or ended)

    def _follow(self, place: int, answered: Sequence[Item], who: str) -> int:
        """Compare what the session answered with the recording from `place` on; returns the place after it."""
        conversation = self._recorded.conversation
        for item in answered:
            now = parse_json(self._redactor.redact_bytes(encode_json(item)))
            then = conversation[place] if place < len(conversation) else None
            if now != then:
                raise ReplayDiffers(f"{who} answered otherwise than recorded: {_difference(then, now)}")
            place += 1
        return place

    def _check_end(self, ended: Done | None) -> None:
        if ended is None or ended.reason in (SESSION_DONE, self._recorded.rollout.stop_reason):
            return
        raise ReplayDiffers(
            f"the session ended the episode with {ended.reason!r}, the recording ends with "
            f"{self._recorded.rollout.stop_reason!r}"
        )

    async def _ask(self, run: RolloutRun, role: str, request: Request) -> Response:
        """A model asked by the verifier answers; one asked on the way there has answered already."""
        if run.phase == "verify":
            return await run.ask(role, request)
        asked = plain_json(request.body)
        question = asked.pop("input", None)
        for call in self._asked:
            if call["role"] == role and call["input"] == question and (call.get("params") or {}) == asked:
                self._asked.remove(call)
                return _response(call, call["output"])
        raise ReplayDiffers(f"the session asked its `{role}` model something that it did not ask in the recording")

    def row(self, record: Record) -> Rollout:
        """The stored row with its new verdict. All else stays, the old reward in `rollout.rescored.from`."""
        verdict, failure, recording = record.verdict, record.failure, record.recording
        row = self._recorded.rollout.row
        rescored: dict[str, Any] = {"from": row["reward"], "run_id": record.run_id}
        if recording.calls:
            rescored |= {
                "calls": [call.to_wire() for call in recording.calls],
                "usage": recording.usage.to_wire(),
            }
        about = {
            **row["rollout"],
            "info": verdict.info if verdict is not None else {},
            "error": failure.error if failure is not None else None,
            "rescored": rescored,
        }
        if failure is not None:
            about["status"] = failure.status.value
        return Rollout(
            {
                **row,
                "reward": verdict.reward if verdict is not None else None,
                "reward_components": verdict.components if verdict is not None else {},
                "rollout": about,
            }
        )


def _call_words(output: Item, number: int) -> str:
    return f"tool call {number} ({output.get('call_id')})"


def _response(call: Mapping[str, Any], output: Sequence[Item]) -> Response:
    body = {"object": "response", "id": call.get("response_id"), "model": call.get("model"), "usage": call["usage"]}
    return Response({**body, "output": [dict(item) for item in output]})


def _model_call(call: Mapping[str, Any]) -> ModelCall:
    return ModelCall(
        call["role"],
        call["actor"],
        call["input"],
        call["output"],
        call["usage"],
        call["latency"],
        call.get("waited", 0.0),
        call.get("attempts", 1),
        call.get("params"),
        {name: call.get(name) for name in ("response_id", "model")},
        call.get("cost"),
    )


def _difference(then: Any, now: Any) -> str:
    """Where two items part, with a little of what follows."""
    if then is None:
        return f"the recording ends, now it is {_shown(now)}"
    one, other = _text(then), _text(now)
    if one == other:
        one, other = _json(then), _json(now)
    at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(0, at - 20)
    cut = "…" if begin else ""
    return f"from character {at} on, recorded {cut}{one[begin:]!r:.{SHOWN}}, now {cut}{other[begin:]!r:.{SHOWN}}"


def _shown(item: Any) -> str:
    return f"{_text(item)!r:.{SHOWN}}"


def _text(item: Any) -> str:
    value = item.get("output", item.get("content")) if isinstance(item, dict) else item
    return value if isinstance(value, str) else _json(item)


def _json(value: Any) -> str:
    return encode_json(value, orjson.OPT_SORT_KEYS).decode()
