"""Exact tokens: rows say what each call read and sampled, and sequences train each sampled token once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import CallContext, Episode, Item, Request, Response, Rollout, Tokens, TokenSequence, tool, user_message
from gym_core.domain.conversation import answers_that_stand, path_length
from gym_core.domain.sequences import TokenPaths
from gym_core.engine.rollout.token_tree import TokenTree
from gym_testing import think
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call, say
from tests.support.running import rollout, run
from tests.support.tokens import TokenModel


class Look(PlainSession):
    """A tool that says back what it is asked."""

    @tool
    def look(self, at: str) -> str:
        """Look at something."""
        return f"seen {at}"


def done_by(model: Any, agent: Callable[[Episode], Awaitable[Any]]) -> Rollout:
    """A rollout as it is read from its row."""
    ended = rollout(model, Look, FunctionAgent(agent))
    assert ended.reward is not None, ended.error
    return Rollout(orjson.loads(orjson.dumps(ended.row)))


def policies(found: Rollout) -> list[int]:
    return [number for number, made in enumerate(found.trajectory.model_calls) if made.role == "policy"]


def check(found: Rollout, model: TokenModel) -> None:
    """What holds of every rollout. The numbers of calls are those of `seen`: calls end one after the other."""
    calls = found.trajectory.model_calls
    mine = policies(found)
    for number in mine:
        prompt, sampled, _ = model.seen[number]
        assert TokenPaths.of(calls).ids(number) == prompt + sampled
        before, tokens = calls[number].continues, calls[number].tokens
        assert tokens is not None
        whole = before is not None and calls[number].kept == path_length(calls[before])
        known = model.seen[before][0] + model.seen[before][1] if before is not None else []
        assert tokens.broken == (whole and prompt[: len(known)] != known)
    everything = found.sequences(tries="all")
    assert trained(everything) == {number: model.seen[number][1:] for number in mine}
    used = trained(found.sequences())
    runs = found.trajectory.tool_runs or ()
    actors = {calls[number].actor for number in mine}
    standing = {number for actor in actors for number in answers_that_stand(calls, runs, actor)} & {*mine}
    assert standing <= used.keys()
    paths = [model.seen[number][0] for number in used]
    for number in used.keys() - standing:  # an agent wrote its items anew, and its very tokens went on
        whole_path = model.seen[number][0] + model.seen[number][1]
        assert any(path[: len(whole_path)] == whole_path for path in paths)
    for sequence in [*everything, *found.sequences()]:
        prompt, sampled, _ = model.seen[sequence.calls[-1]]
        assert [*sequence.ids] == prompt + sampled
        assert len(sequence.ids) == len(sequence.mask) == len(sequence.logprobs)
        assert all(value == 0.0 for value, mask in zip(sequence.logprobs, sequence.mask, strict=True) if not mask)


def trained(sequences: list[TokenSequence]) -> dict[int, tuple[list[int], list[float]]]:
    """The trained ids and log probabilities of each call; each is told by its log probabilities, and trained once."""
    found: dict[int, tuple[list[int], list[float]]] = {}
    for sequence in sequences:
        for token, mask, value in zip(sequence.ids, sequence.mask, sequence.logprobs, strict=True):
            if mask:
                number = int(-value * 1024 - 1) // 1000
                ids, values = found.setdefault(number, ([], []))
                assert value not in values, "trained twice"
                ids.append(token)
                values.append(value)
        assert {*sequence.calls} <= found.keys()
    return found


# Random trees

ITEMS = st.sampled_from(["a b", "a c", "b"]).map(user_message) | st.sampled_from(["x y", "x"]).map(say)
PICKS = st.lists(st.integers(0, 30) | ITEMS, max_size=4)
PREFIX = st.sampled_from(["nothing", "all", "all", "all", "half", "all but the first", "all but the last answer"])
TURNS = st.lists(
    st.sampled_from([say("x y"), say("x"), say(""), think("hm so"), call("look", {"at": "b"}, "c1")]), max_size=3
)
STEP = st.tuples(st.sampled_from(["policy", "policy", "helper", "judge"]), PREFIX, PICKS, st.booleans())


@given(
    st.lists(STEP, min_size=1, max_size=7),
    st.lists(TURNS, min_size=7, max_size=7),
    st.fixed_dictionaries({name: st.booleans() for name in ("words", "splits", "drops_thinking", "respaces")}),
)
def test_paths_are_what_the_endpoint_saw_and_each_sampled_token_trains_once(
    plan: list[tuple[str, str, list[Any], bool]], turns: list[list[Any]], habits: dict[str, Any]
) -> None:
    async def agent(episode: Episode) -> str:
        known: dict[str, list[Item]] = {}
        ends: dict[str, int] = {}
        for name, prefix, picks, carries_out in plan:
            mine = known.setdefault(name, list(episode.request.input))
            starts = {
                "nothing": [],
                "all": mine,
                "half": mine[: len(mine) // 2],
                "all but the first": mine[1:],
                "all but the last answer": mine[: ends.get(name, 0)],
            }
            items = [*starts[prefix]]
            for pick in picks:
                if isinstance(pick, dict):
                    items.append(copy.deepcopy(pick))
                elif mine:
                    items.append(mine[pick % len(mine)])
            actor = episode.actor(name, "judge" if name == "judge" else "policy")
            ends[name] = len(items)
            answer = await actor.respond(items)
            outputs = await actor.call_tools(answer.function_calls) if carries_out else []
            known[name] = [*items, *answer.output, *outputs]
        return "completed"

    numbers = count()
    model = TokenModel(lambda *_: copy.deepcopy(turns[next(numbers)]), **habits)
    # One endpoint in all roles: calls of a judge have tokens, too, and train nowhere.
    check(done_by({"policy": model, "judge": model}, agent), model)


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 1), max_size=6), st.integers(0, 3)), max_size=12))
def test_a_tree_of_tokens_finds_the_longest_beginning_and_the_latest_of_equal_ones(plan: Any) -> None:
    tree, paths = TokenTree(), list[list[int]]()
    for start, new, wrote in plan:
        known = paths[start % len(paths)] if paths else []
        prompt, sampled = [*known[: len(known) - start % 3], *new], [1] * wrote
        recorded = tree.add(len(paths), Tokens(prompt, sampled, [0.0] * wrote), None)
        shared = [same(path, prompt) for path in paths]
        longest = max(shared, default=0)
        latest = max((number for number, size in enumerate(shared) if size == longest), default=None)
        assert (recorded.kept, recorded.continues) == (longest, latest if longest else None)
        assert [*recorded.prompt] == prompt[longest:]
        paths.append(prompt + sampled)


def same(one: list[int], other: list[int]) -> int:
    """How long a beginning two lists share."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


