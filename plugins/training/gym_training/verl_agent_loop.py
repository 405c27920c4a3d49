"""verl's agent loop on an open gym: the class that a configuration of verl names.

    # agent_loops.yaml, for actor_rollout_ref.rollout.agent.agent_loop_config_path
    - name: gym
      _target_: gym_training.verl_agent_loop.GymAgentLoop
      env: stateful_counter
      concurrency: 256

Nothing else of gym imports this module, since it imports verl.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from omegaconf import OmegaConf  # type: ignore[import-not-found]
from verl.experimental.agent_loop.agent_loop import (  # type: ignore[import-not-found]
    AgentLoopBase,
    AgentLoopMetrics,
    AgentLoopOutput,
)
from verl.experimental.agent_loop.tool_parser import ToolParser  # type: ignore[import-not-found]
from verl.tools.schemas import OpenAIFunctionToolSchema  # type: ignore[import-not-found]

import gym_core
from gym_core import Group, Gym, Sampling, Task, UsageError
from gym_training.verl import Found, Parse, VerlPolicy, verl_outputs, verl_sampling, verl_task

_log = logging.getLogger(__name__)
_OWN_BASELINE = ("gae",)
"""Estimators of advantages that compare no rollout with others of its task."""


class GymAgentLoop(AgentLoopBase):  # type: ignore[misc]
    """Runs a rollout of gym with the model that verl trains, and returns it as verl's `AgentLoopOutput`.

    `settings`: keywords of `gym_core.open`, from the configuration that has this `name`; `model` names other roles than
    the policy's. One gym is open in each worker of verl. Rows of the data set are those of `to_prompts`:
    `extra_info.task` is the task. The rollouts that verl asks of one prompt are a group, scored together where the
    environment does that.

    A rollout that failed is no output, which verl's trainer leaves out of the batch and of the group's mean; where only
    one of a group is left, it goes too, since nothing is there to compare it with. verl's first trainer, which has no
    way to leave one out, gets an error instead.
    """

    _gyms: ClassVar[dict[tuple[Any, ...], _SharedGym]] = {}

    def __init__(self, *, name: str = "", tools: Any = None, **settings: Any) -> None:
        own = {key: settings.pop(key) for key in [*settings] if key in _OWN}
        super().__init__(**own)
        self._settings = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in settings.items()
        }

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> Any:
        """A rollout of the row's task: a list of outputs, or for verl's first trainer one output.

        Raises what `gym.group` raises, `InputError` for a row without a task, and `UsageError` where a rollout cannot
        be left out.
        """
        lists = "session_id" in row  # said by the trainer that takes several outputs of a rollout, or none
        task, step = verl_task(row.get("extra_info")), int(row.get("global_steps") or 0)
        gym = self._gym()
        group, place = await gym.group(str(row.get("uid") or id(row)), task, verl_sampling(sampling_params))
        outputs = verl_outputs(
            group,
            prompt_length=self.rollout_config.prompt_length,
            response_length=self.rollout_config.response_length,
            step=step,
        )
        found, rollout = outputs[place], group.rollouts[place]
        if not found:
            _log.warning("gym: %s/%s is left out: %s", rollout.task_id, rollout.repeat, _why(rollout))
        elif len(group) > 1 and sum(map(bool, outputs)) < 2 and self._compares:
            _log.warning("gym: %s/%s is left out, as the last of its group", rollout.task_id, rollout.repeat)
            found = []
        made = [AgentLoopOutput(**{**one, "metrics": AgentLoopMetrics(**one["metrics"])}) for one in found]
        if lists:
            return made
        if not made:
            raise UsageError(
                f"the rollout {rollout.task_id}/{rollout.repeat} has nothing to train: {_why(rollout)}",
                hint="trainer.use_v1=true leaves such rollouts out",
            )
        return max(made, key=lambda output: sum(output.response_mask))

    @property
    def _compares(self) -> bool:
        return str(self.config.algorithm.adv_estimator) not in _OWN_BASELINE

    def _gym(self) -> _SharedGym:
        """The gym of this worker, opened for its first rollout."""
        loop = asyncio.get_running_loop()
        key = (loop, self.server_manager, json.dumps(self._settings, sort_keys=True, default=str))
        if key not in self._gyms:
            parser = ToolParser.get_tool_parser(self.rollout_config.multi_turn.format, self.tokenizer)
            policy = VerlPolicy(
                self.server_manager,
                self.continuous_token_builder,
                self.tokenizer,
                _parsing(parser),
                prompt_length=self.rollout_config.prompt_length,
                response_length=self.rollout_config.response_length,
                stop_token_ids=parser.stop_token_ids,
            )
            self._gyms[key] = _SharedGym(policy, self._settings)
        return self._gyms[key]

    @classmethod
    async def close(cls) -> None:
        """Close the gyms of this process that were opened in the running event loop."""
        for key in [key for key in cls._gyms if key[0] is asyncio.get_running_loop()]:
            await cls._gyms.pop(key).close()


_OWN = frozenset(
    {"trainer_config", "server_manager", "tokenizer", "processor", "dataset_cls", "data_config", "hf_model_type"}
)
"""What verl gives every agent loop."""


class _SharedGym:
    """An open gym, whose rollouts are asked for one by one and run as groups."""

    def __init__(self, policy: VerlPolicy, settings: Mapping[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        self._policy = policy
        self._groups: dict[str, _Asked] = {}
        self._opened: asyncio.Future[Gym] = loop.create_future()
        self._closing = asyncio.Event()
        self._holding = loop.create_task(self._hold({**settings}))

    async def group(self, uid: str, task: Task, sampling: Sampling) -> tuple[Group, int]:
        """The group of a prompt, and which of its rollouts is the caller's: those that ask in one moment are one."""
        asked = self._groups.get(uid)
        if asked is None:
            asked = self._groups[uid] = _Asked()
            asked.making = asyncio.create_task(self._make(uid, asked, task, sampling))
        place, asked.size = asked.size, asked.size + 1
        try:
            return await asyncio.shield(asked.making), place
        except asyncio.CancelledError:
            asked.left += 1
            if asked.left == asked.size:
                asked.making.cancel()
            raise

    async def _make(self, uid: str, asked: _Asked, task: Task, sampling: Sampling) -> Group:
        # verl starts the rollouts of a prompt without a pause: all of them have asked before this task begins
        del self._groups[uid]
        gym = await asyncio.shield(self._opened)
        group = await gym.group(task, asked.size, sampling=sampling)
        self._policy.forget(group.rollouts)
        return group

    async def _hold(self, settings: dict[str, Any]) -> None:
        try:
            others = settings.pop("model", None) or {}
            async with gym_core.open(model={**others, "policy": self._policy}, **settings) as gym:
                self._opened.set_result(gym)
                await self._closing.wait()
        except Exception as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def close(self) -> None:
        """End what is under way, and close what is open."""
        self._closing.set()
        await self._holding


class _Asked:
    """How many rollouts of a prompt were asked for, and how many of those no longer wait."""

    making: asyncio.Task[Group]

    def __init__(self) -> None:
        self.size = self.left = 0


def _parsing(parser: Any) -> Parse:
    async def parse(ids: list[int], tools: list[dict[str, Any]]) -> Found:
        text, calls = await parser.extract_tool_calls(ids, _schemas(tools))
        return text or "", [(call.name, call.arguments) for call in calls]

    return parse


def _schemas(tools: list[dict[str, Any]]) -> list[Any] | None:
    """The tools in verl's form, by which some parsers tell numbers from text; None where it cannot say them."""
    try:
        return [OpenAIFunctionToolSchema.model_validate(tool) for tool in tools]
    except ValueError:
        return None


def _why(rollout: gym_core.Rollout) -> str:
    if rollout.reward is not None:
        return "no sequence of it fits data.max_prompt_length"
    return str((rollout.error or {}).get("message") or rollout.status.value)
