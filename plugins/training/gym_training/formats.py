"""The formats of `gym export` for trainers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from itertools import starmap
from typing import Any, ClassVar, Generic

from pydantic import Field
from typing_extensions import TypeVar

from gym_core import Options, Rollout, UsageError
from gym_core.spi import Column, Exporter, ExportRequest, Json
from gym_training.messages import MESSAGES, TOOLS
from gym_training.statuses import TREATMENTS
from gym_training.supervised import to_kto, to_preference, to_prompts, to_sft
from gym_training.tokens import to_openenv, to_prime_rl, tokens_row, trl_row, verl_row, written_samples
from gym_training.verifiers import to_verifiers

Rows = Iterator[Mapping[str, Any]]
_KEY: Mapping[str, Column] = {"task_id": str, "repeat": int}
OptionsT = TypeVar("OptionsT", bound=Options, default=Options)


class Format(Exporter[OptionsT], Generic[OptionsT]):
    """A format whose columns are always the same."""

    table: ClassVar[Mapping[str, Column] | None] = None

    def columns(self, rollouts: Iterable[Rollout], request: ExportRequest[OptionsT]) -> Mapping[str, Column] | None:
        """The columns of a table."""
        return self.table


class Sft(Format):
    """Examples to imitate: `messages`, with calls whose arguments are objects, and `tools`.

    For TRL's SFTTrainer, verl's multi-turn SFT, and whatever applies a chat template. `--select` and `--best` say which
    rollouts are worth it. In Parquet, arguments and tools are JSON, which Hugging Face's datasets read as objects.
    """

    table = {**_KEY, "messages": MESSAGES, "reward": float, "tools": TOOLS}

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One row for each rollout."""
        return to_sft(rollouts, request.shared)


class Preference(Format):
    """Pairs of rollouts of a task: `prompt`, `chosen` and `rejected`, and `tools`.

    For TRL's DPOTrainer and its like. `--pairs K` says how many of each task; 1 without it.
    """

    in_pairs = True
    table = {
        **_KEY,
        "prompt": MESSAGES,
        "chosen": MESSAGES,
        "rejected": MESSAGES,
        "chosen_reward": float,
        "rejected_reward": float,
        "tools": TOOLS,
    }

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One row for each pair."""
        one_by_one = iter(rollouts)
        return to_preference(zip(one_by_one, one_by_one, strict=True), request.shared)


class KtoOptions(Options):
    """`-O threshold=0.5`."""

    threshold: float = Field(0.5, description="A rollout with this reward or more is labelled as desired.")


class Kto(Format[KtoOptions]):
    """Rollouts with a label: `prompt`, `completion`, `label`, and `tools`. For TRL's KTOTrainer."""

    table = {**_KEY, "prompt": MESSAGES, "completion": MESSAGES, "label": bool, "tools": TOOLS}

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest[KtoOptions]) -> Rows:
        """One row for each rollout."""
        return to_kto(rollouts, request.shared, threshold=request.options.threshold)


class PromptsOptions(Options):
    """`-O data_source=NAME`, and others."""

    data_source: str = Field("", description="What the data set is called; by default the environment.")
    ability: str = Field("", description="What stands in `ability`.")
    ground_truth: str = Field("", description="A field of the task for `reward_model`; by default the task's id.")


class Prompts(Format[PromptsOptions]):
    """The tasks of a run, each once: `data_source, prompt, ability, reward_model, extra_info`.

    For verl's RLHFDataset, and for TRL, which reads `prompt`.
    """

    keeps_failures = True
    table = {
        "data_source": str,
        "prompt": MESSAGES,
        "ability": str,
        "reward_model": {"style": str, "ground_truth": str},
        "extra_info": {"split": str, "index": int, "task_id": str, "task": str},
    }

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest[PromptsOptions]) -> Rows:
        """One row for each task."""
        return to_prompts(rollouts, request.shared, **request.options.model_dump())