# Written cases


async def ask_on(episode: Episode, *texts: str, items: list[Item] | None = None) -> list[Item]:
    """Question by question in one conversation."""
    items = items if items is not None else list(episode.request.input)
    for text in texts:
        items.append(user_message(text))
        items += (await episode.respond(items)).output
    return items


async def plain(episode: Episode) -> str:
    await ask_on(episode, "one", "two", "three")
    return "completed"


async def loop(episode: Episode) -> str:
    items = list(episode.request.input)
    while True:
        answer = await episode.respond(items)
        items += answer.output
        if not answer.function_calls:
            return "completed"
        items += await episode.call_tools(answer.function_calls)


async def loop_and_ask(episode: Episode) -> str:
    items = list(episode.request.input)
    answer = await episode.respond(items)
    items += [*answer.output, *await episode.call_tools(answer.function_calls)]
    await ask_on(episode, "and?", items=items)
    return "completed"


async def compaction(episode: Episode) -> str:
    items = await ask_on(episode, "one", "two")
    summary = await episode.respond([*items, user_message("sum up")])
    await ask_on(episode, "three", items=[user_message(f"so far {summary.output_text}")])
    return "completed"


async def sub_agent(episode: Episode) -> str:
    helper = episode.actor("helper")
    items = [user_message("look")]
    items += (await helper.respond(items)).output
    await helper.respond([*items, user_message("more")])
    await ask_on(episode, "it said so")
    return "completed"


async def parallel_sub_agents(episode: Episode) -> str:
    items = await ask_on(episode, "plan")
    for name in ("a", "b", "c"):
        await episode.actor(name).respond([user_message("shared beginning"), user_message(name)])
    await ask_on(episode, "all said", items=items)
    return "completed"


