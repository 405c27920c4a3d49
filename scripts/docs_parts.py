"""The generated parts of the documentation, by name: each a function that returns Markdown."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import docs_catalog
import docs_http
import docs_python
from docs_markdown import code, first_upper, table

from gym_core import Component
from gym_core.cli.app import app
from gym_core.contract import hookspecs
from gym_core.contract.formats import Json
from gym_core.domain import errors
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.metrics.columns import FLAT_COLUMNS
from gym_core.engine.model_calls import retries as retry
from gym_core.wiring.fields import OptionField, option_fields, selector_field, variable
from gym_core.wiring.kinds import Kind
from gym_core.wiring.manager import PluginManager
from gym_tables.columns import FAMILIES
from gym_training.statuses import TREATMENTS

ROOT = Path(__file__).parents[1]
COLUMN_WORDS = {str: "text", int: "integer", float: "number", Json: "JSON"}
_LONG_OPTION = re.compile(r"--[a-z][a-z-]+")


# Options of components


def options(kind: Kind, name: str) -> str:
    """The options of a component as a table."""
    return options_of(PluginManager(environ={}).load(kind, name).component, kind, name)


def options_of(component: type[Component], kind: Kind, name: str) -> str:
    """The options of a component's class as a table."""
    fields = option_fields(component, name)
    if not fields:
        return f"`{name}` has no options."
    head = (
        f"Each is given as `{kind.setter} OPTION=VALUE` or as the environment variable `{variable(name, 'OPTION')}`; "
        "the command line wins. A value that is a list or an object is written as JSON."
    )
    return f"{head}\n\n" + table(
        ("option", "type", "default", "meaning"),
        [_option_row(field, field.name == selector_field(component)) for field in fields],
    )


def reasoning_gym() -> type[Component]:
    """The class of an environment that is not installed where there is no C compiler; it is read from its folder."""
    sys.path.append(str(ROOT / "plugins" / "reasoning_gym"))
    offered = importlib.import_module("gym_reasoning_gym").gym_resource_servers()
    component: type[Component] = offered["reasoning_gym"]
    return component


def _option_row(field: OptionField, is_selector: bool) -> tuple[str, str, str, str]:
    meaning = field.description
    also = field.environment[1:]
    if also:
        meaning += f" Also read from {' and '.join(map(code, also))}."
    if is_selector:
        meaning += " Also what stands after the colon of the reference."
    default = "required" if field.required else code(field.default)
    return code(field.name), _type(field.type), default, meaning


def _type(text: str) -> str:
    names = [name for name in text.split(" | ") if name != "none"]
    return ", ".join(names)


# Errors and retries


def known_errors() -> list[type[errors.ModelError]]:
    """The error classes that this version can raise: not those about options that `gym run` does not have yet."""
    run = app.get_command(click.Context(app), "run")
    assert run is not None
    known = {name for parameter in run.params for name in parameter.opts}
    found = [cls for cls in errors.model_error_classes() if cls.__module__ == errors.__name__]
    return [cls for cls in found if set(_LONG_OPTION.findall(f"{cls.__doc__}")) <= known]


def error_table() -> str:
    """What a model call can fail with."""
    rows = [
        (
            code(cls.__name__),
            inspect.cleandoc(cls.__doc__ or ""),
            "yes" if cls.retryable else "no",
            "yes" if cls.fatal else "no",
            cls.remedy,
        )
        for cls in known_errors()
    ]
    return table(("class", "meaning", "tried again", "stops the run", "what to do"), rows)


def retry_table() -> str:
    """The retry policy."""
    rows = [
        (
            code(cls.__name__),
            str(policy.attempts),
            _span(policy.total),
            f"{_span(policy.base)} to {_span(policy.cap)}",
        )
        for cls, policy in retry.POLICY.items()
    ]
    silent = retry.UNANSWERED
    rows.append(
        (
            f"{code('ConnectionFailedError')} while the endpoint has never answered",
            str(silent.attempts),
            _span(silent.total),
            f"{_span(silent.base)} to {_span(silent.cap)}",
        )
    )
    others = [code(cls.__name__) for cls in known_errors() if cls not in retry.POLICY]
    return (
        table(("class", "attempts at most", "for at most", "delay grows from"), rows)
        + f"\n\nNever tried again: {', '.join(others)}.\n\n"
        + f"`Retry-After` is honoured up to {_span(retry.RETRY_AFTER_CAP)}; a longer one is cut to that."
    )


_WAITS = {
    "rollout": "one whole rollout; waiting for a slot, for a retry or for a session's turn does not count",
    "setup": "opening a session, its `setup`, and each `reply`",
    "model_call": "one attempt of a model call; a backend's own `request_timeout` may be shorter",
    "tool": "one tool call",
    "verify": "`verify`",
    "close": "closing a session",
    "waiting": "one wait of a model call, for a slot or for its next attempt",
}


def deadline_table() -> str:
    """The bounds on every wait."""
    rows = [(_WAITS.get(field.name, field.name), _span(field.default)) for field in dataclasses.fields(Deadlines)]
    return table(("what", "at most"), rows)


def _span(seconds: Any) -> str:
    if seconds >= 60 and seconds % 60 == 0:
        return f"{seconds / 60:g} min"
    return f"{seconds:g} s"


# Hooks


