"""Formats for trainers: what stands in them, and that tokens are the same in all."""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import Rollout, Status, encode_json
from gym_core.spi import run_command
from gym_training import (
    TREATMENTS,
    as_columns,
    best_and_worst,
    is_truncated,
    mask_sample,
    remove_sample,
    to_kto,
    to_openenv,
    to_preference,
    to_prime_rl,
    to_sft,
    to_tokens,
    to_trl,
    to_verifiers,
    to_verl,
)
from gym_training.formats import FORMATS
from gym_training.masks import Mask
from tests.support.exports import NEEDED, export_rows, selected
from tests.support.training import FAILED, REWARDS, ROLLOUTS, write_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with exact tokens."""
    return write_run(tmp_path_factory.mktemp("run") / "x.jsonl", splits=True)


def rows(name: str, results: Path, **options: Any) -> list[dict[str, Any]]:
    return export_rows(FORMATS[name], results, **options)


def test_examples_have_objects_for_arguments_and_the_tools_that_the_model_saw(results: Path) -> None:
    made = rows("sft", results)
    assert len(made) == ROLLOUTS - FAILED
    first = next(row for row in made if row["task_id"] == "calls")
    assert [message["role"] for message in first["messages"]] == [
        "system", "user", "assistant", "tool", "assistant", "tool", "assistant"
    ]  # fmt: skip
    calls = [call for message in first["messages"] for call in message.get("tool_calls", [])]
    assert [call["function"]["arguments"] for call in calls] == [{"at": "Oslo"}, {"id": 7, "deep": True}]
    assert len({call["id"] for call in calls}) == 2, "the model gave both the same id"
    assert [tool["function"]["name"] for tool in first["tools"]] == ["look", "find"]
    thought = next(row for row in made if row["task_id"] == "thinks")["messages"][-1]
    assert thought["reasoning_content"] == "let me see"


def test_arguments_that_are_no_json_stand_as_they_are() -> None:
    row = stored(1.0)
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{broken"}
    row["response"]["output"] = [call, *row["response"]["output"]]
    (made,) = to_sft([Rollout(row)])
    assert made["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{broken"


def test_preferences_are_of_one_task_and_differ(results: Path) -> None:
    made = {row["task_id"]: row for row in rows("preference", results)}
    assert set(made) == {"calls", "cut", "fails"}, "all rollouts of the other have the same reward"
    assert (made["fails"]["chosen_reward"], made["fails"]["rejected_reward"]) == (1.0, 0.0)
    assert made["calls"]["prompt"][-1] == {"role": "user", "content": "calls please"}
    rollouts = read(results)
    assert [row["task_id"] for row in to_preference(best_and_worst(rollouts))] == [*made]


def test_pairs_are_the_same_in_python_and_of_a_file(tmp_path: Path) -> None:
    """Also of equal rewards."""
    rewards = (1.0, 0.0, 1.0, 0.0, 0.5, 0.0)
    lines = [{**stored(reward), "task_id": "t"} for reward in rewards]
    for repeat, line in enumerate(lines):
        line["rollout"] = {**line["rollout"], "repeat": repeat}
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [(pair[0].repeat, pair[1].repeat) for pair in best_and_worst(read(file))]
    chosen = [rollout.repeat for rollout in selected(file, pairs=1)]
    assert found == [(chosen[0], chosen[1])] == [(0, 5)]


def test_labels_follow_a_threshold(results: Path) -> None:
    known = {(name, repeat): reward for name, rewards in REWARDS.items() for repeat, reward in enumerate(rewards)}
    for threshold in (0.5, 1.0):
        for row in rows("kto", results, threshold=threshold):
            reward = known[row["task_id"], row["repeat"]]
            assert reward is not None
            assert row["label"] == (reward >= threshold)


def test_prompts_are_the_tasks_each_once(results: Path) -> None:
    made = rows("prompts", results, ground_truth="answer", ability="office")
    assert sorted(row["extra_info"]["task_id"] for row in made) == sorted(REWARDS)
    assert {row["reward_model"]["ground_truth"] for row in made} == set(REWARDS)
    task = json.loads(made[0]["extra_info"]["task"])
    assert "responses_create_params" in task
    assert "response" not in task


# Tokens: one form, and the same in all

Sample = tuple[list[int], list[int], list[float]]


def of_tokens(row: Mapping[str, Any]) -> Sample:
    return row["ids"], row["mask"], row["logprobs"]


def of_trl(row: Mapping[str, Any]) -> Sample:
    before = len(row["prompt_ids"])
    ids = [*row["prompt_ids"], *row["completion_ids"]]
    return ids, [*[0] * before, *row["env_mask"]], [*[0.0] * before, *row["logprobs"]]


def of_verl(row: Mapping[str, Any]) -> Sample:
    before = len(row["prompt_ids"])
    ids = [*row["prompt_ids"], *row["response_ids"]]
    return ids, [*[0] * before, *row["response_mask"]], [*[0.0] * before, *row["response_logprobs"]]


def of_prime_rl(row: Mapping[str, Any]) -> Sample:
    return row["token_ids"], [*map(int, row["mask"])], row["logprobs"]


def of_verifiers(trace: Mapping[str, Any]) -> list[Sample]:
    nodes = trace["nodes"]
    inner = {node["parent"] for node in nodes}
    found: list[Sample] = []
    for leaf in range(len(nodes)):
        if leaf in inner:
            continue
        path: list[Mapping[str, Any]] = []
        place: int | None = leaf
        while place is not None:
            path.append(nodes[place])
            place = nodes[place]["parent"]
        ids: list[int] = []
        mask: list[int] = []
        logprobs: list[float] = []
        for node in reversed(path):
            given = iter(node.get("logprobs", []))
            ids += node["token_ids"]
            mask += map(int, node["mask"])
            logprobs += [next(given) if trained else 0.0 for trained in node["mask"]]
            assert next(given, None) is None
        found.append((ids, mask, logprobs))
    return found


def of_openenv(trace: Mapping[str, Any]) -> list[Sample]:
    """The turns of a sequence laid over one another."""
    found: dict[str, Sample] = {}
    for turn in trace["turns"]:
        ids = [*turn["prompt_token_ids"], *turn["completion_token_ids"]]
        name = turn["node_id"].partition(".")[0]
        before = found.get(name, ([], [], []))
        assert ids[: len(before[0])] == before[0]
        more = len(turn["prompt_token_ids"]) - len(before[0])
        mask = [*before[1], *[0] * more, *turn["loss_mask"][len(turn["prompt_token_ids"]) :]]
        found[name] = ids, mask, [*before[2], *[0.0] * more, *turn["per_token_logps"]]
    return [*found.values()]


def untailed(sample: Sample) -> Sample:
    """Without what comes after the last trained token."""
    ids, mask, logprobs = sample
    end = len(mask) - mask[::-1].index(1)
    return ids[:end], mask[:end], logprobs[:end]


def check_all(rollouts: list[Rollout]) -> None:
    """Ids, masks and log probabilities are equal through all formats."""
    expected = [of_tokens(row) for row in to_tokens(rollouts)]
    verified = [of_tokens(row) for row in to_tokens(rollouts) if row["reward"] is not None]
    assert [of_trl(row) for row in to_trl(rollouts)] == expected
    assert [of_verl(row) for row in to_verl(rollouts)] == verified
    assert [of_prime_rl(row) for row in to_prime_rl(rollouts)] == verified
    assert [one for trace in to_verifiers(rollouts) for one in of_verifiers(trace) if any(one[1])] == expected
    assert [one for trace in to_openenv(rollouts) for one in of_openenv(trace)] == [*map(untailed, verified)]


def test_tokens_are_the_same_in_every_format(results: Path) -> None:
    rollouts = read(results)
    assert sum(len(rollout.sequences()) for rollout in rollouts) > len(rollouts), "there are breaks"
    check_all(rollouts)
    made = rows("tokens", results)
    assert all(len(row["ids"]) == len(row["mask"]) == len(row["logprobs"]) for row in made)
    assert {tuple(row["versions"]) for row in made} == {("17",)}


@pytest.mark.parametrize("name", ["tokens", "trl", "verl"])
def test_a_file_holds_what_the_functions_give(name: str, results: Path) -> None:
    given = {"tokens": to_tokens, "trl": to_trl, "verl": to_verl}[name](read(results))
    assert rows(name, results) == [json.loads(json.dumps(row)) for row in given]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=5), st.integers(0, 3), st.data())
def test_a_mask_is_written_and_cut_like_a_list(parts: list[tuple[int, int]], rest: int, data: st.DataObject) -> None:
    values: list[int] = []
    stretches: list[tuple[int, int]] = []
    for zeros, ones in parts:
        values += [0] * zeros + [1] * ones
        stretches.append((len(values) - ones, len(values)))
    values += [0] * rest
    mask = Mask(len(values), stretches)
    cut = data.draw(st.slices(len(values)))
    for made, expected in ((mask, values), (mask[cut], values[cut])):
        assert [*made] == expected
        assert len(made) == len(expected)
        assert encode_json(made) == encode_json(expected)
    assert mask.tobytes() == array("q", values).tobytes()


CALL = st.tuples(
    st.lists(st.integers(0, 200_000), max_size=4),
    st.lists(st.tuples(st.integers(0, 200_000), st.floats(-30, 0)), max_size=4),
    st.floats(0, 1),
    st.booleans(),
)


@given(st.lists(CALL, min_size=1, max_size=6), st.sampled_from([0.0, 0.25, None]))
def test_tokens_are_the_same_in_every_format_whatever_they_are(calls: list[Any], reward: float | None) -> None:
    """Calls that keep a part of what came before, with any ids and log probabilities."""
    row = stored(reward)
    wires: list[dict[str, Any]] = []
    length = 0
    for number, (prompt, sampled, share, keeps) in enumerate(calls):
        kept = int(share * length) if not keeps else length
        tokens = {
            "continues": number - 1 if number else None,
            "kept": kept if number else 0,
            "prompt": prompt,
            "sampled": [token for token, _ in sampled],
            "logprobs": [value for _, value in sampled],
            "version": None,
        }
        length = (kept if number else 0) + len(prompt) + len(sampled)
        said = {"actor": "policy", "role": "policy", "shown": [], "gave": [], "tokens": tokens}
        wires.append({**said, "continues": number - 1 if number else None, "kept": 0})
    row["rollout"]["model_calls"] = wires
    check_all([Rollout(row)])


# Failures


@pytest.mark.parametrize("status", [*Status])
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_failure_is_a_reward_nowhere(name: str, status: Status, tmp_path: Path) -> None:
    """Also where its row holds a reward, which a run never writes."""
    row = stored(0.0, status.value)
    file = tmp_path / "x.jsonl"
    good = {**stored(1.0), "task_id": "good"}
    file.write_text("".join(json.dumps(one) + "\n" for one in (good, row)))
    made = [one for one in export_rows(FORMATS[name], file) if "good" not in json.dumps(one)]
    if name == "prompts" or status.has_verdict:
        return
    for one in made:
        assert TREATMENTS[name].failure.is_kept
        rewards = [one[field] for field in ("reward", "reward_score") if field in one]
        rewards += one.get("rewards", {}).values()
        assert rewards
        assert not any(isinstance(reward, int | float) for reward in rewards), one


def test_the_table_says_what_each_does(results: Path) -> None:
    failed = next(rollout for rollout in read(results) if rollout.reward is None)
    for name, exporter in FORMATS.items():
        if name in TREATMENTS:
            assert exporter.keeps_failures == TREATMENTS[name].failure.is_kept, name
    assert mask_sample(failed)
    assert remove_sample(failed)
    assert [row["reward"] for row in to_trl([failed])] == [None]
    assert [*to_verl([failed])] == [*to_prime_rl([failed])] == [*to_openenv([failed])] == [*to_sft([failed])] == []
    assert [*to_kto([failed])] == []
    (trace,) = to_verifiers([failed])
    assert (trace["ok"], trace["rewards"], bool(trace["errors"])) == (False, {"reward": None}, True)
    cut = next(rollout for rollout in read(results) if rollout.task_id == "cut")
    assert is_truncated(cut)
    assert not mask_sample(cut)
    assert next(to_verifiers([cut]))["stop_condition"] == "max_turns"


# Bad input


def test_without_tokens_it_is_said_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "x.jsonl", tokens=False)
    for name in ("tokens", "trl", "verl", "prime-rl", "openenv"):
        status = run_command(("export", "--format", name, str(run), "--output", str(tmp_path / "y.jsonl")))
        said = capsys.readouterr()
        assert status == 2
        assert "rollouts has exact tokens" in said.err
        assert "-M tokens=true" in said.err
        assert not (tmp_path / "y.jsonl").exists()
    assert len(rows("verifiers", run)) == ROLLOUTS, "a trace has its messages all the same"


def test_rollouts_without_tokens_are_counted_and_those_with_others_say_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bare, odd = stored(1.0), {**stored(1.0), "task_id": "bare"}, {**stored(0.5), "task_id": "odd"}
    del bare["rollout"]["model_calls"][0]["tokens"]
    odd["rollout"]["model_calls"][0]["tokens"]["sampled"] = [3, 4]
    file, output = tmp_path / "x.jsonl", tmp_path / "y.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (good, bare, odd)))
    asked = ("export", "--format", "tokens", str(file), "--output", str(output))
    assert run_command(asked) == 0
    said = capsys.readouterr().err
    assert len(output.read_text().splitlines()) == 1
    assert "left out, without exact tokens: 2" in said
    output.unlink()
    assert run_command((*asked, "--select", "task_id=odd")) == 2
    said = capsys.readouterr().err
    assert "none of the 1 rollouts has exact tokens; of those that it has: ids and log probabilities" in said
    assert run_command((*asked, "--select", "reward>=0.9")) == 0
    assert "left out, by --select: 1" in capsys.readouterr().err


def test_what_was_not_run_says_so(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(("plugins", "show", "prime-rl")) == 0
    assert "untested: prime-rl has no released package" in capsys.readouterr().out
    assert run_command(("export", "--format", "prime-rl", str(results))) == 0
    assert "prime-rl is untested" in capsys.readouterr().err


def test_options_of_a_format(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(("export", "--format", "kto", str(results), "-O", "treshold=1")) == 2
    assert "threshold" in capsys.readouterr().err
    assert run_command(("export", "--format", "kto", str(results), "-O", "threshold=high")) == 2
    assert "threshold" in capsys.readouterr().err
    assert run_command(("plugins", "show", "kto")) == 0
    assert "options (-O OPTION=VALUE)" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"verifiers"}))
def test_every_format_is_a_table_too(
    name: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "y.parquet"
    assert run_command(("export", "--format", name, str(results), "--output", str(path))) == 0, capsys.readouterr().err
    plain = rows(name, results)
    table = parquet.read_table(path)
    assert table.num_rows == len(plain)
    assert set(table.column_names) >= set(plain[0])
    masks = {"mask", "env_mask", "response_mask"}
    for field in {"ids", "logprobs", "prompt_ids", "completion_ids", "response_ids", *masks} & set(plain[0]):
        assert table.column(field).to_pylist() == [row[field] for row in plain]


@pytest.mark.parametrize(("name", "field"), [("tokens", "mask"), ("trl", "env_mask"), ("verl", "response_mask")])
def test_a_mask_is_json_in_a_cell_of_csv(
    name: str, field: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "y.csv"
    assert run_command(("export", "--format", name, str(results), "--output", str(path))) == 0, capsys.readouterr().err
    with path.open(newline="") as file:
        found = [json.loads(row[field]) for row in csv.DictReader(file)]
    assert found == [row[field] for row in rows(name, results)]


def test_columns_are_what_a_rollout_func_returns(results: Path) -> None:
    columns = as_columns(to_trl(read(results)))
    assert {"prompt_ids", "completion_ids", "logprobs", "env_mask", "reward"} <= set(columns)
    assert len({len(values) for values in columns.values()}) == 1


def read(results: Path) -> list[Rollout]:
    from gym_results.reading import ResultsFile

    return [*ResultsFile(results).rollouts()]


def stored(reward: float | None, status: str = "completed") -> dict[str, Any]:
    """A row with one call and its tokens."""
    tokens = {"continues": None, "kept": 0, "prompt": [1, 2], "sampled": [3], "logprobs": [-0.5], "version": None}
    call = {"actor": "policy", "role": "policy", "continues": None, "kept": 0, "shown": [[0, 1]], "gave": [[1, 2]]}
    return {
        "task_id": "t",
        "responses_create_params": {"input": [{"role": "user", "content": "Hi."}]},
        "response": {"output": [{"type": "message", "role": "assistant", "content": "Hello."}]},
        "reward": reward,
        "rollout": {
            **NEEDED,
            "status": status if reward is not None else "verifier_error",
            "model_calls": [{**call, "tokens": tokens}],
            "error": {"class": "X", "message": "x", "phase": "verify", "retryable": False},
        },
    }
