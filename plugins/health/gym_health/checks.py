"""What is looked for, one class each: rollouts are shown to it one after the other, and it keeps no more than it needs.

A check of single rollouts counts those that look wrong and keeps the first few. A check of the whole run folds all of
them and speaks at the end. None of them keeps what grows with the run beyond a bound of its own.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from typing import ClassVar

from gym_core import Status, StopReason, ToolCall, encode_json
from gym_core.spi import REQUEST_FIELD, RESULT_FIELDS, places_of
from gym_health.finding import Finding, Place, Seen, is_said
from gym_results.reading import ResultsFile

ENOUGH = 20
"""So many rollouts, before anything is said of all of them."""
SAME_CALLS = 4
"""So often the same call in a row, with the same output, is a loop."""
RUNAWAY, RUNAWAY_OF_LONG = 10, 3
"""So many times the median of the tokens out, and the 90th percentile, is far too long."""
DONE = frozenset({StopReason.COMPLETED, StopReason.EMPTY, StopReason.REASONING_ONLY})
"""Stop reasons that say that an agent had come to its end."""
CALLS_OF_A_TOOL = 10
ERRORS_ALIKE = 0.9
"""A tool called so often of which such a share of calls fails alike never works."""
ANSWERS_ALIKE = 0.95
FOLLOWS_LENGTH = 0.6
"""The correlation between reward and length from which on length may be what is rewarded."""
TRACKED = 10_000
"""So many answers are told apart, per check."""
TOOLS = 200
"""So many tools are told apart."""
BY_CHANCE = 0.01
"""So likely it may be by chance that all of some group have the least, of all groups that are looked at."""
VALUES, FIELDS = 50, 40
"""A field with more values is none by which tasks fall into groups; so many fields are looked at."""
LONGEST = 100
"""A longer text is no value by which tasks fall into groups."""
MEASURES = 16
"""So much is measured, the reward among it."""
SEVERAL_TASKS = 64
"""So many tasks of a group are told apart: more say no more."""
NOT_OF_THE_TASK = frozenset({"task_id", REQUEST_FIELD, *RESULT_FIELDS})


class Check(ABC):
    """One thing that may look wrong. `name`: what `--ignore` takes; `text`: what it means, for the documentation."""

    name: ClassVar[str]
    text: ClassVar[str]

    def __init__(self, examples: int) -> None:
        self.examples = examples
        self.looked = 0

    def look(self, seen: Seen) -> None:
        """Take a rollout."""
        self.looked += 1
        self.take(seen)

    @abstractmethod
    def take(self, seen: Seen) -> None:
        """Look at a rollout."""

    @abstractmethod
    def findings(self) -> Iterator[Finding]:
        """What was found, once all were looked at."""


class EachCheck(Check):
    """Looks at every rollout for itself."""

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self.count = 0
        self.places: list[Place] = []

    def take(self, seen: Seen) -> None:
        """Count it, where something is wrong with it."""
        wrong = self.wrong(seen)
        if wrong is not None:
            self.count += 1
            if len(self.places) < self.examples:
                self.places.append(seen.place(wrong))

    @abstractmethod
    def wrong(self, seen: Seen) -> str | None:
        """What is wrong with a rollout; None for nothing."""

    def findings(self) -> Iterator[Finding]:
        """One for all of them."""
        if self.count:
            yield Finding(self.name, self.text, self.count, self.looked, tuple(self.places))


class HollowTurn(EachCheck):
    """A model call that gave nothing."""

    name = "hollow-turn"
    text = "a model said nothing and called nothing in a turn: no output, an empty message, or reasoning alone"

    def wrong(self, seen: Seen) -> str | None:
        """The first such call."""
        calls = seen.trajectory.model_calls
        for number, call in enumerate(calls, 1):
            if not any(is_said(seen.items[place]) for place in places_of(call.gave)):
                who = "" if call.actor == "policy" else f" of {call.actor}"
                return f"model call {number} of {len(calls)}{who}"
        return None


class EmptyAnswer(EachCheck):
    """The agent is done, and there is no answer."""

    name = "empty-answer"
    text = "the agent was done, and the final answer is empty"

    def wrong(self, seen: Seen) -> str | None:
        """What it was given for it."""
        if seen.rollout.stop_reason not in DONE or seen.answer.strip() or not seen.trajectory.model_calls:
            return None
        last = seen.trajectory.items[-1] if seen.trajectory.items else None
        if last is not None and last.get("type", "message") != "message" and is_said(last):
            return None  # it ended with what a tool answered
        if last is not None and last.get("role") == "assistant" and is_said(last):
            return None  # a refusal, a picture
        return f"reward {seen.reward:g}"


class Loop(EachCheck):
    """The same call, over and over, to no effect."""

    name = "loop"
    text = f"the same tool call at least {SAME_CALLS} times in a row, with the same output"

    def wrong(self, seen: Seen) -> str | None:
        """The longest loop."""
        longest, name = 0, ""
        for key, calls in groupby(_made(seen.trajectory.tool_calls), key=_sameness):
            count = sum(1 for _ in calls)
            if count > longest:
                longest, name = count, key[1]
        return f"{name}, {longest} times" if longest >= SAME_CALLS else None


class CutAndRewarded(EachCheck):
    """Truncated, and worth something all the same."""

    name = "cut-and-rewarded"
    text = "the rollout was cut short, and rewarded all the same"

    def wrong(self, seen: Seen) -> str | None:
        """What cut it, and what it was given."""
        if seen.rollout.status is not Status.TRUNCATED or seen.reward <= 0:
            return None
        return f"{seen.rollout.stop_reason}, reward {seen.reward:g}"


class RunawayLength(Check):
    """Far longer than the others."""

    name = "runaway-length"
    text = f"more than {RUNAWAY} times the median of the tokens out, and {RUNAWAY_OF_LONG} times the 90th percentile"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._lengths = Histogram()
        self._longest: list[tuple[int, int, Place]] = []

    def take(self, seen: Seen) -> None:
        """Keep the longest."""
        tokens = seen.output_tokens
        self._lengths.add(tokens)
        if not tokens or not self.examples:
            return
        if len(self._longest) >= self.examples and tokens <= self._longest[0][0]:
            return
        entry = tokens, -seen.number, seen.place(f"{tokens:,} tokens out")
        (heapq.heappush if len(self._longest) < self.examples else heapq.heapreplace)(self._longest, entry)

    def findings(self) -> Iterator[Finding]:
        """Those of the longest that are far too long."""
        if self.looked < ENOUGH:
            return
        median = self._lengths.quantile(0.5)
        bound = max(RUNAWAY * median, RUNAWAY_OF_LONG * self._lengths.quantile(0.9))
        count = self._lengths.above(bound)
        if median > 0 and count:
            places = tuple(place for tokens, _, place in sorted(self._longest, reverse=True) if tokens > bound)
            yield Finding(self.name, f"{self.text} (some {median:,.0f})", count, self.looked, places)


class SameReward(Check):
    """A verifier that gives everything the same."""

    name = "same-reward"
    text = "the verifier never varies: every rollout has the reward {}, though answers differ"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._rewards: set[float] = set()
        self._answers: dict[bytes, Place] = {}
        self._tasks: set[str] = set()

    def take(self, seen: Seen) -> None:
        """Note its reward, and up to a few different answers."""
        if len(self._rewards) < 2:
            self._rewards.add(seen.reward)
            if len(self._answers) < max(2, self.examples):
                self._answers.setdefault(_digest(seen), seen.place())
            if len(self._tasks) < 2:
                self._tasks.add(seen.rollout.task_id)

    def findings(self) -> Iterator[Finding]:
        """Where there are several tasks and answers, and one reward."""
        several = min(len(self._tasks), len(self._answers)) > 1
        if self.looked >= ENOUGH and several and len(self._rewards) == 1:
            (reward,) = self._rewards
            places = tuple(self._answers.values())[: self.examples]
            yield Finding(self.name, self.text.format(f"{reward:g}"), self.looked, self.looked, places)


class SameAnswer(Check):
    """One answer to everything."""

    name = "same-answer"
    text = f"the same answer in at least {ANSWERS_ALIKE:.0%} of all rollouts, to several tasks"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._answers: dict[bytes, int] = {}
        self._places: dict[bytes, list[Place]] = {}
        self._tasks: set[str] = set()

    def take(self, seen: Seen) -> None:
        """Count its answer, as long as there are not too many of them."""
        if len(self._tasks) < 2:
            self._tasks.add(seen.rollout.task_id)
        digest = _digest(seen)
        count = self._answers.get(digest, 0)
        if count or len(self._answers) < TRACKED:
            self._answers[digest] = count + 1
            if count < self.examples and len(self._places) <= 1 / (1 - ANSWERS_ALIKE):
                self._places.setdefault(digest, []).append(seen.place(seen.answer.strip()))

    def findings(self) -> Iterator[Finding]:
        """Where nearly all say the same."""
        digest = max(self._answers, key=self._answers.__getitem__, default=None)
        if digest is None or self.looked < ENOUGH or len(self._tasks) < 2:
            return
        count = self._answers[digest]
        if count >= ANSWERS_ALIKE * self.looked:
            yield Finding(self.name, self.text, count, self.looked, tuple(self._places.get(digest, ())))


class MoodyVerifier(Check):
    """The same answer to the same task, and another reward."""

    name = "moody-verifier"
    text = f"the same answer to the same task had different rewards (of the first {TRACKED:,} answers)"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._rewards: dict[bytes, tuple[float, int]] = {}
        self._count = 0
        self._places: list[Place] = []

    def take(self, seen: Seen) -> None:
        """Compare with the first rollout of the task that said and did the same."""
        key = _digest(seen, of_task=True)
        known = self._rewards.get(key)
        if known is None:
            if len(self._rewards) < TRACKED:
                self._rewards[key] = seen.reward, seen.number
            return
        reward, number = known
        if reward != seen.reward:
            self._count += 1
            if len(self._places) < self.examples:
                self._places.append(seen.place(f"reward {seen.reward:g}, and {reward:g} in number {number}"))

    def findings(self) -> Iterator[Finding]:
        """One for all of them."""
        if self._count:
            yield Finding(self.name, self.text, self._count, self.looked, tuple(self._places))


class ToolNeverWorks(Check):
    """Calls of a tool that fail, and always alike."""

    name = "tool-never-works"
    text = "nearly every call of {} fails alike: {}"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._calls: dict[str, int] = {}
        self._errors: dict[tuple[str, str], list[Place]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def take(self, seen: Seen) -> None:
        """Count calls and errors by tool."""
        found: dict[tuple[str, str], Place] = {}
        for call in _made(seen.trajectory.tool_calls):
            if call.name not in self._calls and len(self._calls) >= TOOLS:
                continue
            self._calls[call.name] = self._calls.get(call.name, 0) + 1
            if call.error is None:
                continue
            key = call.name, call.error
            self._counts[key] = self._counts.get(key, 0) + 1
            found.setdefault(key, seen.place(call.output or ""))
        for key, place in found.items():
            places = self._errors.setdefault(key, [])
            if len(places) < self.examples:
                places.append(place)

    def findings(self) -> Iterator[Finding]:
        """One for each such tool; calls are what is counted."""
        for (tool, kind), count in sorted(self._counts.items()):
            calls = self._calls[tool]
            if calls >= CALLS_OF_A_TOOL and count >= ERRORS_ALIKE * calls:
                places = tuple(self._errors[tool, kind])
                yield Finding(self.name, self.text.format(tool or "a tool without a name", kind), count, calls, places)


class Unanswered(Check):
    """Calls that nobody answered, of tools that answer otherwise: one that ends a rollout may have no answer at all."""

    name = "unanswered-call"
    text = "the agent was done, and a tool call was never answered"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._answering: set[str] = set()
        self._counts: dict[frozenset[str], int] = {}
        self._places: dict[frozenset[str], list[Place]] = {}

    def take(self, seen: Seen) -> None:
        """Count rollouts by the tools that did not answer."""
        calls = seen.trajectory.tool_calls
        if len(self._answering) < TOOLS:
            self._answering.update(call.name for call in calls if call.output is not None)
        open_ = [call.name for call in calls if call.output is None and call.error is None]
        if not open_ or seen.rollout.status is Status.TRUNCATED:
            return
        key = frozenset(open_[:TOOLS])
        if key not in self._counts and len(self._counts) >= TOOLS:
            return
        self._counts[key] = self._counts.get(key, 0) + 1
        places = self._places.setdefault(key, [])
        if len(places) < self.examples:
            places.append(seen.place(f"{open_[0]}, reward {seen.reward:g}"))

    def findings(self) -> Iterator[Finding]:
        """One for all of them."""
        found = [key for key in self._counts if key & self._answering]
        if found:
            count = sum(self._counts[key] for key in found)
            places = heapq.nsmallest(
                self.examples, (one for key in found for one in self._places[key]), key=lambda place: place.number
            )
            yield Finding(self.name, self.text, count, self.looked, tuple(places))


class NeverRight(Check):
    """Tasks, or all tasks with one value in a field, that get the least there is, while others do not.

    Measured are the reward, its components, and the reward of those answers that are what a field of their task says:
    where that is the right answer, a verifier that is inverted for some tasks gives it the least in those alone.
    """

    name = "never-right"
    text = "the {} is {:g} in all rollouts where {} is {}, and more in {:.0%} of the others"
    text_of_tasks = "tasks of which every rollout has the lowest reward, though most others do not"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._whole = Group()
        self._tasks: dict[str, Group] = {}
        self._fields: dict[str, dict[str, Group]] = {}

    def take(self, seen: Seen) -> None:
        """Fold it into the group of its task, and into those of its task's fields."""
        row = seen.rollout.row
        parts = row.get("reward_components")
        values = {"reward": seen.reward}
        if isinstance(parts, Mapping):
            values |= {f"component {name}": part for name, part in parts.items() if type(part) in (int, float)}
        answer = seen.answer.strip().casefold()
        groups = [self._whole]
        task = seen.rollout.task_id
        if task in self._tasks or len(self._tasks) < TRACKED:
            groups.append(self._tasks.setdefault(task, Group()))
        for name, value in row.items():
            if type(value) not in (str, bool, int) or name in NOT_OF_THE_TASK or len(str(value)) > LONGEST:
                continue
            if answer and str(value).strip().casefold() == answer:
                values[f"reward of answers that are their task's {name}"] = seen.reward
            if name in self._fields or len(self._fields) < FIELDS:
                known = self._fields.setdefault(name, {})
                if str(value) in known or len(known) <= VALUES:
                    groups.append(known.setdefault(str(value), Group()))
        for group in groups:
            group.add(values, seen, self.examples if group is not self._tasks.get(task) else min(self.examples, 1))

    def findings(self) -> Iterator[Finding]:
        """One for each such value of a field, and one for single tasks."""
        if self.looked < ENOUGH:
            return
        told_apart = {name: groups for name, groups in self._fields.items() if 1 < len(groups) <= VALUES}
        tried = len(self._whole.lowest) * sum(map(len, told_apart.values()))
        for name, groups in told_apart.items():
            for value, group in groups.items():
                # the repeats of a task fail together where it is hard: what counts is how many tasks there are
                tries = len(group.tasks)
                shares = ((what, self._share(group, what, tries, tried)) for what in self._whole.lowest)
                what, share = next(((what, share) for what, share in shares if share), ("", 0.0))
                if what:
                    own = group.lowest[what]
                    text = self.text.format(what, own.value, name, value, share)
                    yield Finding(self.name, text, own.count, self.looked, tuple(own.places))
        tasks = self._tasks.values()
        wrong = [group.lowest["reward"] for group in tasks if self._share(group, "reward", self.looked, len(tasks))]
        if wrong:
            places = tuple(place for own in wrong[: self.examples] for place in own.places)
            yield Finding(self.name, self.text_of_tasks, sum(own.count for own in wrong), self.looked, places)

    def _share(self, group: Group, what: str, tries: int, tried: int) -> float:
        """The share of the others that have more than the least, where all of a group have that; else 0.

        `tries`: how many of the group are independent of each other, at most. `tried`: how many such groups there are.
        """
        all_, own = self._whole.lowest[what], group.lowest.get(what)
        if own is None or own.value != all_.value or own.times != own.count or all_.count == own.count:
            return 0.0
        share = (all_.count - all_.times) / (all_.count - own.count)
        tries = min(tries, own.count)
        return share if tries > 1 and (1 - share) ** tries * tried <= BY_CHANCE else 0.0


