"""NeMo Gym's configuration of servers that run elsewhere as a run of gym.

A file there maps the name of a server to its type, that to an implementation, and that to its settings: an agent names
its resources server, its model server and its datasets. Here it becomes the environment at that server's URL, the agent
that does the same, and the model behind the model server. What a run cannot say is put into notices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gym_core import UsageError
from gym_nemo.yaml_files import Configuration, is_secret_name

MODELS = "responses_api_models"
RESOURCES = "resources_servers"
AGENTS = "responses_api_agents"
_PREFERRED_DATA = ("validation", "benchmark", "example", "train")
_OWN = frozenset(
    {"entrypoint", "host", "port", "url", "name", "domain", "description", "value", "verified", "num_workers"}
)
"""What every server has and a run has nothing to do with."""
_AGENT_KEYS = _OWN | {"resources_server", "model_server", "datasets", "max_steps"}
_MODEL_URLS = ("openai_base_url", "base_url")
_MODEL_NAMES = ("openai_model", "model", "model_name")
_MODEL_KEYS = _OWN | {*_MODEL_URLS, *_MODEL_NAMES, "extra_body"}
_RESPONSES = frozenset({"openai_model", "simple_model_server"})
"""Implementations whose upstream is asked through the Responses API; the others speak Chat Completions to it."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a file: `kind` is its type there, `settings` what stands below its implementation."""

    name: str
    kind: str
    implementation: str
    settings: Mapping[str, Any]


@dataclass(slots=True)
class RunFile:
    """The run that a configuration becomes. `options`: by key of a run file. `notices`: what could not be said.

    `template`: the file that makes the `input` of the dataset's rows; None where they have it.
    """

    options: dict[str, Any] = field(default_factory=dict)
    model_options: dict[str, Any] = field(default_factory=dict)
    agent_options: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    template: Path | None = None


def import_configuration(
    configuration: Configuration,
    *,
    agent: str | None = None,
    dataset: str | None = None,
    urls: Mapping[str, str] | None = None,
    folders: Sequence[Path] = (),
) -> RunFile:
    """The run that a configuration describes. Raises `UsageError`.

    `agent`, `dataset`: which of several, by name, a dataset also by type. `urls`: where servers run, by name, over what
    the configuration says. `folders`: where relative paths of datasets may start.
    """
    return _Import(configuration, urls or {}, folders).run(agent, dataset)


