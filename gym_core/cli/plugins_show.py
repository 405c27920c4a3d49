"""`gym plugins show`."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from gym_core.cli.parameters import debug_option, disable_option, json_option, kind_option
from gym_core.cli.plugins_list import as_row
from gym_core.cli.terminal import PLAIN_WIDTH, Terminal, pass_terminal
from gym_core.domain.errors import UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.wiring.kinds import Kind
from gym_core.wiring.reference import Reference

if TYPE_CHECKING:
    from gym_core.wiring.manager import PluginManager

_DOC_WIDTH = 100


@click.command()
@click.argument("name")
@kind_option
@json_option("Print one list of objects, with the keys of `list` and doc, selector, choices, options.")
@disable_option
@debug_option
@pass_terminal
def show(terminal: Terminal, name: str, kind: Kind | None, as_json: bool, disabled: tuple[str, ...]) -> None:
    """Show what a plugin does and the options it takes.

    NAME may be DIST/NAME, or a script: ./FILE.py, ./FILE.py:CLASS. Plugins of several kinds that share a name are all
    shown; --kind chooses.
    """
    from gym_core.wiring.manager import PluginManager

    manager = PluginManager(disabled)
    reference = Reference.parse(name)
    if reference.url is not None or reference.selector is not None:
        raise UsageError(
            f"{name!r} is no name of a plugin", hint="write NAME, DIST/NAME or ./FILE.py, without a selector"
        )
    descriptions = [_describe(manager, one, reference) for one in _kinds(manager, reference, kind)]
    if as_json:
        terminal.out_json(descriptions)
        return
    for number, description in enumerate(descriptions):
        terminal.out(("\n" if number else "") + "\n".join(_lines(description, terminal.width)))


def _kinds(manager: PluginManager, reference: Reference, kind: Kind | None) -> list[Kind]:
    if kind is not None:
        return [kind]
    if reference.path is not None:
        from gym_core.wiring.scripts import kinds_in

        return kinds_in(reference)
    found = [plugin for plugin in manager.plugins if plugin.name == reference.name]
    if reference.distribution is not None:
        found = [plugin for plugin in found if plugin.belongs_to(reference.distribution)] or found
    if not found:
        guess = did_you_mean(reference.name, (plugin.name for plugin in manager.plugins))
        raise UsageError(
            f"no plugin named {reference.name!r} is installed{guess}", hint="`gym plugins list` lists them"
        )
    return list(dict.fromkeys(plugin.kind for plugin in found))


def _describe(manager: PluginManager, kind: Kind, reference: Reference) -> dict[str, Any]:
    from gym_core.wiring.description import describe_component, recorded_description

    if not kind.is_component:
        doc = _doc(manager, kind, reference)
        plugin = manager.find(kind, reference)
        options = _export_options(manager, reference) if kind is Kind.EXPORTER else []
        return {**as_row(plugin), "doc": doc or "", "selector": None, "choices": [], "options": options}
    loaded = manager.load(kind, reference)
    row = as_row(loaded.plugin)
    if loaded.script is not None:
        row["name"] = str(loaded.reference)
    return {**row, **(recorded_description(loaded.component) or describe_component(loaded))}


def _export_options(manager: PluginManager, reference: Reference) -> list[dict[str, Any]]:
    """The options of a format, which are given on the command line alone."""
    from gym_core.wiring.description import described_options
    from gym_core.wiring.fields import option_fields

    exporter = manager.load(Kind.EXPORTER, reference).component
    return [{**option, "environment": []} for option in described_options(option_fields(type(exporter)))]


def _doc(manager: PluginManager, kind: Kind, reference: Reference) -> str | None:
    if kind is Kind.EXTENSION:
        return inspect.getdoc(manager.load_extension(reference))
    offered = manager.load(kind, reference).component
    if kind is Kind.COMMAND:
        return str(offered.help or "")
    if kind is Kind.SCHEME:
        return f"A URL means {offered}."
    doc = inspect.getdoc(offered)
    return f"{doc}\n\nuntested: {offered.untested}" if kind is Kind.EXPORTER and offered.untested else doc


def _lines(shown: dict[str, Any], width: int | None) -> Iterator[str]:
    limit = width or PLAIN_WIDTH
    kind, name, selector = Kind(shown["kind"]), shown["name"], shown["selector"]
    yield f"{name}  ({kind.label})"
    apart = ", in an environment of its own" if shown["state"] == "isolated" else ""
    yield f"from {shown['distribution']} {shown['version']}".rstrip() + apart
    if shown["doc"]:
        yield ""
        yield shown["doc"]
    if kind.usage:
        yield ""
        yield f"usage: {kind.usage} {name}" + (f"[:{selector.upper()}]" if selector else "")
    if shown["choices"]:
        text = f"{selector}: " + ", ".join(shown["choices"])
        yield from textwrap.wrap(text, min(limit, _DOC_WIDTH), subsequent_indent="  ", break_on_hyphens=False)
    if shown.get("preferred_agent"):
        yield f"preferred agent: {shown['preferred_agent']}"
    if shown["options"]:
        yield ""
        yield f"options ({kind.setter or '-O'} OPTION=VALUE):"
    for option in shown["options"]:
        yield from _option_lines(option, option["name"] == selector, limit)


def _option_lines(option: dict[str, Any], is_selector: bool, limit: int) -> Iterator[str]:
    default = "required" if option["required"] else f"default {option['default']}" if option["default"] else ""
    facts = [option["type"], default, "also after the colon" if is_selector else ""]
    yield f"  {option['name']}  ({'; '.join(fact for fact in facts if fact)})"
    indent = " " * 6
    yield from textwrap.wrap(option["description"], limit, initial_indent=indent, subsequent_indent=indent)
    if option["environment"]:
        yield indent + "environment: " + ", ".join(option["environment"])