class RewardFollowsLength(Check):
    """Longer is better, whatever it says."""

    name = "reward-follows-length"
    text = "rewards rise with the tokens out (correlation {:.2f}): it may be length that is rewarded"

    def __init__(self, examples: int) -> None:
        super().__init__(examples)
        self._pairs = Correlation()
        self._best: list[tuple[float, int, int, Place]] = []

    def take(self, seen: Seen) -> None:
        """Fold it, and keep the longest of the best."""
        if not seen.output_tokens:
            return
        self._pairs.add(math.log(seen.output_tokens), seen.reward)
        if self.examples:
            entry = seen.reward, seen.output_tokens, -seen.number, seen.place(
                f"{seen.output_tokens:,} tokens out, reward {seen.reward:g}"
            )  # fmt: skip
            (heapq.heappush if len(self._best) < self.examples else heapq.heappushpop)(self._best, entry)

    def findings(self) -> Iterator[Finding]:
        """Where the correlation is high."""
        value = self._pairs.value
        if self._pairs.count >= ENOUGH and value is not None and value >= FOLLOWS_LENGTH:
            places = tuple(entry[-1] for entry in sorted(self._best, reverse=True))
            yield Finding(self.name, self.text.format(value), self._pairs.count, self.looked, places)


CHECKS: Mapping[str, type[Check]] = {
    check.name: check
    for check in (
        HollowTurn, EmptyAnswer, Loop, CutAndRewarded, RunawayLength, SameReward, SameAnswer, MoodyVerifier,
        ToolNeverWorks, Unanswered, NeverRight, RewardFollowsLength,
    )
}  # fmt: skip
"""All checks by their names, in the order in which they are reported."""


