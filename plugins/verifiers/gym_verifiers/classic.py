"""Packages with `load_environment`, which verifiers before 0.4 loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gym_core import CompletedTask, Endpoint, Rollout, Task, TaskFailed, Verdict
from gym_core.chat import responses_request
from gym_core.errors import SessionError
from gym_core.spi import described
from gym_verifiers.loaded import ROW, Loaded, TaskIds, number, plain, sampling_of
from gym_verifiers.scoring import noted, noting

if TYPE_CHECKING:
    from gym_verifiers.environment import VerifiersOptions
    from gym_verifiers.names import Named

STATES = 65_536
"""How many states wait at most for the other rollouts of their groups."""
_TRUNCATED = {"max_turns_reached": "max_turns", "prompt_too_long": "context_length"}
_PHASES = {"ModelError": "model", "OverlongPromptError": "model", "ToolError": "tool", "InfraError": "setup"}
"""Whose failure an error of verifiers is, by the name of the class or of its nearest parent."""


class LoadedEnvironment(Loaded):
    """One such environment, by whatever class it is: single or multi turn, with tools, stateful, a group of others."""

    def __init__(self, named: Named, args: Mapping[str, Any], options: VerifiersOptions) -> None:
        import verifiers

        self._named = named
        self._columns = options.columns
        self._env: Any = verifiers.load_environment(named.package, **args)
        noting(self._env)
        self.scores_groups = bool(self._env.requires_group_rollouts)
        other = options.split == "eval" or (self._env.dataset is None and self._env.dataset_source is None)
        self._dataset: Any = self._env.get_eval_dataset() if other else self._env.get_dataset()
        self._states: dict[tuple[str, int], Any] = {}

    async def __aenter__(self) -> Self:
        from openai import DefaultAsyncHttpxClient

        # one pool of connections for all rollouts: making one costs more than a rollout may
        self._http = DefaultAsyncHttpxClient(timeout=None, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._env._teardown()
        await self._http.aclose()

    def tasks(self) -> Iterator[Task]:
        """The rows of its dataset. The request of each shows the prompt and the tools; the loop makes its own."""
        ids = TaskIds()
        for given in self._dataset:
            row = plain(given)
            messages = row["prompt"]
            if isinstance(messages, str):
                messages = [{"role": "user", "content": messages}]
            request = responses_request({"messages": messages, "tools": _tools(row, self._env)})
            ident = ids.of({name: value for name, value in row.items() if name != "example_id"})
            yield Task({"task_id": ident, "responses_create_params": request, ROW: row})

    async def run(self, task: Task, repeat: int, endpoint: Endpoint) -> CompletedTask:
        """One rollout. Rewards of a group come later, see `score_group`."""
        row = task.get(ROW)
        if not isinstance(row, Mapping) or "prompt" not in row:
            raise TaskFailed(f"the task has no row of {self._named} in its field `{ROW}`", phase="setup")
        sampling = {**deepcopy(self._env.sampling_args), **sampling_of(task)}
        play = self._env.rollout if self.scores_groups else self._env._run_rollout_state
        with noted() as failures:
            try:
                state = await play(deepcopy(dict(row)), self._client(endpoint), "policy", sampling)
            except Exception as error:
                raise _failed(error, "agent") from error
        if state.get("error") is not None:
            raise _failed(state["error"], "agent")
        if failures:  # verifiers logs them and goes on with 0.0
            raise TaskFailed(failures[0], phase="verify")
        if self.scores_groups:
            self._keep((task.task_id, repeat), state)
            return CompletedTask(
                Verdict(0.0, info={**self._info(state), "scored": "with its group"}), self._stop(state)
            )
        return CompletedTask(self._verdict(state), self._stop(state))

    async def score_group(self, rollouts: Sequence[Rollout]) -> Sequence[Verdict]:
        """What the rubric says of them together. It wants the states, which are kept where the loops ran."""
        keys = [(one.task_id, one.repeat) for one in rollouts]
        if any(key not in self._states for key in keys):
            raise SessionError(
                f"the states of {sum(key not in self._states for key in keys)} of {len(keys)} rollouts are not here: "
                f"the rubric of {self._named} scores a group in the process that has run all of it",
                hint="run it with one worker, and the whole group again",
            )
        states = [self._states.pop(key) for key in keys]
        with noted() as failures:
            await self._env.rubric.score_group(states)
            for state in states:
                await self._env.rubric.cleanup(state)
        if failures:
            raise SessionError(failures[0])
        return [self._verdict(state) for state in states]

    def _client(self, endpoint: Endpoint) -> Any:
        from openai import AsyncOpenAI
        from verifiers.clients import OpenAIChatCompletionsClient

        return OpenAIChatCompletionsClient(
            AsyncOpenAI(base_url=endpoint.base_url, api_key=endpoint.token, http_client=self._http, max_retries=0)
        )

    def _keep(self, key: tuple[str, int], state: Any) -> None:
        self._states[key] = state
        if len(self._states) > STATES:
            del self._states[next(iter(self._states))]

    def _verdict(self, state: Any) -> Verdict:
        metrics = state.get("metrics") or {}
        numbers = {str(name): number(value, f"the metric {name}") for name, value in metrics.items()}
        weights = _weights(self._env.rubric)
        rewarded = {name: value for name, value in numbers.items() if weights.get(name, 0.0)}
        others = {name: value for name, value in numbers.items() if name not in rewarded}
        return Verdict(number(state.get("reward"), "the reward"), rewarded, self._info(state), metrics=others)

    def _info(self, state: Any) -> dict[str, Any]:
        info: dict[str, Any] = {"stop_condition": state.get("stop_condition")}
        kept = {name: plain(state[name]) for name in self._columns if name in state}
        return {**info, "state": kept} if kept else info

    def _stop(self, state: Any) -> str:
        """Why it stopped, in gym's word where there is one; that a single turn was the only one is no cut."""
        condition = str(state.get("stop_condition") or "completed")
        if (steps := state.get("trajectory")) and steps[-1].get("is_truncated"):
            return "max_output_tokens"
        if condition == "max_turns_reached" and getattr(self._env, "max_turns", 0) == 1:
            return "completed"
        return _TRUNCATED.get(condition, condition)


def _weights(rubric: Any) -> dict[str, float]:
    """What each function of a rubric counts, those of a group of rubrics among them."""
    found: dict[str, float] = {}
    for one in (rubric, *getattr(rubric, "rubrics", ())):
        for function, weight in zip(one.funcs, one.weights, strict=False):
            found[getattr(function, "__name__", repr(function))] = weight
    return found


def _tools(row: Mapping[str, Any], env: Any) -> list[dict[str, Any]]:
    info = row.get("info")
    given = info.get("tool_defs") if isinstance(info, Mapping) else None
    tools = [plain(tool) for tool in given or env.tool_defs or ()]
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