async def elided_outputs(episode: Episode) -> str:
    items = list(episode.request.input)
    for _ in range(2):
        answer = await episode.respond(items)
        items += [*answer.output, *await episode.call_tools(answer.function_calls)]
    elided = [
        {**item, "output": "(left out)"} if item.get("type") == "function_call_output" else item for item in items
    ]
    await ask_on(episode, "and?", items=elided)
    return "completed"


async def retry(episode: Episode) -> str:
    items = list(episode.request.input)
    await episode.respond(items)
    items += (await episode.respond(items)).output
    await ask_on(episode, "good", items=items)
    return "completed"


async def best_of(episode: Episode) -> str:
    items = await ask_on(episode, "one")
    tries = [(await episode.respond([*items, user_message("try")])).output for _ in range(3)]
    await ask_on(episode, "that one", items=[*items, user_message("try"), *tries[1]])
    return "completed"


async def two_conversations_of_one_actor(episode: Episode) -> str:
    first = [user_message("left")]
    second = [user_message("right")]
    for _ in range(2):
        first += [*(await episode.respond(first)).output, user_message("on")]
        second += [*(await episode.respond(second)).output, user_message("on")]
    return "completed"


async def dropped_first_turn(episode: Episode) -> str:
    items = await ask_on(episode, "one", "two")
    await ask_on(episode, "three", items=items[2:])
    return "completed"


async def edited_answer(episode: Episode) -> str:
    items = await ask_on(episode, "one")
    await ask_on(episode, "two", items=[*items[:-1], say("quite something else")])
    return "completed"


async def made_up_turn(episode: Episode) -> str:
    items = [*episode.request.input, say("I begin"), user_message("yes")]
    await ask_on(episode, "go on", items=items)
    return "completed"


async def agent_drops_thinking(episode: Episode) -> str:
    items = await ask_on(episode, "one")
    await ask_on(episode, "two", items=[item for item in items if item.get("type") != "reasoning"])
    return "completed"


