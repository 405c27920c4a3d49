"""Fills a component's options from the command line, the environment and its defaults, and says where each is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.errors import GymError, PluginError, UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.wiring.annotations import is_path, is_secret, item_annotation, parse_text, wants_json
from gym_core.wiring.fields import selector_field, variable, variables
from gym_core.wiring.secrets import MASK, Redactor, secrets_within

if TYPE_CHECKING:
    from gym_core.contract.component import Component
    from gym_core.wiring.config_file import Configured

COMMAND_LINE = "command line"
ENVIRONMENT = "environment"
REFERENCE = "reference"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A component's options.

    `origins`: per field `command line`, `reference`, `environment NAME`, `file NAME` or `default`. `secrets`: the
    values that no output may show.
    """

    options: Any
    origins: Mapping[str, str]
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Value:
    """What one option was given: `typed` is how the user wrote it, for messages."""

    value: Any
    origin: str
    typed: str


def resolve_options(
    cls: type[Component],
    name: str,
    given: Mapping[str, Any],
    selector: str | None = None,
    *,
    environ: Mapping[str, str],
    what: str = "-M",
    configured: Configured | None = None,
    shown: str = "",
) -> Resolved:
    """Build the `Options` of a component called `name`.

    `shown`: what messages call it where that is not its name: the path of a script. `given`: what the user set, by
    field or, within a mapping, `field.key`; text is read as JSON where a field is not textual. `what`: how messages
    call such a setting; one that ends with a dot (`-M judge.`) stands right before the field. First comes what is
    given, then the selector, then the variable
    `GYM_<NAME>_<FIELD>`, then the field's own variables, then what a file has `configured`, then its default; an empty
    variable counts as not set.
    Raises `UsageError`, which never shows the value of a secret.
    """
    filler = _Filler(cls, name, what, environ, shown or name)
    values = {**filler.from_environment(), **filler.from_selector(selector), **filler.from_given(given)}
    if configured is not None:
        values = filler.from_configured(configured, values)
    if selector is not None:
        filler.check_selector(selector, values)
    redactor = Redactor(filler.secrets(values))
    try:
        options = cls.Options.model_validate({option: entry.value for option, entry in values.items()})
    except ValidationError as error:
        raise filler.problem(error, values, redactor) from None
    except BaseException as error:
        if isinstance(error, GymError) or asked_to_end(error):
            raise
        raise PluginError(name, redactor.redact(f"its options cannot be checked: {described(error)}")) from None
    origins = {option: values[option].origin if option in values else DEFAULT for option in cls.Options.model_fields}
    return Resolved(options, origins, secret_values(options))


