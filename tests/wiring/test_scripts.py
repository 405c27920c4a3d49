"""Files with classes as components: which class is meant, what belongs to it, and what is wrong with others."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from gym_core import UsageError
from gym_core.spi import Kind, PluginManager, Reference
from gym_testing import ResourceServerConformance
from tests.support.scripts import write_scripts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write_scripts(tmp_path / "project"))
    return Path.cwd()


def load(kind: Kind, reference: str) -> type:
    component: type = PluginManager(environ={}).load(kind, reference).component
    return component


def refused(kind: Kind, reference: str) -> str:
    with pytest.raises(UsageError) as caught:
        load(kind, reference)
    return f"{caught.value.message}; {caught.value.hint}"


def files(reference: str) -> dict[str, str]:
    script = PluginManager(environ={}).load(Kind.RESOURCE_SERVER, reference).script
    assert script is not None
    return dict(script.files)


def test_the_only_class_of_a_kind_is_meant(folder: Path) -> None:
    assert load(Kind.RESOURCE_SERVER, "./env.py").__name__ == "Sums"
    assert load(Kind.RESOURCE_SERVER, "env.py:Sums").__name__ == "Sums"
    assert load(Kind.AGENT, str(folder / "agent.py")).__name__ == "Patient"
    assert load(Kind.MODEL, "../project/model.py").__name__ == "Adding"


@pytest.mark.parametrize(
    ("text", "path", "member", "selector"),
    [
        ("./env.py", "./env.py", None, None),
        ("env.py:Sums", "env.py", "Sums", None),
        ("a/b.c/env.py:Sums:x:y/z", "a/b.c/env.py", "Sums", "x:y/z"),
        ("~/my env.py", "~/my env.py", None, None),
        ("C:\\work\\env.py:A", "C:\\work\\env.py", "A", None),
    ],
)
def test_parts_of_a_reference(text: str, path: str, member: str | None, selector: str | None) -> None:
    reference = Reference.parse(text)
    assert (reference.path, reference.member, reference.selector) == (path, member, selector)
    assert str(reference) == text


def test_a_reference_to_a_model_file_stays_one(folder: Path) -> None:
    assert Reference.parse("local:/models/x.py").path is None


def test_one_of_several_is_named(folder: Path) -> None:
    (folder / "two.py").write_text(
        "from gym_core import ResourceServer, Session\n"
        "class S(Session):\n    def verify(self, trajectory): return 1.0\n"
        "class _Base(ResourceServer):\n    session_type = S\n    def tasks(self): return []\n"
        "class A(_Base): 'A.'\nclass B(_Base): 'B.'\n",
        "utf-8",
    )
    said = refused(Kind.RESOURCE_SERVER, "two.py")
    assert "two.py has 2 environments: A, B; name one: two.py:A" in said
    assert load(Kind.RESOURCE_SERVER, "two.py:B").__name__ == "B"
    assert load(Kind.RESOURCE_SERVER, "two.py:_Base").__name__ == "_Base"
    assert "two.py has no class 'a'; did you mean 'A'?; it has A, B" in refused(Kind.RESOURCE_SERVER, "two.py:a")


def test_what_is_imported_counts_only_by_its_name(folder: Path) -> None:
    (folder / "more.py").write_text("from agent import Patient\nNUMBER = 3\n", "utf-8")
    assert "more.py has no agent; write a class in it that extends gym_core.Agent" in refused(Kind.AGENT, "more.py")
    assert load(Kind.AGENT, "more.py:Patient").__name__ == "Patient"
    assert "more.py:NUMBER: NUMBER is no class but of int" in refused(Kind.AGENT, "more.py:NUMBER")


def test_another_kind_is_named(folder: Path) -> None:
    said = refused(Kind.RESOURCE_SERVER, "agent.py")
    assert "agent.py has no environment; its class Patient is an agent; `gym run --agent agent.py`" in said
    said = refused(Kind.RESOURCE_SERVER, "agent.py:Patient")
    assert "agent.py: Patient must be a subclass of ResourceServer, not the class Patient" in said


def test_a_runner_does_where_an_agent_is_asked_for(folder: Path) -> None:
    (folder / "runner.py").write_text(
        "from gym_core import Runner\nclass Home(Runner):\n    'Home.'\n    async def run(self, task, context): ...\n",
        "utf-8",
    )
    loaded = PluginManager(environ={}).load(Kind.AGENT, "./runner.py")
    assert (loaded.plugin.kind, loaded.component.__name__) == (Kind.RUNNER, "Home")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("./envv.py", r"\./envv\.py: there is no such file; did you mean env\.py\?; it would be /"),
        ("./nowhere/env.py", "there is no such file"),
        ("./sub", "./sub is a folder"),
        (".", r"\. is a folder"),
        ("./env", r"./env: there is no such file; did you mean ./env\.py\?"),
        ("./env.txt", r"./env\.txt does not end in \.py"),
        ("./env.py:", "nothing follows the colon"),
        ("./folder.py", "./folder.py is a folder"),
        ("./broken.py", r"\./broken\.py:2: .*: def verify\(self"),
        (
            "./missing.py",
            r"\./missing\.py:3: ModuleNotFoundError: No module named 'nowhere_at_all'; install what offers",
        ),
        ("./raises.py", r"\./raises\.py:2: RuntimeError: boom"),
        ("./exits.py", r"\./exits\.py:1: SystemExit: 3"),
        ("./relative.py", r"\./relative\.py:1: ImportError: .*`import helpers` finds helpers\.py"),
        ("./runs.py", r"\./runs\.py: .*|\./runs\.py:\d+: .*"),
        ("./nulls.py", r"\./nulls\.py.*null bytes"),
        ("./wide.py", r"\./wide\.py.*"),
        ("./half.py", r"\./half\.py.*Half does not define `run`"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder: Path, reference: str, said: str) -> None:
    (folder / "sub").mkdir()
    (folder / "folder.py").mkdir()
    for name, source in {
        "broken": b"class A:\n    def verify(self\n",
        "missing": b"\n\nimport nowhere_at_all\n",
        "raises": b"\nraise RuntimeError('boom')\n",
        "exits": b"raise SystemExit(3)\n",
        "relative": b"from . import helpers\n",
        "runs": b"import asyncio\n\nasync def main(): raise OSError\n\nasyncio.run(main())\n",
        "nulls": b"a = 1\0\n",
        "wide": "import gym_core\n".encode("utf-16"),
        "half": b"import gym_core\nclass Half(gym_core.Agent): 'Half.'\n",
    }.items():
        (folder / f"{name}.py").write_bytes(source)
    with pytest.raises(UsageError) as caught:
        load(Kind.AGENT if "half" in reference else Kind.RESOURCE_SERVER, reference)
    assert re.search(said, f"{caught.value.message}; {caught.value.hint}")
    assert "\n" not in caught.value.message


def test_an_executor_is_no_script(folder: Path) -> None:
    assert "an executor is a plugin that is installed" in refused(Kind.EXECUTOR, "./env.py")


def test_an_unknown_name_that_is_a_file_here_is_answered_with_it(folder: Path) -> None:
    assert "`--env ./env.py` means the file" in refused(Kind.RESOURCE_SERVER, "env")


def test_what_a_script_imports_from_its_folder_belongs_to_it(folder: Path) -> None:
    (folder / "kit").mkdir()
    (folder / "kit" / "__init__.py").write_text("from .inner import X\n", "utf-8")
    (folder / "kit" / "inner.py").write_text("X = 1\n", "utf-8")
    (folder / "kit" / "unused.py").write_text("X = 1\n", "utf-8")
    (folder / "late.py").write_text("Y = 1\n", "utf-8")
    (folder / "helpers.py").write_text("import json\nimport kit\ndef total():\n    import late\n", "utf-8")
    before = files("./env.py")
    assert sorted(before) == ["env.py", "helpers.py", "kit/__init__.py", "kit/inner.py", "late.py"]
    (folder / "kit" / "unused.py").write_text("X = 2\n", "utf-8")
    assert files("./env.py") == before
    (folder / "late.py").write_text("Y = 2\n", "utf-8")
    after = files("./env.py")
    assert {name for name in after if after[name] != before[name]} == {"late.py"}


def test_what_was_edited_is_loaded_anew(folder: Path) -> None:
    first = load(Kind.RESOURCE_SERVER, "./env.py")
    assert load(Kind.RESOURCE_SERVER, "./env.py") is first
    helpers = folder / "helpers.py"
    helpers.write_text(helpers.read_text("utf-8").replace("1.0", "0.5"), "utf-8")
    second = load(Kind.RESOURCE_SERVER, "./env.py")
    assert second is not first
    import helpers as loaded  # type: ignore[import-not-found,unused-ignore]

    assert loaded.reward("done") == 0.5


def test_two_files_of_one_name_are_two_modules(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "agent.py").write_text((folder / "agent.py").read_text("utf-8"), "utf-8")
    assert load(Kind.AGENT, "./agent.py") is not load(Kind.AGENT, "../other/agent.py")
    assert pickle.loads(pickle.dumps(load(Kind.AGENT, "./agent.py"))) is load(Kind.AGENT, "./agent.py")


def test_a_file_that_another_module_hides_is_refused(folder: Path) -> None:
    (folder / "json.py").write_text("", "utf-8")
    (folder / "uses.py").write_text("import json\n", "utf-8")
    assert "imports 'json', which is" in refused(Kind.AGENT, "./uses.py")
    assert "rename json.py" in refused(Kind.AGENT, "./uses.py")


def test_no_cache_is_left_beside_a_script(folder: Path) -> None:
    load(Kind.RESOURCE_SERVER, "./env.py")
    assert not (folder / "__pycache__").exists()


def test_what_a_script_prints_goes_to_standard_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "loud.py").write_text("print('hello')\n" + (folder / "agent.py").read_text("utf-8"), "utf-8")
    load(Kind.AGENT, "./loud.py")
    assert capsys.readouterr() == ("", "hello\n")


def test_a_conformance_suite_takes_one(folder: Path) -> None:
    class Suite(ResourceServerConformance):
        reference = "./env.py"
        options = {"size": 2}

    suite = Suite()
    suite.test_entry_point_offers_the_component()
    suite.test_import_is_light()
    suite.test_options_resolve()
    assert suite.make().options.size == 2
