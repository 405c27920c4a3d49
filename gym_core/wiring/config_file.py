"""A run as a file: `run.toml`, or the table `[tool.gym]` of a `pyproject.toml`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_core.domain.errors import UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.wiring.kinds import Kind
from gym_core.wiring.reference import Reference, located

POLICY = "policy"
ENV = "env"
AGENT = "agent"
GATEWAY = "gateway"
HTTP = "http"
"""The gateway where no other is named."""
SANDBOX = "sandbox"
EXECUTOR = "executor"
PLACES: Mapping[str, Kind] = {
    ENV: Kind.RESOURCE_SERVER,
    AGENT: Kind.AGENT,
    SANDBOX: Kind.SANDBOX,
    GATEWAY: Kind.GATEWAY,
    EXECUTOR: Kind.EXECUTOR,
}
"""What runs besides models, by what files, options and manifests call its place in a run."""
PROJECT_FILE = "pyproject.toml"
MANIFEST = ".json"
"""What the name of a manifest ends with; any other file is TOML."""
PATHS = frozenset({"input", "output", "prices", "log_file"})
ELSEWHERE = frozenset(
    {"resume", "retry_failed", "accept_changes", "overwrite", "json", "config", "no_config", "debug", "yes"}
)
"""Options that belong to one invocation: neither a file nor the environment can set them."""
TIMEOUTS = tuple(f"{name}_timeout" for name in ("rollout", "setup", "tool", "verify"))
_TEXT: tuple[type, ...] = (str,)
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("model", "env", "agent", "sandbox", "task_id", "gateway", "executor", *PATHS), (_TEXT, "text")),
    **dict.fromkeys(("by", "extension", "disable_plugin"), (_TEXT, "text, or a list of it")),
    **dict.fromkeys(("skip_invalid", "group", "verbose", "quiet"), ((bool,), "true or false")),
    **dict.fromkeys(
        ("limit", "repeats", "concurrency", "workers", "seed", "max_tokens", "max_rollout_tokens"),
        ((int,), "a whole number"),
    ),
    **dict.fromkeys(("max_cost", "finish_at", "fail_under", *TIMEOUTS), ((int, float), "a number")),
}
SETTINGS = frozenset(_KINDS)
"""What a file may say of a run, besides the tables."""
_LISTS = ("by", "extension", "disable_plugin")
_TABLES = ("models", "model_options", *(f"{place}_options" for place in PLACES))
_PROJECT_TABLE = "tool.gym"


@dataclass(frozen=True, slots=True)
class Configured:
    """Options of one component as a file gives them.

    `origin`: how the origin of a value is called. `place`: what stands before an option's name in messages. `folder`:
    what relative paths start from. `recorded`: of a manifest, which holds every option, those that had been set; it
    goes over the environment. None stands for a file that people write, which the environment goes over.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    place: str = ""
    folder: Path = Path()
    recorded: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a file says of a run; nothing of it is checked but the keys.

    `name`: what messages call it. `options`: options of the run by key. `models`: references by role. `model_options`:
    the policy's, and a table per other role. `component_options`: those of other components, by place. `recorded`: by
    role and place, see `Configured`. `notices`: what a user should know of it. `path`: where it lies.
    """

    name: str
    folder: Path = Path()
    options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    model_options: Mapping[str, Any] = field(default_factory=dict)
    component_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recorded: Mapping[str, frozenset[str]] | None = None
    notices: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def origin(self) -> str:
        """How the origin of a value is called: `file run.toml`."""
        return f"file {self.name}"

    def place(self, key: str) -> str:
        """A key as messages call it: `run.toml: env_options.size`."""
        return f"{self.name}: {key}"

    def rebased(self, path: str) -> str:
        """A path that stands in the file; a relative one starts from the file's folder."""
        return str(self.folder / Path(path).expanduser())

    def value(self, key: str) -> Any:
        """A value as its key takes it; paths start from the file's folder. Raises `UsageError` for another kind."""
        kinds, wanted = _KINDS[key]
        value, place = self.options[key], self.place(key)
        values = (value if isinstance(value, list) else [value]) if key in _LISTS else [value]
        for each in values:
            wrong = isinstance(each, bool) and bool not in kinds
            if wrong or not isinstance(each, kinds) or (isinstance(each, float) and not math.isfinite(each)):
                raise UsageError(f"{place} must be {wanted}, not {each!r:.80}")
        if key in _LISTS:
            return values
        return self.rebased(value) if key in PATHS and value != "-" else value

    def configured(
        self, models: Mapping[str, Any], others: Mapping[str, Any]
    ) -> tuple[dict[str, Configured], list[str]]:
        """The options by role and place (`env`, ...) for the components of a run, and what was left out.

        `others`: its components that are no models, by place. The options of a component that the file names are not
        those of another one, nor of an instance.
        """
        by_role = split_roles(self.model_options, {*models, *self.models})
        wanted = {**models, **others}
        named = {**self.models, **{place: self.options.get(place) for place in PLACES}}
        found, left_out = {}, []
        for part, values in {**by_role, **self.component_options}.items():
            table = option_table(part)
            ours, theirs = named.get(part), wanted.get(part)
            if not values or (theirs is None and part not in PLACES):
                continue
            if ours is not None and theirs is not None and _component(ours) != _component(theirs):
                theirs = theirs if isinstance(theirs, str) else _component(theirs)
                left_out.append(f"{self.name}: [{table}] is for {ours}, not for {theirs}: it is left out")
                continue
            recorded = self.recorded.get(part, frozenset()) if self.recorded is not None else None
            found[part] = Configured(values, self.origin, f"{self.name}: {table}.", self.folder, recorded)
        return found, left_out