LOOK = call("look", {"at": "b"}, "c1")
SAID = [think("hm so"), say("x y")]
CASES: dict[str, tuple[Any, TokenModel, list[tuple[int, ...]], list[tuple[int, ...]], int]] = {
    # agent, model, calls of each sequence of what was used, of all tries, breaks
    "one conversation": (plain, TokenModel("x y"), [(0, 1, 2)], [(0, 1, 2)], 0),
    "byte by byte": (plain, TokenModel("x y", words=False), [(0, 1, 2)], [(0, 1, 2)], 0),
    "tools": (loop, TokenModel(LOOK, LOOK, "x"), [(0, 1, 2)], [(0, 1, 2)], 0),
    "split tokens": (plain, TokenModel("word by word", splits=True), [(0,), (1,), (2,)], [(0,), (1,), (2,)], 2),
    "re-spaced JSON": (loop, TokenModel(LOOK, "x", respaces=True), [(0,), (1,)], [(0,), (1,)], 1),
    "split tokens in one turn alone": (
        plain, TokenModel("ab cd", "x", splits=True), [(0,), (1, 2)], [(0,), (1, 2)], 1,
    ),
    "thinking dropped by the template": (
        plain, TokenModel(SAID, drops_thinking=True), [(0,), (1,), (2,)], [(0,), (1,), (2,)], 2,
    ),
    "thinking kept within a turn and dropped after it": (
        loop_and_ask, TokenModel([think("hm"), LOOK], SAID, drops_thinking=True), [(0,), (1,)], [(0,), (1,)], 1,
    ),
    "thinking kept": (plain, TokenModel(SAID), [(0, 1, 2)], [(0, 1, 2)], 0),
    "thinking dropped by the agent": (agent_drops_thinking, TokenModel(SAID), [(0,), (1,)], [(0,), (1,)], 0),
    "compaction": (compaction, TokenModel("x", "y", "short", "z"), [(0, 1), (3,)], [(0, 1, 2), (3,)], 0),
    "a sub-agent": (sub_agent, TokenModel("x"), [(0, 1), (2,)], [(0, 1), (2,)], 0),
    "parallel sub-agents": (
        parallel_sub_agents, TokenModel("x"), [(1,), (2,), (3,), (0, 4)], [(1,), (2,), (3,), (0, 4)], 0,
    ),
    "elided outputs": (elided_outputs, TokenModel(LOOK, LOOK, "x"), [(0, 1), (2,)], [(0, 1), (2,)], 0),
    "a retry": (retry, TokenModel("bad", "fine", "x"), [(1, 2)], [(0,), (1, 2)], 0),
    "a retry that says the same": (retry, TokenModel("x"), [(1, 2)], [(0,), (1, 2)], 0),
    "repeated tries": (
        best_of, TokenModel("a", "b", "c", "d", "e"), [(0, 2, 4)], [(0, 1), (3,), (2, 4)], 0,
    ),
    "two conversations of one actor": (
        two_conversations_of_one_actor, TokenModel("x"), [(0,), (1, 3)], [(0, 2), (1, 3)], 0,
    ),
    "a first turn that is left out": (dropped_first_turn, TokenModel("x"), [(0, 1), (2,)], [(0, 1), (2,)], 0),
    "an answer that the agent rewrote": (edited_answer, TokenModel("x"), [(1,)], [(0,), (1,)], 0),
    "a turn that the agent made up": (made_up_turn, TokenModel("x"), [(0,)], [(0,)], 0),
    "an empty answer": (plain, TokenModel("x", [], "y"), [(0, 2)], [(0, 1), (2,)], 1),
    "the same answer in every turn": (plain, TokenModel("x x"), [(0, 1, 2)], [(0, 1, 2)], 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_case(case: str) -> None:
    agent, model, used, everything, breaks = CASES[case]
    fresh = copy.deepcopy(model)
    found = done_by(fresh, agent)
    check(found, fresh)
    assert [sequence.calls for sequence in found.sequences()] == used
    assert [sequence.calls for sequence in found.sequences(tries="all")] == everything
    assert found.row["rollout"].get("token_breaks", 0) == breaks
    if breaks:
        with pytest.raises(ValueError, match="encoded anew"):
            found.sequences(breaks="raise")
    else:
        assert found.sequences(breaks="raise") == found.sequences()


# The record


def test_a_row_holds_what_is_new_in_each_call() -> None:
    model = TokenModel("x y")
    found = done_by(model, plain)
    first, second, _ = (made["tokens"] for made in found.model_calls)
    prompt, sampled, logprobs = model.seen[0]
    assert first == {
        "continues": None, "kept": 0, "prompt": prompt, "sampled": sampled, "logprobs": logprobs, "version": None,
    }  # fmt: skip
    assert (second["continues"], second["kept"]) == (0, len(prompt + sampled))
    assert prompt + sampled + second["prompt"] == model.seen[1][0]
    assert not {"token_breaks", "token_problems", "weight_versions"} & found.row["rollout"].keys()


def test_without_tokens_a_row_says_nothing_of_them_and_has_no_sequences() -> None:
    found = done_by(ScriptedModel("x"), plain)
    assert not any("tokens" in made for made in found.model_calls)
    assert found.sequences() == []


def test_versions_of_the_weights_stand_in_each_call_and_rollouts_that_mix_them_are_counted() -> None:
    model = TokenModel("x", versions=("17", "17", "18"))
    ended = run(model, env(Look), FunctionAgent(plain))
    (found,) = ended.rollouts
    assert [made["tokens"]["version"] for made in found.model_calls] == ["17", "17", "18"]
    assert found.row["rollout"]["weight_versions"] == ["17", "18"]
    assert found.sequences()[0].versions == ("17", "18")
    assert ended.summary["exact_tokens"] == {"breaks": 0, "problems": 0, "mixed_versions": 1}


def test_breaks_are_counted_in_the_summary() -> None:
    ended = run(TokenModel("ab cd", splits=True), env(Look, 2), FunctionAgent(plain))
    assert ended.summary["exact_tokens"]["breaks"] == 4


def test_a_call_without_tokens_leaves_the_verdict_and_the_others_sequences() -> None:
    model = TokenModel("x", silent=(1,))
    ended = run(model, env(Look), FunctionAgent(plain))
    (found,) = ended.rollouts
    assert found.reward == 1.0
    assert found.model_calls[1]["tokens"] == {"problem": "the reply has no ids"}
    assert found.row["rollout"]["token_problems"] == 1
    assert [sequence.calls for sequence in found.sequences()] == [(0, 2)]
    assert ended.summary["exact_tokens"]["problems"] == 1


def test_tokens_of_another_model_are_not_those_of_the_policy() -> None:
    ended = run(TokenModel("x", models=("a", "b", "a")), env(Look), FunctionAgent(plain))
    (found,) = ended.rollouts
    assert found.reward == 1.0
    assert "another model: b answered, and a before" in found.model_calls[1]["tokens"]["problem"]
    assert [sequence.calls for sequence in found.sequences()] == [(0, 2)]
    assert ended.summary["exact_tokens"]["problems"] == 1


def test_a_version_in_the_name_of_a_model_is_no_other_model() -> None:
    found = done_by(TokenModel("x", models=("policy@1", "policy@2", "policy@2")), plain)
    assert [sequence.calls for sequence in found.sequences()] == [(0, 1, 2)]


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (Tokens(["a"], [1], [0.0]), "no numbers"),  # type: ignore[list-item]
        (Tokens([1], [1], [None]), "no numbers"),  # type: ignore[list-item]
        (Tokens([1], [1, 2], [0.0]), "2 sampled ids and 1 log"),
        (Tokens([2**70], [1], [0.0]), "no numbers"),
        (Tokens([1], [1, 2], [0.0, float("nan")]), "not finite"),
        (Tokens([1], [1], [float("-inf")]), "not finite"),
    ],
)
def test_tokens_that_are_none_are_a_problem_of_their_call_alone(bad: Tokens, problem: str) -> None:
    recorded = TokenTree().add(0, bad, None)
    assert problem in recorded.problem
    assert recorded.to_wire() == {"problem": recorded.problem}


