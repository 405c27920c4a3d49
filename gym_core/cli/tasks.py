"""`gym tasks`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click

from gym_core.cli.configuration import component_config_options, read_components
from gym_core.cli.parameters import (
    debug_option,
    disable_option,
    json_option,
    setting_option,
    task_id_option,
)
from gym_core.cli.terminal import Terminal, pass_terminal, shorten
from gym_core.domain.blame import described
from gym_core.domain.errors import GymError, PluginError
from gym_core.wiring.kinds import Kind

if TYPE_CHECKING:
    from gym_core.contract.resource_server import ResourceServer
    from gym_core.domain.task import Task
    from gym_core.wiring.making import Made

DEFAULT_LIMIT = 20
TITLES = ("TASK_ID", "TOOLS", "TEXT")
_TEXT_WIDTH = 100
_TOOLS_SHOWN = 3


@click.command()
@click.option("--env", "reference", metavar="REF", required=True, help="The environment: [DIST/]NAME[:SELECTOR].")
@setting_option("-E", "the environment", "settings")
@click.option("--input", "input_", metavar="FILE", help="The tasks of this file, as a run would take them.")
@click.option(
    "--limit", type=click.IntRange(min=1), help=f"How many to list: {DEFAULT_LIMIT} in the table, all with --json."
)
@task_id_option
@json_option("Print the rows themselves, one JSON object per line, as `gym run --input` takes them.")
@component_config_options
@disable_option
@debug_option
@pass_terminal
def tasks(
    terminal: Terminal,
    reference: str,
    settings: dict[str, str],
    input_: str | None,
    limit: int | None,
    task_id: str | None,
    as_json: bool,
    config: str | None,
    disabled: tuple[str, ...],
) -> None:
    """List the tasks that an environment ships, or those of a file.

    An environment may ship tasks without end: with --json they are printed as they come, until --limit.
    """
    from gym_core.cli.interrupts import Interrupts
    from gym_core.wiring.manager import PluginManager

    maker = read_components(terminal, config).maker(terminal, PluginManager(disabled), env=reference)
    made = maker.make(Kind.RESOURCE_SERVER, reference, settings)
    listing = _Listing(terminal, made, task_id or None, input_)
    Interrupts(terminal).run(listing.print_rows(limit) if as_json else listing.print_table(limit or DEFAULT_LIMIT))


class _Listing:
    def __init__(self, terminal: Terminal, made: Made, task_id: str | None, input_: str | None) -> None:
        self.terminal = terminal
        self.task_id = task_id
        self.input = input_
        self.loaded = made.loaded
        self.server: ResourceServer = made.component

    async def print_rows(self, limit: int | None) -> None:
        from gym_core.domain.json_text import JsonError, encode_json

        async for task in self._tasks(limit):
            row = task.row if "task_id" in task.row else {"task_id": task.task_id, **task.row}
            try:
                line = encode_json(row)
            except JsonError as error:
                raise self._blamed(f"task {task.task_id} is not JSON: {error}") from error
            self.terminal.out_json_line(line)
            await self.terminal.room()

    async def print_table(self, limit: int) -> None:
        rows = [self._cells(task) async for task in self._tasks(limit + 1)]
        if not rows:
            self.terminal.note(f"{self.loaded.plugin.name} ships no tasks; give it some with `gym run --input FILE`")
            return
        self.terminal.table(TITLES, rows[:limit])
        if len(rows) > limit:
            self.terminal.note(f"the first {limit}; --limit shows more, --json all")

    def _cells(self, task: Task) -> tuple[str, str, str]:
        try:
            return task.task_id, _few(self._tool_names(task)), shorten(first_text(task), _TEXT_WIDTH)
        except (KeyError, TypeError, ValueError) as error:
            raise self._blamed(f"task {task.task_id} is malformed: {described(error)}") from error

    def _tool_names(self, task: Task) -> list[str]:
        from gym_core.contract.tools import class_tools

        named = [str(tool.get("name") or tool.get("type") or "?") for tool in task.request.tools]
        if named:
            return named
        session = getattr(self.loaded.component, "session_type", None)
        return [spec.name for spec in class_tools(session)] if session is not None else []

    async def _tasks(self, limit: int | None) -> AsyncIterator[Task]:
        from gym_core.domain.blame import asked_to_end, described
        from gym_core.engine.tasks.source import server_source
        from gym_core.wiring.making import enter

        try:
            async with AsyncExitStack() as stack:
                env = await enter(stack, self.server, Kind.RESOURCE_SERVER, self.loaded.plugin.distribution)
                number = 0
                if self.input is not None:
                    for task in self._read(self.input, limit):
                        yield task
                    return
                async for task in server_source(env, task_id=self.task_id, unique=False):
                    yield task
                    number += 1
                    if number == limit:
                        break
        except (GymError, GeneratorExit):
            raise
        except BaseException as error:
            if asked_to_end(error):
                raise
            raise self._blamed(f"its tasks cannot be listed: {described(error)}") from error

    def _read(self, path: str, limit: int | None) -> Iterator[Task]:
        from gym_core.engine.tasks.read_source import input_source

        source = input_source(path, self.server, task_id=self.task_id)
        source.check()
        for said in filter(None, (source.info.read_as, source.info.notice)):
            self.terminal.note(said)
        for batch in source.batches(limit):
            yield from batch

    def _blamed(self, problem: str) -> PluginError:
        plugin = self.loaded.plugin
        return PluginError(plugin.distribution, f"the {plugin.kind.label} {plugin.name!r}: {problem}")


def _few(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _TOOLS_SHOWN else f"{', '.join(names[:2])} and {len(names) - 2} more"


def first_text(task: Task) -> str:
    """The first words of a user in the task, else the first of anybody."""
    from gym_core.domain.responses import item_text

    texts = [(item.get("role"), item_text(item)) for item in task.input]
    spoken = [text for role, text in texts if text and role == "user"] or [text for _, text in texts if text]
    return " ".join(spoken[0].split()) if spoken else ""