def option_table(part: str) -> str:
    """What a file calls the options of a model, by its role, or of another component, by its place."""
    if part in PLACES:
        return f"{part}_options"
    return "model_options" if part == POLICY else f"model_options.{part}"


def split_roles(options: Mapping[str, Any], roles: Collection[str]) -> dict[str, dict[str, Any]]:
    """Model options by role: those under a role, or before whose name it stands with a dot, are its, all else the
    policy's."""
    split: dict[str, dict[str, Any]] = {}
    for key, value in options.items():
        role, dot, name = key.partition(".")
        if isinstance(value, Mapping) and (key == POLICY or key in roles):
            split.setdefault(key, {}).update(value)
        elif dot and role in roles:
            split.setdefault(role, {})[name] = value
        else:
            split.setdefault(POLICY, {})[key] = value
    return split


def read_config(path: Path) -> ConfigFile:
    """Read a TOML file.

    Raises `UsageError`: the file cannot be read, is not TOML (with line and column), lacks `[tool.gym]` where it is a
    `pyproject.toml`, or has an unknown key.
    """
    content = _toml(path)
    if path.name == PROJECT_FILE:
        tool = content.get("tool", {})
        table = tool.get("gym") if isinstance(tool, Mapping) else None
        if table is None:
            raise UsageError(
                f"{path} has no table [{_PROJECT_TABLE}]",
                hint="write one, or name a file of its own: --config run.toml",
            )
        return _read(f"{path} [{_PROJECT_TABLE}]", path, table)
    return _read(str(path), path, content)


def find_project_config() -> ConfigFile | None:
    """The table `[tool.gym]` of the `pyproject.toml` in the working directory, if there is one."""
    path = Path(PROJECT_FILE)
    try:
        mentioned = b"tool" in (content := path.read_bytes()) and b"gym" in content
    except OSError:
        return None
    if not mentioned:
        return None  # whatever else is wrong with it is not our business
    tool = _toml(path).get("tool")
    return read_config(path) if isinstance(tool, Mapping) and "gym" in tool else None


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror or error}", hint="--config takes a TOML file or a manifest"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", hint="--config takes a TOML file or a manifest") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}", hint='text stands in quotes: env = "simple_weather"') from error


def _read(name: str, path: Path, content: Any) -> ConfigFile:
    if not isinstance(content, Mapping):
        raise UsageError(f"{name}: it must be a table", hint=f"write [{_PROJECT_TABLE}] and a key per line below it")
    tables: dict[str, Mapping[str, Any]] = {}
    options: dict[str, Any] = {}
    for key, value in content.items():
        if key in _TABLES:
            if not isinstance(value, Mapping):
                raise UsageError(f"{name}: {key} must be a table", hint=f"write [{key}] and a key per line below it")
            tables[key] = value
        elif key in ELSEWHERE:
            raise UsageError(
                f"{name}: {key}: this belongs to one invocation, not to a run",
                hint=f"give it where the run is started: --{key.replace('_', '-')}",
            )
        elif key not in SETTINGS:
            raise _unknown(name, key)
        else:
            options[key] = value
    models = _models(name, options.pop("model", None), tables.get("models", {}))
    # a script lies where the file says, wherever the command is given
    models = {role: _rebased(reference, path.parent) for role, reference in models.items()}
    options |= {key: _rebased(options[key], path.parent) for key in (ENV, AGENT) if isinstance(options.get(key), str)}
    components = {place: tables.get(option_table(place), {}) for place in PLACES}
    return ConfigFile(name, path.parent, options, models, tables.get("model_options", {}), components, path=path)


def _models(name: str, model: Any, by_role: Mapping[str, Any]) -> dict[str, str]:
    models = dict(by_role)
    if model is not None:
        if POLICY in models:
            raise UsageError(f"{name}: model and models.policy are the same", hint="keep one of them")
        models[POLICY] = model
    for role, reference in models.items():
        if not isinstance(reference, str):
            key = "model" if role == POLICY and model is not None else f"models.{role}"
            raise UsageError(f"{name}: {key} must be text, not {reference!r:.80}", hint=f'{key} = "openai:gpt-4.1"')
    return models


def _unknown(name: str, key: str) -> UsageError:
    return UsageError(
        f"{name}: there is no key {key!r}{did_you_mean(key, (*SETTINGS, *_TABLES))}",
        hint="keys are the long options of `gym run`, with underscores, and the tables " + ", ".join(_TABLES),
    )


def _rebased(text: str, folder: Path) -> str:
    return located(text, folder) if folder != Path() else text


def _component(wanted: Any) -> str:
    if not isinstance(wanted, str):
        return f"an instance of {type(wanted).__name__}"
    try:
        reference = Reference.parse(wanted)
    except (UsageError, AttributeError):
        return wanted
    return reference.url or (str(reference.file) if reference.path is not None else reference.name)
