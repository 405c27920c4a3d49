"""What a run says of itself: the summary, the manifest, and no secret in either."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import pytest
from pydantic import Field, SecretStr

from gym_core import FromEnv, Operational, Options, Session, Trajectory, Verdict, tool
from gym_core.engine.config import Invocation
from gym_core.errors import BadRequestError, ServerError
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, call
from tests.support.running import run

SECRET = "sk-very-secret-0123456789"


def read(path: Path) -> Any:
    return orjson.loads(path.read_bytes())


class Graded(Session[Any]):
    @tool
    def look(self) -> str:
        """Look."""
        return "seen"

    def verify(self, trajectory: Trajectory) -> Verdict:
        reward = float(self.task["wanted"])
        return Verdict(reward, {"half": reward / 2})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


def test_the_summary_counts_and_averages(output: Path) -> None:
    def answer(request: Any, context: Any) -> Any:
        if context.key[0] == "t2":
            return BadRequestError("temperature is not supported", status=400)
        return call("look") if len(request.input) == 1 else "done"

    tasks = [ask(number, wanted=number % 2) for number in range(3)]
    ended = run(ScriptedModel(answer), env(Graded, tasks), output=output, repeats=2, concurrency=1)
    summary = ended.summary
    assert summary == read(output.with_name("x.summary.json"))
    assert summary["state"] == "finished"
    assert summary["output"] == str(output)
    assert summary["rollouts"] == {
        "planned": 6, "with_verdict": 4, "failed": 2, "cancelled": 0, "kept": 0, "skipped_rows": 0,
    }  # fmt: skip
    assert summary["statuses"] == {"completed": 4, "model_error": 2}
    reward = summary["reward"]
    assert (reward["mean"], reward["rollouts"], reward["left_out"]) == (0.5, 4, 2)
    assert reward["mean_over_all"] == pytest.approx(2 / 6)
    assert reward["components"]["half"]["mean"] == 0.25
    assert reward["pass@k"]["1"]["mean"] == reward["pass^k"]["2"]["mean"] == 0.5
    assert reward["pass@k"]["2"]["tasks"] == 2
    assert summary["usage"]["input_tokens"] == 8 * 10
    assert summary["usage"]["total_tokens"] == 8 * 12
    assert summary["tools"] == {"calls": 4, "errors": {}}
    (group,) = summary["errors"]
    assert (group["status"], group["class"], group["phase"], group["count"]) == (
        "model_error", "BadRequestError", "model", 2,
    )  # fmt: skip
    assert group["example"] == "temperature is not supported"
    assert group["remedy"]


def test_a_run_of_nothing_has_a_summary(output: Path) -> None:
    summary = run(None, env(), output=output, limit=0).summary
    assert summary["reward"]["mean"] is None
    assert summary["rollouts"]["planned"] == 0


def test_causes_are_grouped_the_most_frequent_first() -> None:
    class Failing(PlainSession):
        def setup(self) -> None:
            raise {0: ValueError, 1: KeyError}.get(int(self.task["kind"]), OSError)("it is broken")

    tasks = [ask(number, kind=min(number, 2)) for number in range(6)]
    errors = run(None, env(Failing, tasks)).summary["errors"]
    assert [(group["class"], group["count"]) for group in errors] == [
        ("OSError", 4),
        ("ValueError", 1),
        ("KeyError", 1),
    ]


def test_the_manifest_says_what_produced_the_rows(output: Path) -> None:
    ended = run(
        ScriptedModel(name="m"),
        env(name="e"),
        output=output,
        seed=3,
        limit=1,
        repeats=2,
        invocation=Invocation(argv=["run", "--x"]),
    )
    manifest = read(output.with_name("x.run.json"))
    assert manifest["run_id"] == ended.summary["run_id"]
    assert manifest["format_version"] == 1
    assert manifest["argv"] == ["run", "--x"]
    assert manifest["settings"]["models"]["policy"]["ref"] == "m"
    assert manifest["settings"]["env"]["ref"] == "e"
    assert manifest["settings"]["seed"] == 3
    assert manifest["extent"] == {"limit": 1, "repeats": 2}
    assert manifest["created_at"]


class Keyed(ScriptedModel):
    """A backend with a key, which it blurts out."""

    class Options(Options):
        """Options."""

        api_key: Annotated[SecretStr, FromEnv("SOME_VARIABLE")] = Field(default=SecretStr(""), description="Key.")
        style: str = Field(default="plain", description="How it talks.")
        request_timeout: Annotated[float, Operational()] = Field(default=3.0, description="Seconds.")


def leaking(key: str) -> ScriptedModel:
    def answer(request: Any, context: Any) -> Any:
        if context.key[0] == "t0":
            return BadRequestError(f"the key {key} may not do this", status=400)
        return f"my key is {key}"

    return Keyed(answer, options=Keyed.Options(api_key=SecretStr(key)))


def files(output: Path) -> bytes:
    return b"".join(path.read_bytes() for path in output.parent.iterdir())


@pytest.mark.parametrize("key", [SECRET, 'quo"te\\back-slash', "schlüssel-geheim"])
def test_a_key_is_in_no_file_whatever_the_backend_says(key: str, output: Path) -> None:
    run(leaking(key), env(tasks=2), output=output, invocation=Invocation(argv=["-M", f"api_key={key}"]), concurrency=1)
    for secret in (key, orjson.dumps(key).decode()[1:-1]):
        assert secret.encode() not in files(output)
    assert b"***" in output.read_bytes()
    assert b"***" in output.with_name("x.failures.jsonl").read_bytes()
    for path in output.parent.iterdir():
        for line in path.read_bytes().splitlines() if path.suffix == ".jsonl" else [path.read_bytes()]:
            orjson.loads(line)


def test_a_key_from_the_dotenv_file_is_masked(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_VENDOR_API_KEY", raising=False)
    Path(".env").write_text(f"SOME_VENDOR_API_KEY={SECRET}\n")
    try:
        run(ScriptedModel(f"my key is {SECRET}"), output=output)
    finally:
        monkeypatch.delenv("SOME_VENDOR_API_KEY", raising=False)
    assert SECRET.encode() not in files(output)
    assert b"***" in output.read_bytes()


def test_options_stand_in_the_manifest_without_the_secret_ones(output: Path) -> None:
    run(leaking(SECRET), env(tasks=2), output=output)
    settings = read(output.with_name("x.run.json"))
    assert settings["settings"]["models"]["policy"]["options"] == {"style": "plain"}
    assert settings["operational"]["options"]["policy"] == {"request_timeout": 3.0}


def test_an_operational_option_may_differ_when_resuming_and_another_may_not(output: Path) -> None:
    run(Keyed(options=Keyed.Options()), output=output)
    run(Keyed(options=Keyed.Options(request_timeout=9)), output=output, mode="resume")
    with pytest.raises(Exception, match=r'style: "plain" -> "fancy"'):
        run(Keyed(options=Keyed.Options(style="fancy")), output=output, mode="resume")


def test_retries_are_no_failures_and_their_waiting_is_told() -> None:
    class Patient(ScriptedModel):
        max_retries = 1

    ended = run(Patient(ServerError("x", status=500, retry_after=0.01), "done"))
    assert ended.statuses() == ["completed"]
    assert ended.summary["mean_seconds"]["waited"] >= 0.01