class _Filler:
    def __init__(self, cls: type[Component], name: str, what: str, environ: Mapping[str, str], shown: str) -> None:
        self.cls = cls
        self.name = name
        self.shown = shown
        self.flag = what if what.endswith(".") else f"{what} "
        self.environ = environ
        self.fields: dict[str, FieldInfo] = cls.Options.model_fields
        self.selector = selector_field(cls)

    def from_environment(self) -> dict[str, _Value]:
        found: dict[str, _Value] = {}
        for option, info in self.fields.items():
            names = variables(self.name, option, info)
            if source := next((name for name in names if self.environ.get(name)), None):
                text = self.environ[source]
                value = parse_text(text, info.annotation)
                found[option] = _Value(value, f"{ENVIRONMENT} {source}", f"{source}={_shown(option, text, info)}")
        return found

    def from_configured(self, configured: Configured, over: Mapping[str, _Value]) -> dict[str, _Value]:
        """What a file says, below `over`. Raises `UsageError` for a secret: files are shared and kept."""
        recorded = configured.recorded
        if recorded is not None:
            # how it was then, not how the environment is now; what had to be hidden then can only come from there
            settled = {option for option, value in configured.values.items() if not _hidden(value)}
            over = {
                option: entry
                for option, entry in over.items()
                if option not in settled or not entry.origin.startswith(ENVIRONMENT)
            }
            defaults = self.cls.Options.model_construct().model_dump(mode="json")
        values: dict[str, _Value] = {}
        for option, value in configured.values.items():
            place = f"{configured.place}{option}"
            info = self.known(option, place)
            if is_secret(info.annotation):
                names = variables(self.name, option, info)
                raise UsageError(
                    f"{place} is a secret, which does not belong into a file that is shared",
                    hint=f"remove it; set {' or '.join((*names[1:], names[0]))} in the environment or in .env",
                )
            if recorded is not None:
                # an option that was merely left alone must not count as given now
                if option not in recorded and defaults.get(option) == value:
                    continue
                if _hidden(value) and option not in over:
                    either = " or ".join(variables(self.name, option, info))
                    raise UsageError(
                        f"{place}: its value held a secret and was hidden",
                        hint=f"give it again: {self.flag}{option}=... or {either}",
                    )
            if isinstance(value, str) and is_path(info.annotation) and not value.startswith("~"):
                value = str(configured.folder / value)
            values[option] = _Value(value, configured.origin, f"{place} = {_shown(option, value, info)!r:.200}")
        return {**values, **over}

    def from_selector(self, selector: str | None) -> dict[str, _Value]:
        if selector is None:
            return {}
        if self.selector is None:
            raise UsageError(
                f"{self.shown}:{selector}: {self.shown} takes nothing after a colon", hint=f"write `{self.shown}`"
            )
        value = parse_text(selector, self.fields[self.selector].annotation)
        return {self.selector: _Value(value, REFERENCE, f"{self.shown}:{selector}")}

    def from_given(self, given: Mapping[str, Any]) -> dict[str, _Value]:
        values: dict[str, _Value] = {}
        # whole mappings first, so that single keys are laid over them
        for key in sorted(given, key=lambda key: "." in key):
            option, _, inner = key.partition(".")
            info = self.known(option, f"{self.flag}{option}")
            typed = f"{self.flag}{key}={_shown(key, given[key], info)!s:.200}"
            value = self.given_value(key, given[key], info, inner, values.get(option), typed)
            values[option] = _Value(value, COMMAND_LINE, typed)
        return values

    def given_value(self, key: str, value: Any, info: FieldInfo, inner: str, before: _Value | None, typed: str) -> Any:
        if not inner:
            return parse_text(value, info.annotation) if isinstance(value, str) else value
        items = item_annotation(info.annotation)
        if items is None:
            option = key.partition(".")[0]
            raise UsageError(f"{typed}: the option `{option}` has no keys", hint=f"write {self.flag}{option}=...")
        parsed = parse_text(value, items) if isinstance(value, str) else value
        mapping = dict(before.value) if before and isinstance(before.value, Mapping) else {}
        # a header may have a dot in its name; only where anything fits does a dot mean a mapping within
        _put(mapping, inner.split(".") if items in (Any, object) else [inner], parsed)
        return mapping

    def check_selector(self, selector: str, values: Mapping[str, _Value]) -> None:
        entry = values[self.selector or ""]
        if entry.origin == COMMAND_LINE and str(entry.value) != selector:
            raise UsageError(
                f"`{self.shown}:{selector}` and `{entry.typed}` contradict each other", hint="give one of them"
            )

    def secrets(self, values: Mapping[str, _Value]) -> Iterator[str]:
        for option, entry in values.items():
            secret = is_secret(self.fields[option].annotation)
            yield from texts_within(entry.value) if secret else secrets_within(entry.value, option)

    def known(self, option: str, place: str) -> FieldInfo:
        """An option that was given. `place`: where, as messages call it. Raises `UsageError` for one that is none."""
        if option in self.fields:
            return self.fields[option]
        raise UsageError(
            f"{self.shown} has no option {option!r} ({place}){did_you_mean(option, self.fields)}",
            hint=f"`gym plugins show {self.shown}` lists its options",
        )

    def problem(self, error: ValidationError, values: Mapping[str, _Value], redactor: Redactor) -> UsageError:
        """The first problem as one line; the others are counted."""
        problems = error.errors(include_url=False, include_input=False)
        first = problems[0]
        location = [str(part) for part in first["loc"]]
        option = location[0] if location else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        hint = f"`gym plugins show {self.shown}` explains its options"
        message = redactor.redact(_sentence(first["msg"]))
        if first["type"] == "missing" and len(location) == 1:
            return self.missing(option)
        if option not in values:
            return UsageError(f"the options of {self.shown}: {message}{more}", hint=hint)
        inner = f" at `{'.'.join(location[1:])}`" if wants_json(self.fields[option].annotation) and location[1:] else ""
        if isinstance(values[option].value, str) and wants_json(self.fields[option].annotation):
            hint = f"write it as JSON; {hint}"
        return UsageError(redactor.redact(f"{values[option].typed}{inner}: {message}{more}"), hint=hint)

    def missing(self, option: str) -> UsageError:
        names = variables(self.name, option, self.fields[option]) or (variable(self.name, option),)
        if is_secret(self.fields[option].annotation):
            # never in argv, where other users of the machine can read it
            hint = f"set {' or '.join((*names[1:], names[0]))}"
        else:
            also = f" or write `{self.shown}:...`" if option == self.selector else ""
            hint = f"give {self.flag}{option}=... or set {' or '.join(names)}{also}"
        return UsageError(f"{self.shown} needs the option `{option}`", hint=hint)


def _shown(key: str, value: Any, info: FieldInfo) -> Any:
    """A value as messages may show it."""
    if is_secret(info.annotation):
        return MASK
    name = key.rpartition(".")[2]
    return Redactor().typed(value, name) if isinstance(value, str) else Redactor().settings(value, name)


def _hidden(value: Any) -> bool:
    """Whether a value was masked where it was recorded."""
    return MASK in str(value)


def _put(mapping: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = mapping.get(key)
        mapping[key] = dict(inner) if isinstance(inner, Mapping) else {}
        mapping = mapping[key]
    mapping[keys[-1]] = value


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def texts_within(value: Any) -> Iterator[str]:
    """All texts within a value that was given for a secret option."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_within(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from texts_within(inner)
    else:
        yield from secrets_within(value)


def secret_values(options: Any) -> tuple[str, ...]:
    """The values of all secrets within the options of a component."""
    return tuple(dict.fromkeys(secrets_within(dict(options))))
