"""What a model is shown of a `@tool`."""

from __future__ import annotations

import ast
import enum
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import gym_core
from gym_core import tool
from gym_core.spi import class_tools


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


class Place(BaseModel):
    name: str
    country: str = "FR"


def schema(function: Any) -> dict[str, Any]:
    """The schema of one function as a session's tool."""
    (spec,) = class_tools(type("Owner", (), {"it": function}))
    return spec.schema


def parameters(function: Any) -> dict[str, Any]:
    found: dict[str, Any] = schema(function)["parameters"]
    return found


def test_name_description_and_types_come_from_the_function() -> None:
    @tool
    def add(self: Any, first: int, second: float) -> str:
        """Add two numbers."""
        return ""

    assert schema(add) == {
        "type": "function",
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"first": {"type": "integer"}, "second": {"type": "number"}},
            "required": ["first", "second"],
            "additionalProperties": False,
        },
        "strict": True,
    }


def test_args_section_describes_parameters_over_several_lines() -> None:
    @tool
    def find(self: Any, what: str, where: str) -> str:
        """Find a thing.

        It may take a while.

        Args:
            what: the thing,
                by its name
            where (str): the place: a room

        Returns:
            Where it is.
        """
        return ""

    shown = schema(find)
    assert shown["description"] == "Find a thing.\n\nIt may take a while."
    assert shown["parameters"]["properties"]["what"]["description"] == "the thing, by its name"
    assert shown["parameters"]["properties"]["where"]["description"] == "the place: a room"


def test_annotated_description_wins_over_the_docstring() -> None:
    @tool
    def find(self: Any, what: Annotated[str, Field(description="from the annotation", max_length=3)]) -> str:
        """Find.

        Args:
            what: from the docstring
        """
        return ""

    what = parameters(find)["properties"]["what"]
    assert what["description"] == "from the annotation"
    assert what["maxLength"] == 3


def test_a_default_makes_a_parameter_optional_and_the_schema_not_strict() -> None:
    @tool
    def wait(self: Any, hours: int = 3) -> str:
        """Wait."""
        return ""

    shown = schema(wait)
    assert shown["parameters"]["properties"]["hours"]["default"] == 3
    assert shown["parameters"]["required"] == []
    assert shown["strict"] is False


def test_a_tool_without_parameters_takes_an_empty_object() -> None:
    @tool
    def look(self: Any) -> str:
        """Look."""
        return ""

    assert parameters(look)["properties"] == {}
    assert parameters(look)["additionalProperties"] is False


