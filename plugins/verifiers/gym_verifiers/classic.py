"""Packages with `load_environment`, which verifiers before 0.4 loads."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self

from gym_chat import responses_request
from gym_core import CompletedTask, Endpoint, Rollout, Task, TaskFailed, Verdict
from gym_core.errors import SessionError
from gym_core.spi import UniqueIds, described
from gym_verifiers.loaded import ROW, Loaded, number, plain, sampling_of
from gym_verifiers.scoring import Scores, Scoring, note_scores, own_score, scoring, weights

if TYPE_CHECKING:
    from gym_verifiers.environment import VerifiersOptions
    from gym_verifiers.names import Named

STATES = 65_536
"""How many states wait at most for the other rollouts of their groups."""
ANSWERS = 1_024
"""How many groups are remembered once they are scored, for who did not get the answer."""
_TRUNCATED = {"max_turns_reached": "max_turns", "prompt_too_long": "context_length"}
SILENT = "silent"
"""The stop reason of a rollout whose model answered with nothing."""
_PHASES = {"ModelError": "model", "OverlongPromptError": "model", "ToolError": "tool", "InfraError": "setup"}
"""Whose failure an error of verifiers is, by the name of the class or of its nearest parent."""


class LoadedEnvironment(Loaded):
    """One such environment, by whatever class it is: single or multi turn, with tools, stateful, a group of others."""

    def __init__(self, named: Named, args: Mapping[str, Any], options: VerifiersOptions) -> None:
        import verifiers

        self._named = named
        self._columns = options.columns
        with _unlogged():
            self._env: Any = verifiers.load_environment(named.package, **args)
        note_scores()
        self.scores_groups = bool(self._env.requires_group_rollouts)
        other = options.split == "eval" or (self._env.dataset is None and self._env.dataset_source is None)
        self._dataset: Any = self._env.get_eval_dataset() if other else self._env.get_dataset()
        self._states: dict[tuple[str, int], tuple[Any, Scores]] = {}
        self._answers: dict[tuple[tuple[str, int], ...], list[Verdict]] = {}

    async def __aenter__(self) -> Self:
        from openai import DefaultAsyncHttpxClient

        # one pool of connections for all rollouts: making one costs more than a rollout may
        self._http = DefaultAsyncHttpxClient(timeout=None, trust_env=False)
        return self

    async def __aexit__(self, *error: object) -> None:
        for state, _ in self._states.values():  # their groups were not scored
            with suppress(Exception):
                await self._env.rubric.cleanup(state)
        await self._env._teardown()
        await self._http.aclose()

    def tasks(self) -> Iterator[Task]:
        """The rows of its dataset. The request of each shows the prompt and the tools; the loop makes its own."""
        ids = UniqueIds()
        for given in self._dataset:
            row = plain(given)
            messages = row["prompt"]
            if isinstance(messages, str):
                messages = [{"role": "user", "content": messages}]
            request = responses_request({"messages": messages, "tools": _tools(row, self._env)})
            ident = ids.of({name: value for name, value in row.items() if name != "example_id"})
            yield Task({"task_id": ident, "responses_create_params": request, ROW: row})

    async def run(self, task: Task, repeat: int, endpoint: Endpoint) -> CompletedTask:
        """One rollout, scored; where the rubric scores groups, by itself until `score_group` is asked."""
        row = task.get(ROW)
        if not isinstance(row, Mapping) or "prompt" not in row:
            raise TaskFailed(f"the task has no row of {self._named} in its field `{ROW}`", phase="setup")
        sampling = {**deepcopy(self._env.sampling_args), **sampling_of(task)}
        play = self._env.rollout if self.scores_groups else self._env._run_rollout_state
        with scoring() as current:
            try:
                state = await play(deepcopy(dict(row)), self._client(endpoint), "policy", sampling)
            except Exception as error:
                raise _failed(error, "agent") from error
            if (ended := state.get("error")) is not None and not _said_nothing(ended):
                raise _failed(ended, "agent")
            verdict = await self._alone(state, current) if self.scores_groups else self._verdict(state, current)
        if current.failures:  # verifiers logs them and goes on with 0.0
            raise TaskFailed(current.failures[0], phase="verify")
        if self.scores_groups:
            self._keep((task.task_id, repeat), (state, current.of(state)))
        return CompletedTask(verdict, self._stop(state))

    async def _alone(self, state: Any, current: Scoring) -> Verdict:
        """What a rollout is worth by itself: by the functions that look at one, or as a group of one."""
        one = copy.copy(state)
        one["trajectory"] = [{**step} for step in state["trajectory"]]  # scoring writes into it
        current.know(one, current.of(state))
        if (own := await own_score(self._env.rubric, one)) is not None:
            one["reward"], one["metrics"] = own
        else:
            await self._env.rubric.score_group([one])
        if current.failures:
            raise TaskFailed(
                f"by itself, without its group, it cannot be scored: {current.failures[0]}", phase="verify"
            )
        return self._verdict(one, current, scored="alone")

    async def score_group(self, rollouts: Sequence[Rollout]) -> Sequence[Verdict]:
        """What the rubric says of them together. It wants the states, which are kept where the loops ran.

        They are kept until it has said it, so that it can be asked again, and what it has said is, too.
        """
        keys = tuple((one.task_id, one.repeat) for one in rollouts)
        if (known := self._answers.get(keys)) is not None:
            return known
        lacking = sum(key not in self._states for key in keys)
        if lacking:
            raise SessionError(
                f"the states of {lacking} of {len(keys)} rollouts are not here: the rubric of {self._named} scores a "
                "group in the process that has run all of it",
                hint="run it with one worker, and the whole group again",
            )
        verdicts = await self._score_states([self._states[key] for key in keys])
        self._answers[keys] = verdicts
        if len(self._answers) > ANSWERS:
            del self._answers[next(iter(self._answers))]
        for key in keys:
            state, _ = self._states.pop(key)
            await self._env.rubric.cleanup(state)
        return verdicts

    async def _score_states(self, kept: Sequence[tuple[Any, Scores]]) -> list[Verdict]:
        with scoring() as current:
            for state, scores in kept:
                current.know(state, scores)
            states = [state for state, _ in kept]
            await self._env.rubric.score_group(states)
        if current.failures:
            raise SessionError(current.failures[0])
        return [self._verdict(state, current, scored="with its group") for state in states]

    def _client(self, endpoint: Endpoint) -> Any:
        from openai import AsyncOpenAI
        from verifiers.clients import OpenAIChatCompletionsClient

        return OpenAIChatCompletionsClient(
            AsyncOpenAI(base_url=endpoint.base_url, api_key=endpoint.token, http_client=self._http, max_retries=0)
        )

    def _keep(self, key: tuple[str, int], kept: tuple[Any, Scores]) -> None:
        self._states[key] = kept
        if len(self._states) > STATES:
            del self._states[next(iter(self._states))]

    def _verdict(self, state: Any, current: Scoring, **more: Any) -> Verdict:
        failed = current.of(state).failed
        metrics = {name: value for name, value in (state.get("metrics") or {}).items() if name not in failed}
        numbers = {str(name): number(value, f"the metric {name}") for name, value in metrics.items()}
        counts = weights(self._env.rubric)
        rewarded = {name: value for name, value in numbers.items() if counts.get(name, 0.0)}
        others = {name: value for name, value in numbers.items() if name not in rewarded}
        info = {**self._info(state), **more, **({"failed_metrics": dict(failed)} if failed else {})}
        return Verdict(number(state.get("reward"), "the reward"), rewarded, info, metrics=others)

    def _info(self, state: Any) -> dict[str, Any]:
        info: dict[str, Any] = {"stop_condition": state.get("stop_condition")}
        kept = {name: plain(state[name]) for name in self._columns if name in state}
        return {**info, "state": kept} if kept else info

    def _stop(self, state: Any) -> str:
        """Why it stopped, in gym's word where there is one; that a single turn was the only one is no cut."""
        if state.get("error") is not None:
            return SILENT
        condition = str(state.get("stop_condition") or "completed")
        if (steps := state.get("trajectory")) and steps[-1].get("is_truncated"):
            return "max_output_tokens"
        if condition == "max_turns_reached" and getattr(self._env, "max_turns", 0) == 1:
            return "completed"
        return _TRUNCATED.get(condition, condition)