class TokenFormat(Format):
    """A format of exact tokens: without any, nothing is written and it is said why."""

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """The rows of all sequences. Raises `UsageError` where there are rollouts, and none has tokens."""
        seen = _Counted(rollouts)
        for row in self.of(seen, request):
            seen.given += 1
            yield row
        if seen.without:
            request.leave_out("without exact tokens", seen.without)
        if seen.count and not seen.given:
            unusable = f"; of those that it has: {seen.problem}" if seen.problem else ""
            raise UsageError(
                f"none of the {seen.count:,} rollouts has exact tokens{unusable}",
                hint="collect them with -M tokens=true from a server that sends them",
            )

    @abstractmethod
    def of(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """The rows."""


class _Counted:
    """Rollouts, how many there were, and how many of them gave no row: all rows of one come before the next is asked.

    `given`: rows so far. `problem`: what was wrong with the tokens of the first that gave none, as far as it has any.
    """

    def __init__(self, rollouts: Iterable[Rollout]) -> None:
        self._rollouts = rollouts
        self.count = self.given = self.without = 0
        self.problem = ""

    def __iter__(self) -> Iterator[Rollout]:
        for rollout in self._rollouts:
            self.count += 1
            before = self.given
            yield rollout
            if self.given == before:
                self.without += 1
                self.problem = self.problem or _problem(rollout)


def _problem(rollout: Rollout) -> str:
    calls = rollout.trajectory.model_calls
    return next((call.tokens.problem for call in calls if call.tokens is not None and call.tokens.problem), "")


class TokensFormat(TokenFormat):
    """Sequences of exact tokens: `ids, mask, logprobs` of one length, `reward`, and what they belong to.

    A rollout whose tokens were encoded anew somewhere is several sequences. One that failed has null for its reward.
    """

    keeps_failures = TREATMENTS["tokens"].failure.is_kept
    table = {
        **_KEY,
        "sequence": int,
        "actor": str,
        "status": str,
        "reward": float,
        "prompt_length": int,
        "ids": [int],
        "mask": [int],
        "logprobs": [float],
        "versions": [str],
    }

    def of(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One row for each sequence."""
        return starmap(tokens_row, written_samples(rollouts, "tokens"))


class Trl(TokenFormat):
    """Completions as a `rollout_func` of TRL's GRPOTrainer says them: `prompt_ids, completion_ids, logprobs, env_mask`.

    `reward` is null for a rollout that failed, which TRL leaves out of the loss and of the baseline.
    """

    keeps_failures = TREATMENTS["trl"].failure.is_kept
    table = {
        "prompt_ids": [int],
        "completion_ids": [int],
        "logprobs": [float],
        "env_mask": [int],
        "reward": float,
        **_KEY,
        "sequence": int,
        "status": str,
    }

    def of(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One row for each sequence."""
        return starmap(trl_row, written_samples(rollouts, "trl"))


class Verl(TokenFormat):
    """The fields of verl's `AgentLoopOutput`. Rollouts that failed are left out: verl has no word for them."""

    keeps_failures = TREATMENTS["verl"].failure.is_kept
    table = {
        "prompt_ids": [int],
        "response_ids": [int],
        "response_mask": [int],
        "response_logprobs": [float],
        "reward_score": float,
        "num_turns": int,
        "metrics": {"generate_sequences": float, "tool_calls": float, "compute_score": float},
        "extra_fields": {**_KEY, "sequence": int, "actor": str, "status": str, "versions": [str]},
    }

    def of(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One row for each sequence."""
        return starmap(verl_row, written_samples(rollouts, "verl"))


class PrimeRl(TokenFormat):
    """The fields of prime-rl's `TrainingSample`, with `reward`, `task_id` and `repeat` besides."""

    untested = "prime-rl has no released package whose class could be run"
    keeps_failures = TREATMENTS["prime-rl"].failure.is_kept
    table = {
        "token_ids": [int],
        "mask": [bool],
        "logprobs": [float],
        "temperatures": [float],
        "env_name": str,
        "reward": float,
        **_KEY,
    }

    def of(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One row for each sequence."""
        return to_prime_rl(rollouts, request.shared)


class Verifiers(Exporter):
    """Traces of verifiers' version 1: a graph of messages with the tokens that each added, for `WireTrace`.

    A rollout that failed has its error, and no reward. Traces without tokens are traces of an evaluation.
    """

    keeps_failures = TREATMENTS["verifiers"].failure.is_kept

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One trace for each rollout."""
        return to_verifiers(rollouts, request.shared)


class OpenEnv(TokenFormat):
    """OpenEnv's `TrainingTrace`: each stretch that was sampled as a turn, with all that the model had read."""

    keeps_failures = TREATMENTS["openenv"].failure.is_kept
    table = {
        "schema_version": int,
        "turns": [
            {
                "node_id": str,
                "prompt_token_ids": [int],
                "completion_token_ids": [int],
                "per_token_logps": [float],
                "loss_mask": [int],
                "metadata": Json,
            }
        ],
    }

    def of(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Rows:
        """One trace for each rollout with tokens."""
        return to_openenv(rollouts)


FORMATS: Mapping[str, Exporter[Any]] = {
    "sft": Sft(),
    "preference": Preference(),
    "kto": Kto(),
    "prompts": Prompts(),
    "tokens": TokensFormat(),
    "trl": Trl(),
    "verl": Verl(),
    "prime-rl": PrimeRl(),
    "verifiers": Verifiers(),
    "openenv": OpenEnv(),
}
