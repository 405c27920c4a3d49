"""Rows as the world writes JSON: read exactly or refused by name, and written so that everybody can read them."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import Task, UsageError, Verdict, encode_json, parse_json
from gym_nemo.formats import NemoExporter
from gym_results.comparison import Statistics
from gym_results.reading import ResultsFile
from gym_results.rescoring import open_rescore
from gym_results.rollout_view import render
from gym_results.run_rows import RunRows, Selection
from tests.support.envs import PlainSession, env, row
from tests.support.exports import export_lines
from tests.support.loop import asynchronous
from tests.support.running import config, execute, run
from tests.support.served_envs import served

BIG = 2**80 + 1
REQUEST = '"responses_create_params": {"input": "Hi"}'


class Seeing(PlainSession):
    """Says what it was given."""

    def verify(self, trajectory: Any) -> Verdict:
        return Verdict(1.0, {}, {"saw": repr(self.task.get("x"))})


def strictly(line: bytes) -> Any:
    """What a strict reader of JSON reads."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    assert not line.startswith(b"\xef\xbb\xbf")
    orjson.loads(line)
    return json.loads(line.decode(), parse_constant=refuse)


ODD = {
    "beyond 64 bits": (f'{{"x": {BIG}, {REQUEST}}}', repr(BIG), BIG),
    "below them": (f'{{"x": [{-(2**63) - 1}], {REQUEST}}}', repr([-(2**63) - 1]), [-(2**63) - 1]),
    "NaN": (f'{{"x": NaN, {REQUEST}}}', "nan", None),
    "infinite and long": (f'{{"x": [-Infinity, {BIG}], {REQUEST}}}', f"[-inf, {BIG}]", [None, BIG]),
    "byte order mark": ("\ufeff" + f'{{"x": 1, {REQUEST}}}', "1", 1),
    "half a pair": (f'{{"x": "\\ud800!", {REQUEST}}}', repr("\ufffd!"), "\ufffd!"),
    "a pair": (f'{{"x": "\\ud83d\\ude00", {REQUEST}}}', repr("\U0001f600"), "\U0001f600"),
    "deep": (f'{{"x": {"[" * 400}{"]" * 400}, {REQUEST}}}', "[" * 400 + "]" * 400, ...),
    "deep and odd": (f'{{"y": ["\\u00e9", {BIG}, {"[" * 600}{"]" * 600}], "x": 1, {REQUEST}}}', "1", 1),
}


@pytest.mark.parametrize(("text", "saw", "kept"), ODD.values(), ids=ODD)
def test_what_is_clear_is_read_and_stays_exact_wherever_it_is_read(
    text: str, saw: str, kept: Any, tmp_path: Path
) -> None:
    source, output = tmp_path / "in.jsonl", tmp_path / "x.jsonl"
    source.write_bytes(text.encode() + b"\n")
    ended = run(None, env(Seeing), input=source, output=output)
    assert ended.rollouts[0].info["saw"] == saw
    (line,) = output.read_bytes().splitlines()
    assert kept is ... or strictly(line)["x"] == kept
    assert run(None, env(Seeing), input=source, output=output, mode="resume").rollouts == []
    (stored,) = ResultsFile(output).rollouts()
    assert kept is ... or stored.row["x"] == kept
    assert Statistics(output, by=("x",)).result["reward"]["mean"] == 1.0
    assert next(RunRows(output).find("1#0", Selection())).row["x"] == stored.row["x"]
    (exported,) = export_lines(NemoExporter(), output)
    assert kept is ... or strictly(exported)["x"] == kept
    again = run(None, env(Seeing), input=output)
    assert kept is ... or again.rollouts[0].info["saw"] == repr(kept)


@asynchronous
async def test_it_stays_exact_on_the_way_to_an_environment_elsewhere(tmp_path: Path) -> None:
    tasks = [{"x": BIG, "task_id": "t", "responses_create_params": {"input": "Hi"}}]
    async with served(env(Seeing, tasks)) as url:
        (rollout,) = (await execute(config(None, url))).rollouts
    assert rollout.row["x"] == BIG, rollout.error
    assert rollout.info["saw"] == repr(BIG)


@asynchronous
async def test_it_stays_exact_when_it_is_verified_again(tmp_path: Path) -> None:
    await execute(
        config(None, env(Seeing, [{"x": BIG, "responses_create_params": {"input": "Hi"}}]), output=tmp_path / "x.jsonl")
    )
    async with open_rescore(tmp_path / "x.jsonl", env=env(Seeing)) as rescore:
        await rescore.execute()
    row = parse_json((tmp_path / "x.rescored.jsonl").read_bytes())
    assert (row["x"], row["rollout"]["info"]["saw"]) == (BIG, repr(BIG))


def nested(levels: int, value: Any = 1) -> Any:
    """Lists in lists."""
    for _ in range(levels):
        value = [value]
    return value


class Deep(PlainSession):
    """Says something that nests as the task wants it."""

    def verify(self, trajectory: Any) -> Verdict:
        return Verdict(1.0, {}, {"x": nested(self.task.get("levels", 0))})


def deep_rows(levels: int) -> dict[str, dict[str, Any]]:
    """Rows with something deep in each place that the engine looks at, before it runs or when it writes."""
    message = {"role": "user", "content": "Hi", "x": nested(levels)}
    return {
        "field": {"x": nested(levels), "responses_create_params": {"input": "Hi"}},
        "input": {"responses_create_params": {"input": [message]}},
        "parameter": {"responses_create_params": {"input": "Hi", "metadata": nested(levels)}},
        "info": {"levels": levels, "responses_create_params": {"input": "Hi"}},
    }