def look_at(file: ResultsFile, names: Iterable[str] = CHECKS, examples: int = 5) -> tuple[int, list[Finding]]:
    """How many rollouts with a verdict there are, and what was found. One row after the other."""
    checks = [CHECKS[name](examples) for name in names]
    looked = 0
    for number, rollout in enumerate(file.rollouts(), 1):
        if rollout.reward is None:
            continue
        looked += 1
        seen = Seen.of(number, rollout, rollout.reward)
        for check in checks:
            check.look(seen)
    return looked, [finding for check in checks for finding in check.findings()]


class Histogram:
    """Counts by size, in buckets that grow by a tenth: its memory does not grow with what is counted."""

    GROWTH = math.log(1.1)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._total = 0

    def add(self, value: int) -> None:
        """Count one."""
        bucket = round(math.log(value) / self.GROWTH) if value > 0 else -1
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._total += 1

    def quantile(self, share: float) -> float:
        """The value that such a share does not exceed, to within 5 %."""
        left = self._total * share
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return self._value(bucket)
        return 0.0

    def above(self, bound: float) -> int:
        """How many exceed a value, to within a bucket."""
        return sum(count for bucket, count in self._counts.items() if self._value(bucket) > bound)

    def _value(self, bucket: int) -> float:
        return math.exp(bucket * self.GROWTH) if bucket >= 0 else 0.0