def hooks() -> str:
    """The hook specifications, and what the observers are given."""
    parts = [inspect.cleandoc(hookspecs.__doc__ or "").partition("\n\n")[2]]
    for name, function in vars(hookspecs).items():
        if name.startswith("gym_") and inspect.isfunction(function):
            signature = f"def {name}{inspect.signature(function)}: ...".replace("'", "")
            parts.append(f"## {name}\n\n```python\n{signature}\n```\n\n{inspect.getdoc(function)}")
    for cls in (hookspecs.RunInfo, hookspecs.CallInfo):
        fields = [(code(field.name), code(str(field.type).replace(" | ", " or "))) for field in dataclasses.fields(cls)]
        parts.append(f"## {cls.__name__}\n\n{inspect.getdoc(cls)}\n\n" + table(("field", "type"), fields))
    return "\n\n".join(parts)


# Command line


def command_line() -> str:
    """Every command with its options, as `--help` says it."""
    return "\n\n".join(_commands(app, "gym", None))


def _commands(command: click.Command, path: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {path}", inspect.cleandoc(command.help or ""), f"```text\n{usage}\n```"]
    rows = [_parameter_row(parameter) for parameter in command.params if isinstance(parameter, click.Option)]
    if rows:
        parts.append(table(("option", "meaning"), rows))
    yield "\n\n".join(parts)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, f"{path} {name}", context)


def _parameter_row(option: click.Option) -> tuple[str, str]:
    names = ", ".join((*option.opts, *option.secondary_opts))
    number = isinstance(option.type, click.IntRange)
    value = "" if option.is_flag else f" {option.metavar or ('N' if number else 'WORD')}"
    facts = []
    if option.required:
        facts.append("Required.")
    if isinstance(option.type, click.Choice):
        facts.append(f"One of {', '.join(map(code, option.type.choices))}.")
    if option.show_default and option.default is not None:
        facts.append(f"Default: {option.default}.")
    return code(names + value), " ".join([first_upper(option.help or ""), *facts])


# The house


def house() -> str:
    """The folders of the core with the first sentence of their docstrings, and distributions with their summaries."""
    core = "\n".join(_folders(ROOT / "gym_core", ""))
    return f"```text\n{core}\nplugins/\n" + "\n".join(_distributions()) + "\n```"


def _distributions() -> Iterator[str]:
    for project in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        about = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        yield f"  {project.parent.name}/".ljust(24) + f"{about['description']}"


def _folders(folder: Path, indent: str) -> Iterator[str]:
    yield f"{indent}{folder.name}/".ljust(24) + _summary(folder / "__init__.py")
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").is_file() and len(indent) < 4:
            yield from _folders(inner, indent + "  ")


def _summary(module: Path) -> str:
    doc = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(doc.split("\n\n")[0].split())


def layers() -> str:
    """The layers that import-linter holds, the upper ones first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    parts = []
    for contract in contracts:
        if contract["type"] == "layers":
            lines = [re.sub(r"\bgym_core\.", "", line) for line in contract["layers"]]
            parts.append(f"{contract['name']}:\n\n```text\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(parts)


def table_columns() -> str:
    """The columns of flat tables, and those that follow from the rows."""
    fixed = ((code(name), COLUMN_WORDS[kind], meaning) for name, (kind, _, meaning) in FLAT_COLUMNS.items())
    found = ((f"`{family}_NAME`", "what fits", meaning) for family, (_, meaning) in FAMILIES.items())
    return table(("column", "type", "holds"), [*fixed, *found])


def training_statuses() -> str:
    """What becomes of rollouts in each format by how they ended."""
    rows = [
        (code(name), said.failure.value, said.truncated or "as any other", said.field or "")
        for name, said in TREATMENTS.items()
    ]
    return table(("format", "one that failed", "one that was cut", "said by"), rows)


PARTS: dict[str, Callable[[], str]] = {
    "catalog-alone": docs_catalog.alone,
    "catalog-families": docs_catalog.families,
    "catalog-homes": docs_catalog.homes,
    "cli": command_line,
    "deadlines": deadline_table,
    "errors": error_table,
    "hooks": hooks,
    "house": house,
    "http": docs_http.http_api,
    "layers": layers,
    "options-local": lambda: options(Kind.MODEL, "local"),
    "options-gateway": lambda: options(Kind.GATEWAY, "http"),
    "options-openai": lambda: options(Kind.MODEL, "openai"),
    "options-qa": lambda: options(Kind.RESOURCE_SERVER, "qa"),
    "options-reasoning-gym": lambda: options_of(reasoning_gym(), Kind.RESOURCE_SERVER, "reasoning_gym"),
    "options-simple-agent": lambda: options(Kind.AGENT, "simple_agent"),
    "options-simple-weather": lambda: options(Kind.RESOURCE_SERVER, "simple_weather"),
    "options-openenv": lambda: options(Kind.RESOURCE_SERVER, "openenv"),
    "options-textgames": lambda: options(Kind.RESOURCE_SERVER, "gymnasium"),
    "options-stateful-counter": lambda: options(Kind.RESOURCE_SERVER, "stateful_counter"),
    "options-workplace": lambda: options(Kind.RESOURCE_SERVER, "workplace"),
    "python": docs_python.python_api,
    "retries": retry_table,
    "spi": docs_python.second_tier,
    "table-columns": table_columns,
    "training-statuses": training_statuses,
}
