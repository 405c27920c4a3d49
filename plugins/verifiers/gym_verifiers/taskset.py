"""Tasksets of verifiers 0.4, with the environment that plays them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from gym_chat import responses_request
from gym_core import CompletedTask, Endpoint, Task, TaskFailed, Verdict
from gym_core.spi import UniqueIds
from gym_verifiers.authors import by_its_author
from gym_verifiers.loaded import ROW, Loaded, number, plain, sampling_of

if TYPE_CHECKING:
    from gym_verifiers.names import Named

_PHASES = {
    "ProviderError": "model",
    "ToolsetError": "tool",
    "SandboxError": "setup",
    "TunnelError": "setup",
    "InterceptionError": "setup",
}
"""Whose failure an error is, by the boundary that verifiers says it has crossed; the rest are the agent's."""


class LoadedTaskset(Loaded):
    """A taskset and its environment, its agents' harnesses as they say."""

    def __init__(self, named: Named, args: Mapping[str, Any], env: Mapping[str, Any]) -> None:
        from verifiers.v1.utils.loaders import load_environment, resolve_env_config

        config = resolve_env_config({**env, "taskset": {**args, "id": named.ident}})
        self._named = named
        self._env: Any = load_environment(config)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # what it starts may leave with sys.exit: where a service wants a login, say
        with by_its_author(self._named):
            await self._stack.enter_async_context(self._env.serving())
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def tasks(self) -> Iterator[Task]:
        """Its tasks, each under the key by which verifiers knows it again."""
        ids = UniqueIds()
        for task in self._env.taskset:
            row = task.data.model_dump(mode="json")  # null may be what a field has to be
            prompt = row.get("prompt")
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt or ())
            if system := row.get("system_prompt"):
                messages.insert(0, {"role": "system", "content": system})
            request = responses_request({"messages": messages or [{"role": "user", "content": ""}]})
            ident = ids.of({name: value for name, value in row.items() if name != "idx"})
            yield Task({"task_id": ident, "responses_create_params": request, ROW: row})

    async def run(self, task: Task, repeat: int, endpoint: Endpoint) -> CompletedTask:
        """One episode. The verdict is the main agent's, the one whose trace came first among those that train."""
        row = task.get(ROW)
        if not isinstance(row, Mapping):
            raise TaskFailed(f"the task has no data of {self._named} in its field `{ROW}`", phase="setup")
        # verifiers reads keys from variables only: one for this rollout, whose token nothing else opens
        variable = f"GYM_VERIFIERS_{secrets.token_hex(8)}"
        os.environ[variable] = endpoint.token
        try:
            episode = await self._play(row, task, endpoint.base_url, variable)
        finally:
            del os.environ[variable]
        for errors in (episode.errors, *(trace.errors for trace in episode.traces if not trace.ok)):
            if errors:
                raise _failed(errors[-1])
        if not episode.ok or not episode.traces:
            raise TaskFailed("the episode did not come to its end", phase="agent")
        main = next((trace for trace in episode.traces if trace.agent.trainable), episode.traces[0])
        if getattr(main, "is_timeout", False) and main.timing.scoring.end == 0.0:
            raise TaskFailed("its scoring ran out of time", phase="verify")
        return CompletedTask(_verdict(main, episode.traces), _stop(main))

    async def _play(self, row: Mapping[str, Any], task: Task, base_url: str, variable: str) -> Any:
        from verifiers.v1.clients import ModelContext
        from verifiers.v1.configs.client import EvalClientConfig
        from verifiers.v1.types import SamplingConfig

        kind = type(self._env.taskset).task_type()
        try:
            played = kind(kind.data_type().model_validate(dict(row)), self._env.config.taskset.task)
        except ValueError as error:
            raise TaskFailed(f"the task does not fit {self._named}: {error}", phase="setup") from error
        client = EvalClientConfig(base_url=base_url, api_key_var=variable)
        context = ModelContext(model="policy", client=client, sampling=SamplingConfig.model_validate(sampling_of(task)))
        (slot,) = self._env.slots(played)
        return await self._env.run_slot(slot, context)


def _verdict(main: Any, traces: list[Any]) -> Verdict:
    components = {name: number(one.score, f"the reward {name}") for name, one in main.rewards.items()}
    metrics = {name: number(value, f"the metric {name}") for name, value in main.metrics.items()}
    info: dict[str, Any] = {"stop_condition": main.stop_condition}
    if main.state is not None and (state := plain(main.state)):
        info["state"] = state
    names = UniqueIds()  # several tries of one agent are told apart
    rewards = {names.numbered(trace.agent.name): number(trace.reward, "the reward") for trace in traces}
    return Verdict(
        number(main.reward, "the reward"), components, info, rewards if len(traces) > 1 else {}, metrics=metrics
    )


def _stop(trace: Any) -> str:
    if trace.is_truncated:
        return "max_output_tokens"
    return str(trace.stop_condition or "completed")


def _failed(error: Any) -> TaskFailed:
    phase = _PHASES.get(error.type, "agent")
    if error.type == "TaskError":
        phase = "verify" if "scoring" in error.message else "setup"
    return TaskFailed(" ".join(f"{error.type}: {error.message}".split())[:500], phase=phase)