@dataclass(slots=True)
class Lowest:
    """The least of some values, the times it is there, how many values there are, and some rollouts that have it."""

    value: float
    times: int = 0
    count: int = 0
    places: list[Place] = field(default_factory=list)


class Group:
    """Rollouts that have something in common. `lowest`: by what is measured; `tasks`: the first `SEVERAL_TASKS`."""

    __slots__ = ("lowest", "tasks")

    def __init__(self) -> None:
        self.lowest: dict[str, Lowest] = {}
        self.tasks: set[str] = set()

    def add(self, values: Mapping[str, float], seen: Seen, examples: int) -> None:
        """Add one."""
        if len(self.tasks) < SEVERAL_TASKS:
            self.tasks.add(seen.rollout.task_id)
        for name, value in values.items():
            known = self.lowest.get(name)
            if known is None:
                if len(self.lowest) >= MEASURES:
                    continue
                known = self.lowest[name] = Lowest(value)
            elif value < known.value:
                known.value, known.times, known.places = value, 0, []
            known.count += 1
            if value == known.value:
                known.times += 1
                if len(known.places) < examples:
                    known.places.append(seen.place(f"reward {seen.reward:g}"))


class Correlation:
    """Pearson's correlation of pairs, as they come (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self._means = [0.0, 0.0]
        self._one = self._other = self._both = 0.0

    def add(self, one: float, other: float) -> None:
        """Add a pair."""
        self.count += 1
        before = one - self._means[0], other - self._means[1]
        self._means[0] += before[0] / self.count
        self._means[1] += before[1] / self.count
        self._one += before[0] * (one - self._means[0])
        self._other += before[1] * (other - self._means[1])
        self._both += before[0] * (other - self._means[1])

    @property
    def value(self) -> float | None:
        """None where one of both never varies."""
        return self._both / math.sqrt(self._one * self._other) if self._one > 0 and self._other > 0 else None


def _made(calls: Iterable[ToolCall]) -> Iterator[ToolCall]:
    """Those that were carried out."""
    return (call for call in calls if call.output is not None or call.error is not None)


def _sameness(call: ToolCall) -> tuple[str, str, bytes, str | None]:
    return call.actor, call.name, encode_json(call.arguments), call.output


def _digest(seen: Seen, *, of_task: bool = False) -> bytes:
    """What was said and done: the final answer, and with `of_task` the task and all that led there, too."""
    digest = blake2b(seen.answer.strip().encode(errors="surrogatepass"), digest_size=16)
    if of_task:
        calls = [(call.name, call.arguments, call.output) for call in seen.trajectory.tool_calls]
        digest.update(encode_json([seen.rollout.task_id, calls, seen.rollout.stop_reason]))
    return digest.digest()
