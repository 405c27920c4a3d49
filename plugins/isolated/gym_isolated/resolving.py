"""The options of an isolated component: its own class resolves and checks them where it lives; here are the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, SecretStr, create_model

from gym_core import Operational, Options, Selector
from gym_core.spi import MASK, Configured, Kind, Resolved, texts_within
from gym_isolated.process import ask
from gym_isolated.records import Environment


@dataclass(frozen=True, slots=True)
class Origin:
    """The environment that a component lives in, and what that one's record says of it."""

    environment: Environment
    component: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The component's own name."""
        return str(self.component["name"])

    @property
    def kind(self) -> Kind:
        """What it is."""
        return Kind(self.component["kind"])

    @property
    def runners(self) -> set[str]:
        """How the runners of its distribution may be named."""
        names = {str(one["name"]) for one in self.environment.components if one["kind"] == Kind.RUNNER.value}
        return names | {f"{self.environment.distribution}/{name}" for name in names}


class ResolvedOptions(Options):
    """The options as they were resolved there. What they were resolved from, the secrets among
    them and beside them, and what the component says of itself with them, have names that no option has."""

    _asked: dict[str, Any] = PrivateAttr(default_factory=dict)
    _secrets: tuple[str, ...] = PrivateAttr(default=())
    _described: dict[str, Any] = PrivateAttr(default_factory=dict)


def options_set(options: Options) -> dict[str, Any]:
    """Those that were set, wherever, as values by name; secrets as they were asked for: variables are there, too."""
    if not isinstance(options, ResolvedOptions):
        return {}
    values = {name: getattr(options, name) for name in options.model_fields_set}
    secret = {name for name, value in values.items() if isinstance(value, SecretStr)}
    asked = {name: value for name, value in options._asked["given"].items() if name.partition(".")[0] in secret}
    return {name: value for name, value in values.items() if name not in secret} | asked


def resolve(
    origin: Origin,
    given: Mapping[str, Any],
    selector: str | None,
    *,
    what: str,
    configured: Configured | None,
) -> Resolved:
    """As `gym_core.spi.resolve_options`, by a child. Raises `UsageError`, `PluginError`."""
    reference = f"{origin.environment.distribution}/{origin.name}"
    asked = {
        "kind": origin.kind.value,
        "reference": reference if selector is None else f"{reference}:{selector}",
        "given": dict(given),
        "what": what,
        "configured": None if configured is None else _to_wire(configured),
    }
    secret = {option["name"] for option in origin.component["options"] if option["secret"]}
    hidden = [text for key in given if key.partition(".")[0] in secret for text in texts_within(given[key])]
    answer = ask(origin.environment, "resolve", asked, *hidden)
    options = _options(origin, answer)
    options._asked, options._secrets, options._described = asked, tuple(answer["secrets"]), answer["described"]
    return Resolved(options, answer["origins"], tuple(answer["secrets"]))


def _to_wire(configured: Configured) -> dict[str, Any]:
    recorded = configured.recorded
    return {
        **asdict(configured),
        "folder": str(configured.folder),
        "recorded": None if recorded is None else sorted(recorded),
    }


def _options(origin: Origin, answer: Mapping[str, Any]) -> ResolvedOptions:
    """The values, with the marks that decide where they are shown."""
    fields: dict[str, Any] = {}
    values = dict(answer["values"])
    for option in origin.component["options"]:
        name = option["name"]
        marks: list[Any] = [Selector()] if name == origin.component["selector"] else []
        marks += [Operational()] if name in answer["operational"] else []
        annotation: Any = SecretStr | None if option["secret"] else Any
        for mark in marks:
            annotation = Annotated[annotation, mark]
        fields[name] = (annotation, Field(None, description=option["description"]))
        if option["secret"]:
            values[name] = SecretStr(MASK) if name in answer["set"] else None
    made = create_model(f"{origin.name}.Options", __base__=ResolvedOptions, **fields)
    return made.model_construct(_fields_set=set(answer["set"]), **values)