# around the 1024 levels that a line may have: something that fits by itself and not where it stands in the row
@pytest.mark.parametrize("levels", [700, *range(1018, 1027), 3000])
@pytest.mark.parametrize("place", deep_rows(0))
def test_a_row_of_any_depth_costs_itself_alone(place: str, levels: int, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"

    def ran(mode: str) -> Any:
        return run(None, env(Deep, [deep_rows(levels)[place], row(1)]), output=output, mode=mode, concurrency=1)

    ended = ran("new")
    assert (ended.error, len(ended.rollouts)) == (None, 2)
    assert ended.summary["rollouts"]["with_verdict"] >= (2 if levels == 700 else 1)
    assert ran("resume").rollouts == []
    assert len([*ResultsFile(output).rollouts()]) == 2
    for stored in (output, output.with_name("x.failures.jsonl")):
        if stored.exists():
            assert "repeat 0" in render(next(RunRows(stored).find("1", Selection())).row, width=80, redact=str)


def test_a_deep_input_in_a_file_costs_itself_alone(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"".join(encode_json(line) + b"\n" for line in (deep_rows(900)["input"], row(1))))
    ended = run(input=source, output=tmp_path / "x.jsonl")
    assert (ended.error, ended.statuses()) == (None, ["completed"] * 2)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
LINE = f'{{"x": "caf\u00e9", {REQUEST}}}\n'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS, "Git LFS pointer"),
        (gzip.compress(LINE.encode()), "compressed with gzip"),
        (LINE.encode("utf-16"), "UTF-16"),
        (LINE.encode("utf-16-le"), "UTF-16"),
        (LINE.encode("utf-32"), "UTF-32"),
        (b"PAR1" + bytes(100), "Parquet"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (b"Obj\x01" + bytes(100), "binary data"),
        (b"\x80\x05\x95" + bytes(100), "pickle"),
        (bytes(4096) + b"\n", "zero bytes"),
        (bz2.compress(LINE.encode()), "unpack it first"),
        (b"[" + LINE.strip().encode() + b"]\n", "one JSON array"),
        (json.dumps([json.loads(LINE)], indent=2).encode(), "one JSON array"),
        (json.dumps(json.loads(LINE), indent=2).encode("utf-8-sig"), "over several lines"),
        (b"<!DOCTYPE html>\n", "markup"),
        (LINE.encode("latin-1"), "not UTF-8 text"),
    ],
    ids=[
        "lfs",
        "gzip",
        "utf-16",
        "utf-16 without mark",
        "utf-32",
        "parquet",
        "zip",
        "avro",
        "pickle",
        "zeros",
        "bzip2",
        "array",
        "indented array",
        "indented",
        "html",
        "latin-1",
    ],
)
@pytest.mark.parametrize("skip", [False, True])
def test_a_file_that_is_something_else_is_named(content: bytes, words: str, skip: bool, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        run(input=source, skip_invalid=skip)
    assert words in f"{caught.value} {caught.value.hint}" or skip
    assert "surrogates" not in str(caught.value)


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        (b'"reward":1.0', b'"reward":"1"', "reward"),
        (b'"reward":1.0', b'"reward":NaN', "reward"),
        (b'"reward":1.0', b'"reward":true', "reward"),
        (b'"repeat":0', b'"repeat":-1', "repeat"),
        (b'"repeat":0', b'"repeat":"0"', "repeat"),
        (b'"repeat":0', b'"repeat":null', "repeat"),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else value,
)
def test_a_result_that_nobody_can_compute_with_is_named(then: bytes, now: bytes, words: str, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    run(output=output)
    output.write_bytes(output.read_bytes().replace(then, now))
    for read in (
        lambda: list(ResultsFile(output).rollouts()),
        lambda: Statistics(output, by=()),
        lambda: next(RunRows(output).find(None, Selection())),
        lambda: run(output=output, mode="resume"),
    ):
        with pytest.raises(UsageError, match=rf"x\.jsonl:1: the {words} .* no number that gym writes"):
            read()


def test_blank_lines_in_results_are_passed_over(tmp_path: Path) -> None:
    def session(number: int) -> dict[str, Any]:
        return {"task_id": str(number), "reward_wanted": [1.0, "bad"][number], **json.loads(f"{{{REQUEST}}}")}

    output = tmp_path / "x.jsonl"
    tasks = [session(0), session(1)]
    assert sorted(run(None, env(tasks=tasks), output=output).statuses()) == ["completed", "verifier_error"]
    for path in (output, output.with_name("x.failures.jsonl")):
        path.write_bytes(b"\r\n" + path.read_bytes() + b"\n  \n")
    assert run(None, env(tasks=tasks), output=output, mode="resume").rollouts == []
    assert len([*ResultsFile(output).rollouts()]) == 2


def test_what_is_zipped_twice_is_named(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl.gz"
    source.write_bytes(gzip.compress(gzip.compress(LINE.encode())))
    with pytest.raises(UsageError, match="compressed with gzip"):
        run(input=source)


@pytest.mark.parametrize("number", ["1e999", "1" * 5000])
def test_a_number_that_nobody_can_hold_is_refused_not_rounded(number: str, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"x": {number}, {REQUEST}}}\n')
    with pytest.raises(UsageError, match=r"in\.jsonl:1: it has (a number|an integer)"):
        run(input=source)


def test_prices_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    for name, text in (("p.json", '{"m": {"input": 1, "output": 2}}'), ("p.toml", "[m]\ninput = 1\noutput = 2\n")):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert run(prices=tmp_path / name).error is None


def test_the_reward_by_a_field_that_is_odd(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    tasks = [Task.ask("?", x=value) for value in (BIG, float("nan"), deep)]
    ended = run(None, env(tasks=tasks), by=("x",), output=tmp_path / "x.jsonl")
    assert ended.error is None
    assert str(BIG) in ended.summary["reward"]["by"]["x"]["values"]