def test_enums_literals_and_nested_models_are_described() -> None:
    @tool
    def weather(self: Any, place: Place, unit: Unit, when: Literal["now", "later"], tags: list[str]) -> str:
        """Weather."""
        return ""

    shown = parameters(weather)
    assert shown["$defs"]["Place"]["properties"]["country"]["default"] == "FR"
    assert shown["$defs"]["Unit"]["enum"] == ["C", "F"]
    assert shown["properties"]["when"]["enum"] == ["now", "later"]
    assert shown["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}


def test_a_tool_can_have_another_name() -> None:
    @tool(name="web-search")
    def search(self: Any) -> str:
        """Search."""
        return ""

    assert schema(search)["name"] == "web-search"


def test_tools_stand_in_the_order_of_definition_those_of_the_base_first() -> None:
    class Base:
        @tool
        def one(self) -> str:
            """One."""
            return ""

        @tool
        def two(self) -> str:
            """Two."""
            return ""

    class Derived(Base):
        @tool
        def three(self) -> str:
            """Three."""
            return ""

        @tool
        def one(self) -> str:
            """One, anew."""
            return ""

    assert [spec.name for spec in class_tools(Derived)] == ["one", "two", "three"]
    assert class_tools(Derived)[0].schema["description"] == "One, anew."
    assert [spec.name for spec in class_tools(Base)] == ["one", "two"]


def test_a_subclass_drops_a_tool_by_overriding_it_with_a_plain_method() -> None:
    class Base:
        @tool
        def one(self) -> str:
            """One."""
            return ""

    class Derived(Base):
        def one(self) -> str:
            return ""

    assert class_tools(Derived) == ()


def test_parameter_names_that_pydantic_uses_itself_are_fine() -> None:
    @tool
    def export(self: Any, schema: str, copy: bool, json: str) -> str:
        """Export."""
        return ""

    assert list(parameters(export)["properties"]) == ["schema", "copy", "json"]


def test_string_annotations_are_resolved() -> None:
    @tool
    def add(self: Any, first: "int") -> "str":  # noqa: UP037
        """Add."""
        return ""

    assert parameters(add)["properties"]["first"] == {"type": "integer"}


def no_docstring(self: Any, a: int) -> str:
    return ""


def no_annotation(self, a) -> str:  # type: ignore[no-untyped-def]
    """Bad."""
    return ""


def star_args(self: Any, *numbers: int) -> str:
    """Bad."""
    return ""


def star_keywords(self: Any, **numbers: int) -> str:
    """Bad."""
    return ""


def positional_only(self: Any, a: int, /) -> str:
    """Bad."""
    return ""


def unknown_name(self: Any, a: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Bad."""
    return ""


def private(self: Any, _a: int) -> str:
    """Bad."""
    return ""


class Opaque:
    """Nothing pydantic knows."""


def opaque(self: Any, a: Opaque) -> str:
    """Bad."""
    return ""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_docstring, "a docstring is missing"),
        (no_annotation, "parameter `a` has no annotation"),
        (star_args, "cannot be described"),
        (star_keywords, "cannot be described"),
        (positional_only, "cannot be described"),
        (unknown_name, "Nowhere"),
        (opaque, "Opaque"),
        (private, "_a"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_signature_without_a_schema_is_refused_by_the_tools_name(function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"(?s)tool `{function.__name__}`.*{words}"):
        schema(tool(function))


@pytest.mark.parametrize("name", ["two words", "é", "a.b", "x" * 65])
def test_a_name_that_endpoints_refuse_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="letters, digits"):
        schema(tool(name=name)(test_a_tool_can_have_another_name))


def test_two_tools_of_one_name_are_refused() -> None:
    class Twins:
        @tool(name="it")
        def one(self) -> str:
            """One."""
            return ""

        @tool(name="it")
        def two(self) -> str:
            """Two."""
            return ""

    with pytest.raises(TypeError, match="it"):
        class_tools(Twins)


def test_a_blocking_coroutine_function_is_refused() -> None:
    @tool(blocking=True)
    async def wait(self: Any) -> str:
        """Wait."""
        return ""

    with pytest.raises(TypeError, match="wait"):
        schema(wait)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


@pytest.mark.parametrize(
    "kind",
    [
        int,
        list[str],
        list[list[float]],
        int | None,
        Literal["a", "b"],
        Annotated[int, Field(ge=1, le=3)],
        date,
        Annotated[list[str], Field(min_length=1)],
        Annotated[str, Field(pattern="^[a-z]+$", description="x")],
    ],
    ids=str,
)
def test_what_strict_mode_can_say_is_strict(kind: Any) -> None:
    assert _with_parameter(kind)["strict"] is True


@pytest.mark.parametrize(
    "kind",
    [
        dict,
        dict[str, int],
        Any,
        list,
        list[Any],
        list[dict[str, int]],
        tuple[int, str],
        set[int],
        frozenset[str],
        bytes,
        Path,
        Colour,
        Circle,
        list[Circle],
        Annotated[Circle | Square, Field(discriminator="kind")],
        Annotated[str, Field(min_length=1)],
        Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)"})],
        list[int | Any],
        int | list[Any],
        Annotated[int, Field(examples=[3])],
        Annotated[str, Field(json_schema_extra={"format": "uri"})],
    ],
    ids=str,
)
def test_what_strict_mode_cannot_say_is_not(kind: Any) -> None:
    assert _with_parameter(kind)["strict"] is False


def test_deeper_than_strict_mode_goes_is_not_strict() -> None:
    nested: Any = int
    for _ in range(12):
        nested = list[nested]
    assert _with_parameter(nested)["strict"] is False


def _with_parameter(kind: Any) -> dict[str, Any]:
    def put(self: Any, value: Any) -> str:
        """Put a value."""
        return ""

    put.__annotations__["value"] = kind
    return schema(tool(put))


OPTIMISED = '''
import json
from gym_core import Session, tool
from gym_core.spi import class_tools

class Weather(Session):
    @tool(name="weather")
    async def get(self, city: str) -> str:
        """Say the weather.

        Args:
            city: Where.
        """
        return city

    @tool
    def plain(self) -> str:
        "One line."
        return ""

    def verify(self, trajectory):
        return 1.0

assert False
print(json.dumps([spec.schema for spec in class_tools(Weather)]))
'''


def test_tools_are_described_where_python_strips_docstrings(tmp_path: Path) -> None:
    (tmp_path / "weather with a space.py").write_text(OPTIMISED)
    command = [sys.executable, "-OO", str(tmp_path / "weather with a space.py")]
    weather, plain = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert weather["description"] == "Say the weather."
    assert weather["parameters"]["properties"]["city"]["description"] == "Where."
    assert plain["description"] == "One line."


UNREADABLE = """
from gym_core.contract.tools import tool_spec
namespace = {}
exec("def look() -> int: return 1", namespace)
try:
    tool_spec(namespace["look"])
except TypeError as error:
    print(error)
"""


def test_a_tool_whose_source_is_not_there_is_told_why_it_has_no_docstring() -> None:
    done = subprocess.run([sys.executable, "-OO", "-c", UNREADABLE], capture_output=True, check=True)
    assert b"docstring is missing" in done.stdout
    assert b"PYTHONOPTIMIZE=2" in done.stdout


def test_no_assertion_does_any_work() -> None:
    """Under `-O` they are not there."""
    harmless = {"isinstance"}
    for path in Path(gym_core.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assert) and "conformance" not in path.parts:
                called = [call.func for call in ast.walk(node.test) if isinstance(call, ast.Call)]
                assert all(isinstance(each, ast.Name) and each.id in harmless for each in called), path
                assert not any(isinstance(part, ast.NamedExpr | ast.Await) for part in ast.walk(node.test)), path
