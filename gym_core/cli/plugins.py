"""`gym plugins`."""

from __future__ import annotations

import inspect
import platform
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gym_core.cli.parameters import debug_option, disable_option, json_option, kind_option
from gym_core.cli.terminal import PLAIN_WIDTH, Terminal, pass_terminal
from gym_core.domain.errors import UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.wiring.discovery import find_plugins
from gym_core.wiring.kinds import Kind
from gym_core.wiring.plugin import Plugin
from gym_core.wiring.reference import Reference

if TYPE_CHECKING:
    from gym_core.wiring.manager import PluginManager

_DOC_WIDTH = 100


@click.command("list")
@kind_option
@json_option("Print one list of objects: kind, name, distribution, version, python, summary, state.")
@disable_option
@debug_option
@pass_terminal
def list_plugins(terminal: Terminal, kind: Kind | None, as_json: bool, disabled: tuple[str, ...]) -> None:
    """List the installed plugins without importing them.

    STATE is "ready"; "isolated" where it is ready in an environment of its own; "disabled" where GYM_DISABLE_PLUGINS
    or --disable-plugin switches it off; "conflict" where several distributions offer the same kind and name, so that it
    has to be called DIST/NAME. With "isolated" stands the version of the Python that it runs on.
    """
    plugins = find_plugins(kind, disabled=disabled)
    if as_json:
        terminal.out_json([_row(plugin) for plugin in plugins])
    elif plugins:
        print_plugins(terminal, plugins)
    else:
        what = f"plugin of the kind {kind}" if kind else "plugin"
        terminal.note(f"no {what} is installed; plugins are Python packages that `pip install` adds")


def print_plugins(terminal: Terminal, plugins: Sequence[Plugin]) -> None:
    """A table of plugins, on standard output."""
    rows = [_row(plugin) for plugin in plugins]
    for row, plugin in zip(rows, plugins, strict=True):
        row["state"] += f" on {plugin.python}" if plugin.python else ""
    _print(terminal, ("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE", "SUMMARY"), rows)


def _print(terminal: Terminal, titles: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    terminal.table(titles, [[row[title.lower()] for title in titles] for row in rows])


def _row(plugin: Plugin) -> dict[str, str]:
    """A plugin as `--json` prints it."""
    return {
        "kind": plugin.kind.value,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "python": plugin.python or platform.python_version(),
        "summary": plugin.summary,
        "state": plugin.state,
    }


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
    from gym_core.wiring.description import describe_component
    from gym_core.wiring.fields import option_fields

    if not kind.is_component:
        extension = kind is Kind.EXTENSION
        offered = manager.load_extension(reference) if extension else manager.load(kind, reference).component
        options = [asdict(field) for field in option_fields(type(offered))] if kind is Kind.EXPORTER else []
        row = _row(manager.find(kind, reference))
        return {**row, "doc": _doc(kind, offered), "selector": None, "choices": [], "options": options}
    loaded = manager.load(kind, reference)
    row = _row(loaded.plugin)
    if loaded.script is not None:
        row["name"] = str(loaded.reference)
    return {**row, **describe_component(loaded)}


def _doc(kind: Kind, offered: Any) -> str:
    if kind is Kind.COMMAND:
        return inspect.cleandoc(offered.help or "")
    if kind is Kind.SCHEME:
        return f"A URL means {offered}."
    doc = inspect.getdoc(offered) or ""
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


@click.command()
@json_option('Print one list of objects as `list` does, with the states "broken" and "damaged" and the key `problem`.')
@disable_option
@debug_option
@pass_terminal
def check(terminal: Terminal, as_json: bool, disabled: tuple[str, ...]) -> int:
    """Import every plugin and say which are broken.

    Plugins that are switched off are left alone. Installations whose metadata is damaged, which hides their plugins,
    are named: their state is "damaged". The exit status is 1 when a plugin is broken.
    """
    from gym_core.wiring.damage import find_damage
    from gym_core.wiring.manager import PluginManager

    manager = PluginManager(disabled)
    rows = []
    problems = []
    for plugin in manager.plugins:
        row = _row(plugin)
        problem = None if plugin.state == "disabled" else manager.check(plugin)
        if problem is not None:
            row["state"] = "broken"
            problems.append(problem)
        rows.append({**row, "problem": str(problem or "")})
    damage = find_damage()
    for one in damage:
        row = {"kind": "", "name": "", "distribution": one.distribution, "version": one.version, "python": ""}
        rows.append({**row, "summary": "", "state": "damaged", "problem": one.message})
    if as_json:
        terminal.out_json(rows)
    elif rows:
        _print(terminal, ("STATE", "KIND", "NAME", "DISTRIBUTION", "VERSION"), rows)
    for one in () if as_json else damage:
        terminal.note(f"warning: {one.message}; {one.fix}")
    for problem in problems:
        terminal.trace(problem)
        if terminal.debug or not as_json:
            terminal.error(problem.message, problem.hint)
    if not as_json:
        count = len(manager.plugins)
        counted = f"{count} plugin{'' if count == 1 else 's'}"
        terminal.note(f"{counted}, {len(problems)} broken" if problems else f"{counted}, none broken")
    return 1 if problems else 0
