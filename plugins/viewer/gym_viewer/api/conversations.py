"""The conversations of a rollout as they are drawn: for each actor a tree of branches, and the items of each.

A branch is a row of model calls each of which was shown all that the one before it was shown and gave. Where a call was
shown less, or the same again, another branch begins, at what it was still shown of the earlier one. So each item that
was new to a model stands once among the branches, however long the requests were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gym_core import Rollout
from gym_core.spi import MAIN, ModelCall, ToolRun, answers_that_stand, path_length, places_of
from gym_viewer.api.shapes import Actor, Branch


@dataclass(slots=True)
class Stretch:
    """A branch while it is made. `places`: its items in order, `given`: the turn that gave each, by place."""

    number: int
    actor: str
    parent: int | None
    after: int | None
    kept: int
    had: int
    kind: str
    calls: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


class Conversations:
    """The conversations of a rollout. `items`: all, by their places; `turns`: the actor's turn that gave a place.

    `runs`: the tool call that was carried out, by the place of the call; `branches`: by their numbers, in the order in
    which they began; `seen`: the branch in which a place stands first; `hidden`: outputs that stand beside their calls.
    """

    def __init__(self, rollout: Rollout) -> None:
        trajectory = rollout.trajectory
        self.calls: Sequence[ModelCall] = trajectory.model_calls
        self.items = [*trajectory.input, *trajectory.items, *trajectory.others]
        self.tool_runs: Sequence[ToolRun] = trajectory.tool_runs or ()
        start = len(trajectory.input)
        self.answers = {call + start: output + start for output, call in trajectory.answers.items()}
        self.answers |= {run.call: run.output for run in self.tool_runs}
        self.runs: Mapping[int, ToolRun] = {run.call: run for run in self.tool_runs}
        self.turns: dict[int, int] = {}
        self.given_by: dict[int, int] = {}
        self.branch_of: dict[int, int] = {}
        self.branches: list[Stretch] = []
        self._turn_of: dict[int, int] = {}
        self._begin()
        self._add_unseen()
        self.seen: dict[int, int] = {}
        for branch in self.branches:
            for place in branch.places:
                self.seen.setdefault(place, branch.number)
        self._hide_outputs()

    def actors(self) -> Iterator[Actor]:
        """Who spoke with models, with the branches of each."""
        standing = {
            actor: answers_that_stand(self.calls, self.tool_runs, actor)
            for actor in dict.fromkeys(call.actor for call in self.calls)
        }
        for actor in dict.fromkeys(branch.actor for branch in self.branches):
            mine = [call for call in self.calls if call.actor == actor]
            yield {
                "name": actor,
                "role": mine[0].role if mine else "",
                "model": next((str(call.model) for call in reversed(mine) if call.model), None),
                "model_calls": len(mine),
                "tool_calls": sum(run.actor == actor for run in self.tool_runs),
                "input_tokens": sum(_count(call, "input_tokens") for call in mine),
                "output_tokens": sum(_count(call, "output_tokens") for call in mine),
                "branches": [
                    self._branch(branch, standing.get(actor, set()))
                    for branch in self.branches
                    if branch.actor == actor
                ],
            }

    def turn_of(self, call: int) -> int:
        """Which of its actor's answers a model call gave, from 1."""
        return self._turn_of[call]

    def _branch(self, branch: Stretch, standing: set[int]) -> Branch:
        turns = (self._turn_of[branch.calls[0]], self._turn_of[branch.calls[-1]]) if branch.calls else None
        return {
            "id": branch.number,
            "parent": branch.parent,
            "after": branch.after,
            "kept": branch.kept,
            "had": branch.had,
            "kind": branch.kind,  # type: ignore[typeddict-item]
            "items": len(branch.places),
            "turns": turns,
            "given_up": bool(branch.calls) and standing.isdisjoint(branch.calls),
            "verifies": any(self.calls[number].verifies for number in branch.calls),
        }

    def _begin(self) -> None:
        counts: dict[str, int] = {}
        for number, call in enumerate(self.calls):
            turn = self._turn_of[number] = counts[call.actor] = counts.get(call.actor, 0) + 1
            branch = self._branch_for(number, call)
            branch.calls.append(number)
            self.branch_of[number] = branch.number
            gave = places_of(call.gave)
            branch.places += places_of(call.shown)
            branch.places += gave
            for place in gave:
                self.turns[place] = turn
                self.given_by[place] = number

    def _branch_for(self, number: int, call: ModelCall) -> Stretch:
        """The branch that a call goes on with, or a new one."""
        if call.continues is None:
            return self._new(call.actor, None, None, 0, 0, "start")
        before = self.calls[call.continues]
        parent = self.branches[self.branch_of[call.continues]]
        had = path_length(before)
        if call.kept >= had and parent.calls[-1] == call.continues:
            return parent
        asked = had - sum(stop - start for start, stop in before.gave)
        again = call.kept >= had or (call.kept == asked and not call.shown)
        kind = "retry" if again else "rewritten"
        return self._new(call.actor, parent.number, self._turn_of[call.continues], call.kept, had, kind)

    def _new(self, actor: str, parent: int | None, after: int | None, kept: int, had: int, kind: str) -> Stretch:
        branch = Stretch(len(self.branches), actor, parent, after, kept, had, kind)
        self.branches.append(branch)
        return branch

    def _add_unseen(self) -> None:
        """Outputs that no model call was shown stand where their calls do, all else in a branch of its own."""
        shown = {place for branch in self.branches for place in branch.places}
        for run in self.tool_runs:
            call = self.given_by.get(run.call)
            if run.output not in shown and call is not None:
                self.branches[self.branch_of[call]].places.append(run.output)
                shown.add(run.output)
        rest = [place for place in range(len(self.items)) if place not in shown]
        if rest:
            branch = self._new("" if self.calls else MAIN, None, None, 0, 0, "rest")
            branch.places = rest

    def _hide_outputs(self) -> None:
        for branch in self.branches:
            here = set(branch.places)
            beside = {self.answers[place] for place in here if place in self.answers}
            branch.places = [place for place in branch.places if place not in beside]


def _count(call: ModelCall, name: str) -> int:
    value = call.usage.get(name) if isinstance(call.usage, Mapping) else None
    return value if type(value) is int and value > 0 else 0