def test_sequences_refuse_other_words() -> None:
    found = done_by(TokenModel("x"), plain)
    with pytest.raises(ValueError, match="tries"):
        found.sequences(tries="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="breaks"):
        found.sequences(breaks="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "broken",
    [
        {"continues": 7, "kept": 3},
        {"continues": 0, "kept": 10**9},
        {"continues": "x", "kept": None},
        {"prompt": None},
        {"logprobs": []},
        {"sampled": "abc"},
        {"sampled": [7], "logprobs": [None]},
        {"sampled": [7], "logprobs": ["x"]},
    ],
)
def test_rows_that_others_have_changed_make_no_sequence_that_was_not_said(broken: dict[str, Any]) -> None:
    found = done_by(TokenModel("x"), plain)
    found.row["rollout"]["model_calls"][1]["tokens"].update(broken)
    for sequence in found.sequences(tries="all"):
        assert len(sequence.ids) == len(sequence.mask) == len(sequence.logprobs)


def test_calls_at_once_are_recorded_as_they_end() -> None:
    async def agent(episode: Episode) -> str:
        await asyncio.gather(*(episode.actor(f"a{n}").respond([user_message(f"q {n}")]) for n in range(5)))
        return "completed"

    found = done_by(TokenModel("x"), agent)
    assert len(found.sequences()) == 5


def test_tokens_that_stand_on_items_to_be_sent_back_are_in_no_row() -> None:
    class Sending(TokenModel):
        async def respond(self, request: Request, context: CallContext) -> Response:
            found = await super().respond(request, context)
            assert found.tokens is not None
            return Response({**found.body, "output": found.tokens.on_items(found.output)}, found.tokens)

    async def agent(episode: Episode) -> str:
        held = [item for item in await ask_on(episode, "one", "two", "three") if "prompt_token_ids" in item]
        assert [[*item["prompt_token_ids"]] for item in held] == [prompt for prompt, _, _ in model.seen]
        return "completed"

    model = Sending("x")
    found = done_by(model, agent)
    assert [sequence.calls for sequence in found.sequences()] == [(0, 1, 2)]
    assert not any("prompt_token_ids" in item for item in found.response.output)
    assert [made["continues"] for made in found.model_calls] == [None, 0, 1]


@pytest.mark.parametrize("habits", [{}, {"splits": True}])
def test_a_row_grows_with_its_tokens_and_not_with_their_square(habits: dict[str, Any]) -> None:
    def recorded(turns: int) -> tuple[int, int]:
        async def agent(episode: Episode) -> str:
            await ask_on(episode, *(f"question {number} of many" for number in range(turns)))
            return "completed"

        calls = done_by(TokenModel("an answer of several words", **habits), agent).model_calls
        return len(orjson.dumps([made["tokens"] for made in calls])), len(orjson.dumps(calls))

    for small, large in zip(recorded(20), recorded(40), strict=True):
        assert large <= 2.3 * small
