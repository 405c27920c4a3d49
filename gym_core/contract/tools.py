"""`@tool`: a signature becomes a JSON schema, and a model's arguments a validated call.

The schema comes from the annotations and the docstring through pydantic: the docstring's first paragraph describes the
tool, its `Args:` section (or `Annotated[str, Field(description=...)]`) the parameters. Arguments are validated straight
from the model's JSON text, before the function is called.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import typing
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from gym_core.contract.strict_schemas import can_be_strict
from gym_core.domain.arguments import NAME_PATTERN, ArgumentError, arguments_text, may_be_deep, parse_arguments
from gym_core.domain.json_text import encode_json

_MARK = "__gym_tool__"
_PLACE = "__gym_place__"
_SECTION = re.compile(r"^(Args|Arguments|Parameters):\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"^(\s+)(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")

Function = TypeVar("Function", bound=Callable[..., Any])
Place = Literal["thread", "process"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool of a class: what the model is shown, and how a call is checked and run.

    `schema`: the tool as the Responses API writes it. `arguments`: what a call's arguments are checked with, None where
    the function does it. `blocking`: the function runs in a thread. `isolated`: in a process that a deadline can end.
    `timeout`: seconds, over the run's own.
    """

    name: str
    schema: dict[str, Any]
    function: Callable[..., Any]
    arguments: type[BaseModel] | None
    is_async: bool
    blocking: bool = False
    isolated: bool = False
    timeout: float | None = None

    def parse(self, arguments: Any) -> dict[str, Any]:
        """The keyword arguments of a call from what the model wrote: JSON text as a rule. Raises `ArgumentError`."""
        if self.arguments is None:
            return {"arguments": arguments_text(arguments)}
        validate = self.arguments.__pydantic_validator__.validate_json
        if type(arguments) is str and not may_be_deep(arguments):
            try:
                parsed: BaseModel = validate(arguments)
                return parsed.__dict__
            except ValueError:  # ValidationError, and UnicodeEncodeError
                pass
        # Once more, as JSON is read everywhere here: with the words for what it is, or as what it was meant to be.
        try:
            parsed = validate(encode_json(parse_arguments(arguments)))
        except ValidationError as error:
            raise _argument_error(error) from None
        return parsed.__dict__

    @classmethod
    def described(cls, schema: dict[str, Any], function: Callable[..., Awaitable[Any]]) -> ToolSpec:
        """A tool that is defined elsewhere and known by its schema alone.

        `function(owner, arguments=TEXT)` is `async`; it gets the model's JSON text as it is and checks it itself, or
        has it checked: it raises `ArgumentError`.
        """
        return cls(str(schema.get("name", "")), schema, function, None, is_async=True)

    @classmethod
    def listed(
        cls, name: str, description: str | None, parameters: Any, function: Callable[..., Awaitable[Any]]
    ) -> ToolSpec:
        """The same for a tool that a server lists. `parameters`: its schema of arguments; without one it takes any."""
        schema = {
            "type": "function",
            "name": name,
            "description": description or "",
            "parameters": parameters or {"type": "object", "properties": {}},
            "strict": False,
        }
        return cls.described(schema, function)

    def bind(self, owner: object) -> BoundTool:
        """The tool as a method of `owner`."""
        return BoundTool(self, owner)


@dataclass(frozen=True, slots=True)
class BoundTool:
    """A tool with the session it belongs to. `owner` is None for a plain function."""

    spec: ToolSpec
    owner: object | None = None

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.spec.name

    @property
    def schema(self) -> dict[str, Any]:
        """The tool as the Responses API writes it."""
        return self.spec.schema


@overload
def tool(function: Function, /) -> Function: ...
@overload
def tool(
    *, name: str | None = None, blocking: bool = False, isolated: bool = False, timeout: float | None = None
) -> Callable[[Function], Function]: ...
def tool(
    function: Function | None = None,
    /,
    *,
    name: str | None = None,
    blocking: bool = False,
    isolated: bool = False,
    timeout: float | None = None,
) -> Any:
    """Mark a method of a session as a tool.

    `name`: what the model calls it, the method's name by default. `blocking`: run it in a thread, for calls that wait
    or compute for more than a few milliseconds. `isolated`: run it in a process of its own, which a deadline can end.
    `timeout`: seconds it may take, over the run's own limit.
    """

    def mark(marked: Function) -> Function:
        settings = {
            "name": name or marked.__name__,
            "blocking": blocking,
            "isolated": isolated,
            "timeout": timeout,
        }
        setattr(marked, _MARK, settings)
        return marked

    return mark if function is None else mark(function)


def blocking(function: Function) -> Function:
    """Mark a plain `setup`, `reply`, `verify` or `close` that waits or computes for long: it runs in a thread.

    Raises `TypeError` for an `async` function.
    """
    return _placed(function, "thread")


def isolated(function: Function) -> Function:
    """Mark a plain function of a session to run in a process of its own, which a deadline can end.

    For verifiers that compute for long, hang or crash. The process works on pickled copies of the session and of the
    arguments: only the result comes back, and what the function changes is not seen by anybody else. The session must
    therefore be picklable and its class defined in a module; `self.models` cannot be asked, and `self.server` only
    where it can be pickled, too. Raises `TypeError` for an `async` function.
    """
    return _placed(function, "process")


def place_of(function: Callable[..., Any]) -> Place | None:
    """Where a marked function runs; None for one that is not marked, which runs inline."""
    try:
        # Asked for every call: looking for an attribute that is not there costs four times as much.
        place: Place | None = getattr(function, "__func__", function).__dict__.get(_PLACE)
    except AttributeError:  # something callable without a dictionary of its own
        return getattr(function, _PLACE, None)
    return place