@contextmanager
def _unlogged() -> Iterator[None]:
    """verifiers writes to the terminal what it raises, too: an error is one line."""
    logger = logging.getLogger("verifiers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _said_nothing(error: BaseException) -> bool:
    """Whether the model answered with nothing: to verifiers an error, and yet what it said, which is scored."""
    return any(cls.__name__ == "EmptyModelResponseError" for cls in type(error).__mro__)


def _tools(row: Mapping[str, Any], env: Any) -> list[dict[str, Any]]:
    info = row.get("info")
    info = info if isinstance(info, Mapping) else {}
    route = info.get("env_id")  # of a group of environments
    for name in [route] if isinstance(route, str) else route or ():
        env = getattr(env, "env_map", {}).get(name, env)
    tools = [plain(tool) for tool in info.get("tool_defs") or env.tool_defs or ()]
    return [{"type": "function", "function": {key: tool[key] for key in tool if key != "strict"}} for tool in tools]


def _failed(error: BaseException, phase: str) -> TaskFailed:
    """An error that a rollout ended with. What verifiers raises for a model call has the provider's error as cause."""
    names = [cls.__name__ for cls in type(error).__mro__]
    phase = next((_PHASES[name] for name in names if name in _PHASES), phase)
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    words = described(error) if root is error else f"{type(error).__name__}: {described(root)}"
    return TaskFailed(" ".join(words.split())[:500], phase=phase)
