"""The options of an isolated component, here: filled like any other's, checked by the component's own class there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PrivateAttr,
    SkipValidation,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from gym_core import Env, Operational, Options, Selector
from gym_core.spi import MASK, Redactor, variable
from gym_isolated.process import ask
from gym_isolated.records import Environment
from gym_isolated.shapes import annotation_of, hidden, shown


@dataclass(frozen=True, slots=True)
class Origin:
    """Which component options belong to: the environment it lives in, and what that one's record says of it."""

    environment: Environment
    component: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The component's own name."""
        return str(self.component["name"])

    def request(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a request to a child that says which component it is about, and with which options."""
        return {
            "kind": self.component["kind"],
            "reference": f"{self.environment.distribution}/{self.name}",
            "options": dict(given),
        }

    def secrets(self, given: Mapping[str, Any]) -> list[str]:
        """The values of secret options."""
        secret = {option["name"] for option in self.component["options"] if option["secret"]}
        return [text for name in secret & given.keys() for text in _all_texts(given[name])]


class IsolatedOptions(Options):
    """What the options of all isolated components share.

    Validating asks a child of their environment, whose verdict it is, errors and their places included. Nothing here
    has a name that an option could have.
    """

    _origin: ClassVar[Origin]

    _given: dict[str, Any] = PrivateAttr(default_factory=dict)
    _found: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _check_there(cls, values: Any, handler: ModelWrapValidatorHandler[IsolatedOptions]) -> IsolatedOptions:
        if not isinstance(values, Mapping):
            return handler(values)
        origin = cls._origin
        given = {name: shown(value) for name, value in values.items()}
        answer = ask(origin.environment, {"do": "validate", **origin.request(given)}, Redactor(origin.secrets(given)))
        if "problems" in answer:
            raise ValidationError.from_exception_data(
                cls.__name__, [_problem(problem) for problem in answer["problems"]], hide_input=True
            )
        shapes = {option["name"]: option["shape"] for option in origin.component["options"]}
        normal: Mapping[str, Any] = answer["options"]
        options = handler({name: hidden(normal.get(name, value), shapes.get(name)) for name, value in given.items()})
        options._given = given
        options._found = tuple(answer["secrets"])
        return options


def origin_of(options: IsolatedOptions) -> Origin:
    """Which component options belong to."""
    return options._origin


def given_of(options: IsolatedOptions) -> Mapping[str, Any]:
    """What was given, secrets in clear, as the component's own class takes it."""
    return options._given


def found_secrets(options: IsolatedOptions) -> tuple[str, ...]:
    """The secrets that the component itself knows of, a key that it has read from a file say."""
    return options._found


def options_class(environment: Environment, component: Mapping[str, Any]) -> type[IsolatedOptions]:
    """The class of a component's options, made from its record."""
    fields: dict[str, Any] = {}
    for option in component["options"]:
        name = option["name"]
        annotation: Any = Annotated.__class_getitem__(  # type: ignore[attr-defined]  # made at run time
            (annotation_of(option["shape"]), *_marks(component["name"], option))
        )
        default = ... if option["required"] else component["defaults"].get(name)
        fields[name] = (annotation, Field(default, description=option["description"]))
    made = create_model(f"{component['name']}.Options", __base__=IsolatedOptions, **fields)
    made._origin = Origin(environment, component)
    return made


def _marks(name: str, option: Mapping[str, Any]) -> list[Any]:
    """What the annotation carries besides its shape: neither checks nor conversions, those are the child's."""
    marks: list[Any] = [SkipValidation, PlainSerializer(_dumped, return_type=Any)]
    own = variable(name, option["name"])
    named = [source for source in option["environment"] if source != own]
    if named:
        marks.append(Env(*named))
    if option["selector"]:
        marks.append(Selector())
    if option["operational"]:
        marks.append(Operational())
    return marks


def _dumped(value: Any) -> Any:
    """A value as JSON; secrets masked."""
    if hasattr(value, "get_secret_value"):
        return MASK
    if isinstance(value, Mapping):
        return {key: _dumped(inner) for key, inner in value.items()}
    return [_dumped(inner) for inner in value] if isinstance(value, list) else value


def _problem(problem: Mapping[str, Any]) -> InitErrorDetails:
    place = tuple(problem["loc"])
    if problem["type"] == "missing":
        return InitErrorDetails(type="missing", loc=place, input=None)
    return InitErrorDetails(
        type=PydanticCustomError("isolated", "{text}", {"text": problem["message"]}), loc=place, input=None
    )


def _all_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [text for inner in value for text in _all_texts(inner)] if isinstance(value, list | tuple) else []
