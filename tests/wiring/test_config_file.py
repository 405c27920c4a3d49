"""A run as a file: which keys it has, and whose options they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from gym_core import Component, FromEnv, Options, Selector, UsageError
from gym_core.spi import Configured, Resolved, resolve_options
from gym_core.wiring.config_file import ConfigFile, find_project_config, read_config


def written(folder: Path, text: str, name: str = "run.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str, name: str = "run.toml") -> ConfigFile:
    return read_config(written(folder, text, name))


class TestReading:
    """What a file may hold."""

    def test_options_models_and_tables(self, tmp_path: Path) -> None:
        found = read(tmp_path, 'model = "a:b"\nenv = "e"\nlimit = 3\n[model_options]\nx = 1\n[env_options]\ny = 2\n')
        assert found.models == {"policy": "a:b"}
        assert found.options == {"env": "e", "limit": 3}
        assert found.model_options == {"x": 1}
        assert {place: options for place, options in found.component_options.items() if options} == {"env": {"y": 2}}

    def test_models_by_role(self, tmp_path: Path) -> None:
        found = read(tmp_path, '[models]\npolicy = "a"\njudge = "b"\n')
        assert found.models == {"policy": "a", "judge": "b"}

    def test_a_byte_order_mark_is_overlooked(self, tmp_path: Path) -> None:
        assert read(tmp_path, "\ufefflimit = 1\n").options == {"limit": 1}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("limt = 1", "did you mean 'limit'?"),
            ("max-tokens = 1", "did you mean 'max_tokens'?"),
            ("[env_option]\nx = 1", "did you mean 'env_options'?"),
            ("resume = true", "belongs to one invocation"),
            ("limit =\nenv = 1", "line 1, column"),
            ("env = simple", "not TOML"),
            ('model = "a"\n[models]\npolicy = "b"', "are the same"),
            ("model = 3", "model must be text"),
            ("[models]\njudge = 3", "models.judge must be text"),
            ("env_options = 3", "env_options must be a table"),
        ],
    )
    def test_what_is_wrong_is_named_with_the_file(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(UsageError) as raised:
            read(tmp_path, text)
        assert words in raised.value.message
        assert raised.value.message.startswith(str(tmp_path / "run.toml"))
        assert raised.value.hint

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file"):
            read_config(tmp_path / "run.toml")

    def test_a_file_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "run.toml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UsageError, match="not UTF-8"):
            read_config(tmp_path / "run.toml")


class TestProject:
    """`[tool.gym]` of a `pyproject.toml`."""

    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_there_is_no_file(self) -> None:
        assert find_project_config() is None

    @pytest.mark.parametrize("text", ['[project]\nname = "x"', "[tool.ruff]\nx = 1 # gym", "broken", "tool = 3 # gym"])
    def test_there_is_no_table(self, tmp_path: Path, text: str) -> None:
        written(tmp_path, text, "pyproject.toml")
        assert find_project_config() is None

    def test_the_table_is_read_and_named(self, tmp_path: Path) -> None:
        written(tmp_path, '[tool.gym]\nlimit = 3\n[tool.gym.models]\njudge = "j"\n', "pyproject.toml")
        found = find_project_config()
        assert found is not None
        assert (found.options, found.models) == ({"limit": 3}, {"judge": "j"})
        assert found.origin == "file pyproject.toml [tool.gym]"

    def test_an_unknown_key_is_an_error(self, tmp_path: Path) -> None:
        written(tmp_path, "[tool.gym]\nlimt = 3\n", "pyproject.toml")
        with pytest.raises(UsageError, match=r"pyproject.toml \[tool.gym\]: there is no key 'limt'"):
            find_project_config()

    def test_naming_a_file_without_the_table_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no table"):
            read(tmp_path, "[tool.ruff]\n", "pyproject.toml")

    def test_the_table_must_be_one(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="must be a table"):
            read(tmp_path, "[tool]\ngym = 3\n", "pyproject.toml")


class TestOwners:
    """Which component the options of a file belong to."""

    FILE = ConfigFile(
        "run.toml",
        options={"env": "talk"},
        models={"policy": "openai:a", "judge": "openai:b"},
        model_options={"temperature": 0.5, "extra_body": {"x": 1}, "judge": {"temperature": 0}},
        component_options={"env": {"size": 2}, "agent": {"max_turns": 3}},
    )

    def test_tables_of_roles_are_told_from_options_that_are_tables(self) -> None:
        found, left_out = self.FILE.configured(dict(self.FILE.models), {"env": "talk"})
        assert found["policy"].values == {"temperature": 0.5, "extra_body": {"x": 1}}
        assert found["judge"].values == {"temperature": 0}
        assert found["env"].values == {"size": 2}
        assert found["agent"].values == {"max_turns": 3}
        assert left_out == []

    def test_another_selector_or_distribution_is_still_the_same_component(self) -> None:
        found, left_out = self.FILE.configured({"policy": "gym-openai-model/openai:c"}, {"env": "talk:x"})
        assert found.keys() >= {"policy", "env"}
        assert left_out == []

    def test_options_of_a_component_that_is_replaced_are_left_out_and_named(self) -> None:
        found, left_out = self.FILE.configured({"policy": "local", "judge": "openai"}, {"env": "other"})
        assert found.keys() == {"judge", "agent"}
        assert len(left_out) == 2
        assert "run.toml: [env_options] is for talk, not for other: it is left out" in left_out


class ThingOptions(Options):
    model: Annotated[str, Selector()] = Field("m", description="Which.")
    key: Annotated[SecretStr | None, FromEnv("THING_KEY")] = Field(None, description="The key.")
    size: int = Field(1, gt=0, description="How large.")
    folder: Path = Field(Path("."), description="Where.")


class Thing(Component[ThingOptions]):
    """A component."""


def resolved(
    configured: Configured, given: dict[str, str] | None = None, selector: str | None = None, **environ: str
) -> Resolved:
    return resolve_options(Thing, "thing", given or {}, selector, environ=environ, configured=configured)


def of_file(**values: object) -> Configured:
    return Configured(values, "file run.toml", "run.toml: env_options.", Path("conf"))


class TestOptions:
    """What a file says of a component's options."""

    def test_the_environment_goes_over_a_file_and_the_command_line_over_both(self) -> None:
        configured = of_file(size=2)
        assert (resolved(configured).options.size, resolved(configured).origins["size"]) == (2, "file run.toml")
        found = resolved(configured, GYM_THING_SIZE="3")
        assert (found.options.size, found.origins["size"]) == (3, "environment GYM_THING_SIZE")
        assert resolved(configured, {"size": "4"}, GYM_THING_SIZE="3").options.size == 4

    def test_a_reference_goes_over_a_file(self) -> None:
        assert resolved(of_file(model="a"), selector="b").options.model == "b"

    def test_paths_start_from_the_folder_of_the_file(self) -> None:
        assert resolved(of_file(folder="data")).options.folder == Path("conf/data")
        assert resolved(of_file(folder="/data")).options.folder == Path("/data")

    def test_an_unknown_option_is_an_error_with_its_place(self) -> None:
        with pytest.raises(
            UsageError, match=r"thing has no option 'sise' \(run.toml: env_options.sise\); did you mean"
        ):
            resolved(of_file(sise=2))

    def test_a_value_that_does_not_fit_is_an_error_with_its_place(self) -> None:
        with pytest.raises(UsageError, match=r"run.toml: env_options.size = 0: input should be greater than 0"):
            resolved(of_file(size=0))

    def test_a_secret_is_refused_and_not_shown(self) -> None:
        with pytest.raises(UsageError) as raised:
            resolved(of_file(key="very-secret-value"))
        assert "very-secret-value" not in str(raised.value)
        assert "THING_KEY" in raised.value.hint
        assert ".env" in raised.value.hint


class TestRecorded:
    """What a manifest says of a component's options."""

    MANIFEST = Configured({"model": "a", "size": 1, "folder": "x"}, "file x", "x: ", recorded=frozenset({"model"}))

    def test_it_goes_over_the_environment(self) -> None:
        assert resolved(self.MANIFEST, GYM_THING_MODEL="b", GYM_THING_SIZE="7").options.size == 1
        assert resolved(self.MANIFEST, GYM_THING_MODEL="b").options.model == "a"
        assert resolved(self.MANIFEST, {"model": "c"}).options.model == "c"

    def test_what_was_left_alone_does_not_count_as_given(self) -> None:
        found = resolved(self.MANIFEST)
        assert found.origins["size"] == "default"
        assert found.options.model_fields_set == {"model", "folder"}

    def test_a_default_that_has_changed_since_is_as_it_was(self) -> None:
        assert resolved(self.MANIFEST).options.folder == Path("x")

    def test_secrets_come_from_the_environment(self) -> None:
        key = resolved(self.MANIFEST, THING_KEY="k").options.key
        assert key.get_secret_value() == "k"