class _Import:
    def __init__(self, configuration: Configuration, urls: Mapping[str, str], folders: Sequence[Path]) -> None:
        self.configuration = configuration
        self.urls = urls
        self.folders = folders
        self.servers = {server.name: server for server in _servers(configuration.values)}
        self.made = RunFile()
        unknown = sorted(set(urls) - set(self.servers))
        if unknown:
            raise UsageError(f"there is no server named {unknown[0]!r}", hint=f"there are {', '.join(self.servers)}")

    def run(self, wanted: str | None, dataset: str | None) -> RunFile:
        agent = self._choose(AGENTS, wanted, "agent")
        if agent is None:
            resources = self._choose(RESOURCES, None, "resources server")
            if resources is None:
                raise UsageError(
                    "the configuration has neither an agent nor a resources server", hint="name all its files at once"
                )
            self._environment(resources)
            self._model(None)
            self._data(resources, dataset)
            return self.made
        resources = self._referred(agent, "resources_server")
        own_url = self._url(agent)
        if resources is not None and (self._url(resources) or own_url is None):
            self._environment(resources)
            self._agent(agent)
            self._model(self._referred(agent, "model_server"))
        elif own_url is not None:
            self.made.options["agent"] = own_url
            self._note(f"{agent.name} runs with the model and the resources server that it has there")
        else:
            raise self._nowhere(agent)
        self._data(agent, dataset)
        return self.made

    def _choose(self, kind: str, wanted: str | None, word: str) -> Server | None:
        of_kind = {name: server for name, server in self.servers.items() if server.kind == kind}
        if wanted is not None:
            if wanted not in of_kind:
                raise UsageError(
                    f"there is no {word} named {wanted!r}", hint=f"there are {', '.join(of_kind) or 'none'}"
                )
            return of_kind[wanted]
        if len(of_kind) > 1:
            raise UsageError(
                f"the configuration has {len(of_kind)} {word}s", hint=f"choose one: --{word} {'|'.join(of_kind)}"
            )
        return next(iter(of_kind.values()), None)

    def _referred(self, server: Server, key: str) -> Server | None:
        reference = server.settings.get(key)
        name = self._value(reference.get("name")) if isinstance(reference, Mapping) else None
        if name is None:
            return None
        found = self.servers.get(str(name))
        if found is None:
            raise UsageError(
                f"{server.name}: {key} is {name!r}, which the configuration does not have",
                hint="name the file that has it, too",
            )
        return found

    def _environment(self, server: Server) -> None:
        url = self._url(server)
        if url is None:
            raise self._nowhere(server)
        self.made.options["env"] = url

    def _agent(self, server: Server) -> None:
        self.made.options["agent"] = "simple_agent"
        if server.implementation != "simple_agent":
            self._note(f"{server.name}: `simple_agent` works in place of `{server.implementation}`; check that it fits")
        steps = self._value(server.settings.get("max_steps"))
        if isinstance(steps, int) and steps > 0:
            self.made.agent_options["max_turns"] = steps
        self._leave_out(server, _AGENT_KEYS)

    def _model(self, server: Server | None) -> None:
        if server is None:
            self._note("no model is named: give one with --model")
            return
        settings, made = server.settings, self.made
        name = self._first(settings, _MODEL_NAMES)
        url = self._url(server)
        if url is not None:
            made.model_options |= {"base_url": f"{url}/v1", "api": "responses"}
            name = name or server.name
        else:
            upstream = self._first(settings, _MODEL_URLS)
            if isinstance(upstream, list) and upstream:
                self._note(f"{server.name}: of {len(upstream)} endpoints the first is asked")
                upstream = self._value(upstream[0])
            if isinstance(upstream, str) and "@" in urlsplit(upstream).netloc:
                self._note(f"{server.name}: its endpoint holds a password and is not copied: set OPENAI_BASE_URL")
            elif isinstance(upstream, str):
                made.model_options["base_url"] = upstream
                made.model_options["api"] = "responses" if server.implementation in _RESPONSES else "chat"
            else:
                self._note(f"{server.name}: no value for its endpoint: give -M base_url=URL")
            extra = settings.get("extra_body")
            if isinstance(extra, Mapping) and extra:
                self._note(f"{server.name}: `extra_body` is left out: give it with -M extra_body=JSON")
        if isinstance(name, str):
            made.options["model"] = f"openai:{name}"
        else:
            self._note(f"{server.name}: no value for its model: give it with --model openai:NAME")
        if any(is_secret_name(key) for key in settings):
            self._note(f"{server.name}: its key is not copied: set OPENAI_API_KEY, in the environment or in .env")
        self._leave_out(server, _MODEL_KEYS)

    def _data(self, server: Server, wanted: str | None) -> None:
        given = self._value(server.settings.get("datasets"))
        datasets = [entry for entry in given if isinstance(entry, Mapping)] if isinstance(given, list) else []
        if not datasets:
            if wanted is not None:
                raise UsageError(f"{server.name} has no datasets")
            self._note(f"{server.name} names no dataset: give one with --input")
            return
        if wanted is not None:
            fitting = [entry for entry in datasets if wanted in (entry.get("name"), entry.get("type"))]
            if not fitting:
                names = ", ".join(f"{entry.get('name')} ({entry.get('type')})" for entry in datasets)
                raise UsageError(f"{server.name} has no dataset {wanted!r}", hint=f"there are {names}")
            chosen = fitting[0]
        else:
            chosen = min(datasets, key=lambda entry: _rank(entry.get("type")))
            others = [str(entry.get("name")) for entry in datasets if entry is not chosen]
            if others:
                self._note(f"the dataset is {chosen.get('name')}; --dataset chooses {' or '.join(others)}")
        path = self._value(chosen.get("jsonl_fpath"))
        if not isinstance(path, str):
            self._note(f"the dataset {chosen.get('name')} has no value for its file: give --input FILE")
            return
        found = self._found(path)
        if found is None:
            self._note(f"{path} is not here: fetch the dataset, or give --input FILE")
        self.made.options["input"] = path if found is None else str(found)
        repeats = self._value(chosen.get("num_repeats"))
        if isinstance(repeats, int) and repeats > 1:
            self.made.options["repeats"] = repeats
        if chosen.get("prompt_config"):
            self._template(f"the dataset {chosen.get('name')}", chosen["prompt_config"], found)

    def _template(self, whose: str, given: Any, dataset: Path | None) -> None:
        path = self._value(given)
        template = self._found(path) if isinstance(path, str) else None
        if template is None:
            self._note(
                f"{whose} has a prompt template, {path or given}, which is not here: its rows have no `input` yet"
            )
        elif dataset is None:
            self._note(f"{whose} has a prompt template: import this again once the dataset is here, to have it applied")
        else:
            self.made.template = template

    def _found(self, path: str) -> Path | None:
        return next((found for folder in self.folders if (found := folder / path).is_file()), None)

    def _url(self, server: Server) -> str | None:
        """Where a server runs, as far as that is known."""
        given = self.urls.get(server.name) or self._value(server.settings.get("url"))
        if isinstance(given, str):
            return given.rstrip("/")
        host, port = self._value(server.settings.get("host")), self._value(server.settings.get("port"))
        if port is None or not str(port).isdigit():
            return None
        host = str(host) if host not in (None, "0.0.0.0", "::") else "127.0.0.1"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _nowhere(self, server: Server) -> UsageError:
        return UsageError(
            f"the configuration does not say where {server.name} runs",
            hint=f"--url {server.name}=http://HOST:PORT; NeMo Gym lists its servers when it starts them",
        )

    def _leave_out(self, server: Server, known: frozenset[str]) -> None:
        """Note the settings that a run has no word for."""
        for key, value in server.settings.items():
            if key not in known and not is_secret_name(key) and value not in (None, {}, [], False):
                self._note(f"{server.name}: `{key}` is left out")

    def _first(self, settings: Mapping[str, Any], keys: Sequence[str]) -> Any:
        return next((value for key in keys if (value := self._value(settings.get(key))) is not None), None)

    def _value(self, value: Any) -> Any:
        return self.configuration.resolved(value)

    def _note(self, text: str) -> None:
        self.made.notices.append(text)


def _servers(values: Mapping[str, Any]) -> Iterator[Server]:
    for name, content in values.items():
        if not isinstance(content, Mapping):
            continue  # a value that others refer to
        for kind in (MODELS, RESOURCES, AGENTS):
            implementations = content.get(kind)
            if isinstance(implementations, Mapping):
                for implementation, settings in implementations.items():
                    yield Server(name, kind, str(implementation), settings if isinstance(settings, Mapping) else {})


def _rank(kind: Any) -> int:
    return _PREFERRED_DATA.index(kind) if kind in _PREFERRED_DATA else len(_PREFERRED_DATA)
