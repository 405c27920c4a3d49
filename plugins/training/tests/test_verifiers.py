"""Traces for verifiers: each message of a branch stands with its own tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gym_core import Rollout
from gym_training import to_verifiers
from tests.support.exports import NEEDED

Call = tuple[int | None, list[int], list[int], list[int]]
"""What a call continues, and the ids of what it was shown, of what it gave and of what the server says it sampled."""


def rollout_of(calls: Sequence[Call], tools: Sequence[tuple[int, int]] = (), **request: Any) -> Rollout:
    """A rollout in which every item is one token, whose id is its text."""
    items: dict[int, dict[str, Any]] = {}
    wires: list[dict[str, Any]] = []
    lengths: list[int] = []

    def places(ids: Sequence[int], role: str) -> list[list[int]]:
        for one in ids:
            items.setdefault(one, {"type": "message", "role": role, "content": str(one)})
        found = [[*items].index(one) for one in ids]
        return [[place, place + 1] for place in found]

    for continues, shown, gave, sampled in calls:
        kept = 0 if continues is None else lengths[continues]
        said = {"continues": continues, "kept": kept, "prompt": shown, "sampled": sampled, "version": None}
        wires.append(
            {
                "actor": "policy",
                "role": "policy",
                "continues": continues,
                "kept": kept,
                "shown": places(shown, "user"),
                "gave": places(gave, "assistant"),
                "tokens": {**said, "logprobs": [-1.0] * len(sampled)},
            }
        )
        lengths.append(kept + len(shown) + len(gave))
    first, *others = items.values()
    return Rollout(
        {
            "task_id": "t",
            "responses_create_params": {"input": [first], **request},
            "response": {"output": others},
            "reward": 1.0,
            "rollout": {
                **NEEDED,
                "status": "completed",
                "model_calls": wires,
                "tool_calls": [{"actor": "policy", "call": call, "output": output} for call, output in tools],
            },
        }
    )


def branches(rollout: Rollout) -> list[list[tuple[str, str, list[int]]]]:
    """Who says what with which ids, message by message, of each branch."""
    (trace,) = to_verifiers([rollout])
    nodes: list[Mapping[str, Any]] = trace["nodes"]
    found = []
    for leaf in sorted({*range(len(nodes))} - {node["parent"] for node in nodes}):
        path: list[tuple[str, str, list[int]]] = []
        place: int | None = leaf
        while place is not None:
            node = nodes[place]
            path.append((node["message"]["role"], node["message"]["content"], node["token_ids"]))
            place = node["parent"]
        found.append(path[::-1])
    return found


def test_every_message_stands_with_its_own_tokens() -> None:
    rollout = rollout_of([(None, [1], [2], [2]), (0, [3], [4], [4])])
    assert branches(rollout) == [
        [("user", "1", [1]), ("assistant", "2", [2]), ("user", "3", [3]), ("assistant", "4", [4])]
    ]


def test_answers_side_by_side_are_two_messages() -> None:
    rollout = rollout_of([(None, [1], [2], [2]), (0, [], [3], [3]), (1, [4], [5], [5])])
    assert branches(rollout) == [
        [
            ("user", "1", [1]),
            ("assistant", "2", [2]),
            ("assistant", "3", [3]),
            ("user", "4", [4]),
            ("assistant", "5", [5]),
        ]
    ]


def test_an_answer_without_tokens_shifts_no_other() -> None:
    rollout = rollout_of([(None, [1], [], []), (0, [2], [3], [3])])
    assert branches(rollout) == [
        [("user", "1", [1]), ("assistant", "", []), ("user", "2", [2]), ("assistant", "3", [3])]
    ]


def test_a_later_branch_has_its_beginning() -> None:
    """Two go on from the same answer, the first of which a tool has answered: it is trained in the first alone."""
    rollout = rollout_of([(None, [1], [2], [2]), (0, [3], [4], [4]), (0, [5], [6], [6])], tools=[(3, 4)])
    first, second = branches(rollout)
    assert first == [("user", "1", [1]), ("assistant", "2", [2]), ("user", "3", [3]), ("assistant", "4", [4])]
    assert second == [("user", "1", []), ("assistant", "2", []), ("user", "5", [1, 2, 5]), ("assistant", "6", [6])]


def test_an_answer_that_the_agent_wrote_anew_is_said_once() -> None:
    rollout = rollout_of([(None, [1], [2], [2]), (0, [3], [4], [4])])
    row = rollout.row
    again = {"type": "message", "role": "assistant", "content": "2, as the agent has it"}
    row["rollout"]["items"] = [again]
    row["rollout"]["model_calls"][1] |= {"kept": 1, "shown": [[4, 5], [2, 3]]}
    assert branches(rollout) == [
        [("user", "1", [1]), ("assistant", "2", [2]), ("user", "3", [3]), ("assistant", "4", [4])]
    ]


@pytest.mark.parametrize("own", [None, "Be long."])
def test_instructions_open_a_branch(own: str | None) -> None:
    rollout = rollout_of([(None, [1], [2], [2])], instructions="Be brief.")
    if own is not None:
        rollout.row["rollout"]["model_calls"][0]["sampling"] = {"instructions": own}
    (branch,) = branches(rollout)
    assert branch == [("system", own or "Be brief.", []), ("user", "1", [1]), ("assistant", "2", [2])]