def _placed(function: Function, place: Place) -> Function:
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"`{function.__name__}` is `async`: it is neither blocking nor isolated")
    setattr(function, _PLACE, place)
    return function


def class_tools(cls: type) -> tuple[ToolSpec, ...]:
    """The tools of a class in the order they are defined, those of base classes first. Built once per class."""
    cached: tuple[ToolSpec, ...] | None = cls.__dict__.get("__gym_tools__")
    if cached is None:
        names: dict[str, None] = {}
        for base in reversed(cls.__mro__):
            for attribute, value in vars(base).items():
                if hasattr(value, _MARK):
                    names.setdefault(attribute)
        found = (getattr(cls, attribute) for attribute in names)
        cached = tuple(tool_spec(value) for value in found if hasattr(value, _MARK))
        double = [name for name, count in Counter(spec.name for spec in cached).items() if count > 1]
        if double:
            raise TypeError(f"{cls.__name__} has two tools named `{double[0]}`")
        type.__setattr__(cls, "__gym_tools__", cached)
    return cached


def tool_spec(function: Callable[..., Any]) -> ToolSpec:
    """The specification of a function marked with `@tool`. Raises `TypeError` for a signature that has no schema."""
    settings = getattr(function, _MARK, {"name": function.__name__})
    name = settings["name"]
    where = f"tool `{name}`"
    if not NAME_PATTERN.fullmatch(name):
        raise TypeError(f"{where}: a name is 1 to 64 letters, digits, underscores and dashes")
    is_async = inspect.iscoroutinefunction(function)
    if is_async and (settings.get("blocking") or settings.get("isolated")):
        raise TypeError(f"{where}: an `async` function is neither blocking nor isolated; it waits on the event loop")
    description, parameters = _describe(_doc(function))
    if not description:
        stripped = "; Python was told to strip them (-OO, PYTHONOPTIMIZE=2)" if sys.flags.optimize > 1 else ""
        raise TypeError(f"{where}: a docstring is missing; the model reads it to know what the tool does{stripped}")
    arguments = _arguments_model(function, where, parameters)
    return ToolSpec(
        function=function,
        arguments=arguments,
        schema=_schema(name, description, arguments),
        is_async=is_async,
        **settings,
    )


def _arguments_model(function: Callable[..., Any], where: str, descriptions: dict[str, str]) -> type[BaseModel]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"{where}: {error}; annotations must be importable at run time") from error
    fields: dict[str, Any] = {}
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters[1:] if parameters and parameters[0].name == "self" else parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"{where}: `{parameter}` cannot be described to a model; use named parameters")
        if parameter.name not in hints:
            raise TypeError(f"{where}: parameter `{parameter.name}` has no annotation")
        default = ... if parameter.default is parameter.empty else parameter.default
        info = FieldInfo.from_annotated_attribute(hints[parameter.name], default)
        if info.description is None and parameter.name in descriptions:
            info = FieldInfo.merge_field_infos(info, Field(description=descriptions[parameter.name]))
        fields[parameter.name] = (hints[parameter.name], info)
    config = ConfigDict(extra="forbid", hide_input_in_errors=True, protected_namespaces=())
    try:
        with warnings.catch_warnings():
            # A parameter may be called `schema` or `json`: nothing is ever called on these models.
            warnings.filterwarnings("ignore", "Field name .* shadows an attribute", UserWarning)
            return pydantic.create_model(f"{function.__name__}_arguments", __config__=config, **fields)
    except pydantic.errors.PydanticUserError as error:
        raise TypeError(f"{where}: {error.message}") from error


def _schema(name: str, description: str, arguments: type[BaseModel]) -> dict[str, Any]:
    parameters = arguments.model_json_schema()
    parameters.pop("title", None)
    for prop in parameters.get("properties", {}).values():
        prop.pop("title", None)
    parameters.setdefault("properties", {})
    parameters.setdefault("required", [])
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
        "strict": can_be_strict(parameters),
    }


def _doc(function: Callable[..., Any]) -> str:
    doc = inspect.getdoc(function)
    if doc or sys.flags.optimize < 2:
        return doc or ""
    try:  # `-OO` takes docstrings out of the program, not out of its source
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, SyntaxError, TypeError, ValueError):
        return ""
    if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        return ""
    return ast.get_docstring(definition) or ""


def _describe(doc: str) -> tuple[str, dict[str, str]]:
    """Split a docstring into the tool's description and those of its parameters."""
    section = _SECTION.search(doc)
    if section is None:
        return doc.strip(), {}
    parameters: dict[str, str] = {}
    current = ""
    indent = 0
    for line in doc[section.end() :].splitlines():
        if line and not line[0].isspace():
            break
        match = _PARAMETER.match(line)
        if match and (not current or len(match[1]) <= indent):
            indent, current = len(match[1]), match[2]
            parameters[current] = match[3].strip()
        elif current and line.strip():
            parameters[current] = f"{parameters[current]} {line.strip()}".strip()
    return doc[: section.start()].strip(), parameters


def _argument_error(error: ValidationError) -> ArgumentError:
    problems: Sequence[Any] = error.errors(include_url=False, include_input=False)
    lines = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'arguments'}: {problem['msg']}" for problem in problems
    ]
    return ArgumentError("bad_arguments", "the arguments do not fit: " + "; ".join(lines))
