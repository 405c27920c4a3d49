"""NeMo Gym's rows: whole responses, and results that its tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import Episode, user_message
from gym_core.errors import UsageError
from gym_nemo.formats import NemoExporter
from gym_nemo.metrics import aggregate_metrics
from gym_nemo.rows import as_response, masked_row, result_row
from gym_testing import think
from tests.support.agents import FunctionAgent
from tests.support.envs import env
from tests.support.exports import NEEDED, export_rows, selected
from tests.support.models import ScriptedModel, say
from tests.support.nemo_server import row
from tests.support.running import config, execute, rollout
from tests.support.served_envs import in_loop
from tests.support.tokens import TokenModel


def result(**changes: Any) -> dict[str, Any]:
    return {
        **row(),
        "task_id": "5",
        "response": {"object": "response", "output": [{"role": "assistant", "content": "Ten."}], "usage": {"x": 1}},
        "reward": 0.5,
        "reward_components": {"exact": 0.0, "start": 9.0},
        "rollout": {**NEEDED, "task_index": 4, "repeat": 1, "model": "gpt", "agent": "loop", "info": {"count": 9}},
        **changes,
    }


def test_a_result_has_what_its_tools_look_for() -> None:
    made = result_row(result())
    assert (made["_ng_task_index"], made["_ng_rollout_index"]) == (4, 1)
    assert made["reward"] == 0.5
    assert "reward_components" not in made, "they do not sum to the reward"
    assert result_row(result(reward=9.0))["reward_components"] == {"exact": 0.0, "start": 9.0}
    assert made["exact"] == 0.0
    assert made["count"] == 9
    assert made["start"] == 3, "a field of the row keeps its name"
    assert made["agent_ref"] == row()["agent_ref"]
    assert made["responses_create_params"] == row()["responses_create_params"]
    assert made["task_id"] == "5"
    assert "rollout" not in made


def test_a_row_without_an_agent_gets_the_runs() -> None:
    bare = {name: value for name, value in result().items() if name != "agent_ref"}
    assert result_row(bare)["agent_ref"] == {"name": "loop"}


def test_a_response_is_whole_as_the_openai_package_has_it() -> None:
    responses = pytest.importorskip("openai.types.responses")
    items: list[Any] = [
        {"role": "assistant", "content": "Let me see."},
        {"type": "reasoning", "content": []},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]},
    ]
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    made = as_response({"model": None}, items, {"tools": [], "parallel_tool_calls": False}, usage)
    parsed = responses.Response.model_validate(made)
    assert parsed.output_text == "Let me see.Done."
    assert parsed.parallel_tool_calls is False


def test_a_results_file_row_by_row_without_failures(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    rows = [result(), result(reward=None, task_id="7"), result(task_id="6")]
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)) + b"\n\n")
    assert [made["task_id"] for made in export_rows(NemoExporter(), file)] == ["5", "6"]
    rollouts = selected(file)
    assert len([*rollouts]) == 2
    assert rollouts.left_out == {"without a reward": 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "not valid JSON"), ("{}", "not a row that gym wrote"), ("[]", "not a row that gym wrote")],
)
def test_a_line_that_is_no_rollout_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(orjson.dumps(result()).decode() + "\n" + line + "\n")
    with pytest.raises(UsageError, match=f"x.jsonl:2: .*{message}"):
        list(selected(file))


def test_what_a_run_wrote_can_be_exported_and_read_as_tasks_again(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    tasks = [row(number) for number in (0, 1)]
    for task in tasks:
        task["responses_create_params"] = {"input": "Hi."}
    wanted = config(ScriptedModel(say("Done.")), env(tasks=tasks), output=out, repeats=2)
    in_loop(lambda: execute(wanted))
    made = export_rows(NemoExporter(), out)
    keys = sorted((each["_ng_task_index"], each["_ng_rollout_index"]) for each in made)
    assert keys == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {each["response"]["output"][-1]["content"][0]["text"] for each in made} == {"Done."}


def test_a_result_whose_task_has_tools_in_the_form_of_chat_is_one_it_reads() -> None:
    tool = {"name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}
    request = {"input": "x", "tools": [{"type": "function", "function": tool}]}
    made = result_row(result(responses_create_params=request))
    assert made["responses_create_params"]["tools"] == [{"type": "function", **tool}]


def test_exact_tokens_stand_on_the_last_item_of_each_call() -> None:
    model = TokenModel([think("hm"), say("x y")])

    async def agent(episode: Episode) -> str:
        items = list(episode.request.input)
        for _ in range(2):
            items += [*(await episode.respond(items)).output, user_message("on")]
        return "completed"

    made = result_row(rollout(model, agent=FunctionAgent(agent)).row)
    carrying = [item for item in made["response"]["output"] if "generation_token_ids" in item]
    assert [item["type"] for item in carrying] == ["message", "message"]
    for item, (prompt, sampled, logprobs) in zip(carrying, model.seen, strict=True):
        assert [*item["prompt_token_ids"]] == prompt
        assert [*item["generation_token_ids"]] == sampled
        assert [*item["generation_log_probs"]] == logprobs


def test_a_failure_is_masked_wherever_its_tools_look() -> None:
    error = {"class": "RuntimeError", "message": "the judge is down", "phase": "verify"}
    about = {**result()["rollout"], "status": "verifier_error", "error": error}
    made = masked_row(result(reward=None, reward_components={}, rollout=about))
    assert (made["reward"], made["mask_sample"], made["instance_config"]) == (0.0, True, {"mask_sample": True})
    assert (made["failure_kind"], made["_ng_failure_class"]) == ("gym:verifier_error", "verifier_error")
    assert made["failure_reason"] == "RuntimeError: the judge is down"
    assert made["response"]["output"][0]["content"][0]["text"] == "Ten."
    metrics = aggregate_metrics({"verify_responses": [made, result_row(result())]})["agent_metrics"]
    assert (metrics["mean/reward"], metrics["left_out"]) == (0.5, 1)
