"""The page that needs no server."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_viewer.api import rollouts
from gym_viewer.application import page_files
from gym_viewer.export import bundle, page_of, write_page
from gym_viewer.index.row import LONGEST
from tests.viewer.stored import message, model_call, row, tool_call, tool_output, write_run

HOSTILE = "</script><script>alert(1)</script><!--<script>\u2028"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "r" / "x.jsonl",
        [row("a", output=[message("assistant", HOSTILE)]), row("b", fields={HOSTILE: HOSTILE}), row("7", 3)],
        [row("c", reward=None)],
    )


def data_of(page: Path) -> dict[str, Any]:
    (found,) = re.findall(
        r'<script type="application/json" id="gym-data">(.*?)</script>', page.read_text("utf-8"), re.S
    )
    data: dict[str, Any] = json.loads(found)
    return data


def test_a_run_is_whole_in_one_file(rows: Path, tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    assert write_page(page, rows, []) == 4
    data = data_of(page)
    run = next(path for path in data["answers"] if path.count("/") == 3)
    assert data["start"] == "#/" + run.removeprefix("/api/")
    answers = data["answers"]
    assert [entry["n"] for entry in answers[f"{run}/rollouts"]["rollouts"]] == ["1", "2", "3", "f1"]
    assert answers[f"{run}/rollouts/1"]["items"]["items"][1]["parts"] == [{"kind": "text", "text": HOSTILE}]
    assert answers[f"{run}/rollouts/f1"]["error"]["message"]
    assert answers["/api/runs"]["selected"] == run.rpartition("/")[2]
    assert any(path.startswith(f"{run}/by?field=") for path in answers)


@pytest.mark.parametrize(
    ("chosen", "names"), [("2", "2"), ("f1", "f1"), ("a", "1"), ("a#0 2", "1 2"), ("7#3", "3"), ("1 1", "1")]
)
def test_chosen_rollouts_are_found_as_elsewhere(rows: Path, tmp_path: Path, chosen: str, names: str) -> None:
    page = tmp_path / "x.html"
    write_page(page, rows, chosen.split())
    data = data_of(page)
    (listed,) = (answer for path, answer in data["answers"].items() if path.endswith("/rollouts"))
    assert [entry["n"] for entry in listed["rollouts"]] == names.split()
    assert data["start"].endswith(f"/rollouts/{names}") == (" " not in names)


@pytest.mark.parametrize("chosen", ["9", "nothing", "a#5", "f9", ""])
def test_a_rollout_that_is_not_there_is_named(rows: Path, tmp_path: Path, chosen: str) -> None:
    with pytest.raises(UsageError, match="has no rollout"):
        write_page(tmp_path / "x.html", rows, [chosen])
    assert not (tmp_path / "x.html").exists()


def test_nothing_that_stands_in_a_row_is_more_than_data(rows: Path, tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    write_page(page, rows, [])
    text = page.read_text("utf-8")
    assert text.lower().count("<script") == text.lower().count("</script") == 2
    assert "alert(1)</script>" not in text
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', text, re.S)
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'(?:src|href)="(?!data:|#)', text.replace(script, ""))


def test_the_modules_of_the_page_become_one_script() -> None:
    script = bundle(page_files())
    assert not re.search(r"^(?:import|export)\b", script, re.MULTILINE)
    for name in page_files():
        if name.endswith(".js"):
            assert f"const module_{name.removesuffix('.js').replace('-', '_')} = " in script


@pytest.mark.parametrize(
    ("module", "name", "value"), [("api.js", "CELL", LONGEST), ("columns.js", "MOST", rollouts._COLUMNS)]
)
def test_what_the_page_does_by_itself_has_the_bounds_of_the_api(module: str, name: str, value: int) -> None:
    assert re.findall(rf"^const {name} = (\d+);", page_files()[module].decode(), re.M) == [str(value)]


def test_modules_come_after_those_they_need() -> None:
    page = {
        "main.js": b'import { a, b as c } from "./one.js";\nimport { d } from "./two-three.js";\nrun(a, c, d);\n',
        "one.js": b'import { d } from "./two-three.js";\nexport const a = d;\nexport async function b() {}\n',
        "two-three.js": b"const local = 1;\nexport class d {}\n",
    }
    assert bundle(page) == (
        "const module_two_three = (() => {\nconst local = 1;\nclass d {}\n\nreturn { d };\n})();\n"
        "const module_one = (() => {\nconst { d } = module_two_three;\nconst a = d;\nasync function b() {}\n\n"
        "return { a, b };\n})();\n"
        "const module_main = (() => {\nconst { a, b: c } = module_one;\nconst { d } = module_two_three;\n"
        "run(a, c, d);\n\nreturn {  };\n})();\n"
    )


@pytest.mark.parametrize(
    "source",
    [b'import x from "./one.js";', b'import * as x from "./one.js";', b"export default 1;", b'import "./one.js";',
     b"export { a };", b'import { a } from "./main.js";'],
)  # fmt: skip
def test_modules_of_another_form_are_refused(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"main\.js"):
        bundle({"main.js": source, "one.js": b""})


def test_a_page_that_would_end_itself_is_refused() -> None:
    page = {"index.html": b"", "style.css": b"", "main.js": b"const a = '</script>';"}
    with pytest.raises(ValueError, match="within a page"):
        page_of({"start": "", "answers": {}}, page)


def test_what_a_list_cuts_is_whole_beside_it(tmp_path: Path) -> None:
    text = "word " * 10_000
    output = [tool_call("f", "{}"), tool_output(text), message("assistant", text)]
    runs = [{"actor": "policy", "call": 1, "output": 2}]
    tokens = {"continues": None, "kept": 0, "prompt": [1], "sampled": [2], "logprobs": [-0.5], "version": None}
    calls = [
        model_call([[0, 1]], [[1, 2]], tokens=tokens),
        model_call([[2, 3]], [[3, 4]], continues=0, kept=2, tokens=tokens),
    ]
    rows = write_run(tmp_path / "x.jsonl", [row("a", output=output, tool_calls=runs, model_calls=calls)])
    write_page(tmp_path / "x.html", rows, ["1"])
    answers = data_of(tmp_path / "x.html")["answers"]
    beside = {path.rpartition("/")[2]: answer for path, answer in answers.items() if "/rollouts/1/" in path}
    assert beside.keys() == {"2", "3", "tokens", "tokens?sequence=1"}
    assert beside["2"]["parts"] == beside["3"]["parts"] == [{"kind": "text", "text": text}]
    assert [beside[name]["sequence"] for name in ("tokens", "tokens?sequence=1")] == [0, 1]


def test_other_files_are_not_written_over(rows: Path, tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    page.write_text("my own words")
    with pytest.raises(UsageError, match="is no page"):
        write_page(page, rows, [])
    assert page.read_text() == "my own words"
    page.unlink()
    write_page(page, rows, [])
    write_page(page, rows, ["1"])
    with pytest.raises(UsageError, match="cannot be written"):
        write_page(tmp_path / "no" / "x.html", rows, [])


def test_more_than_a_page_can_hold_is_refused(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_viewer.export._LARGEST", 1000)
    with pytest.raises(UsageError, match="a page takes"):
        write_page(tmp_path / "x.html", rows, [])
    assert write_page(tmp_path / "x.html", rows, ["1"]) == 1
