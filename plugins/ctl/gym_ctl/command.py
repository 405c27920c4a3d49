"""`gym ctl`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from gym_core import UsageError
from gym_core.spi import Terminal, debug_option, json_option, pass_terminal
from gym_ctl.client import Going, going_on, one_run

_run = click.option("--run", "wanted", metavar="RUN", help="Which run: the beginning of its id, or its output.")


@click.group("ctl")
def ctl() -> None:
    """Steer a run that is going on, from another terminal.

    The run has to have been started with `--extension ctl`. Where several are going on, `--run` says which is meant.
    """


def _command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command for one run."""

    def decorate(function: Callable[..., None]) -> click.Command:
        return ctl.command(name)(_run(debug_option(pass_terminal(function))))

    return decorate


@ctl.command("list")
@json_option("Print them as JSON, with the rollouts under way.")
@debug_option
@pass_terminal
def list_runs(terminal: Terminal, as_json: bool) -> None:
    """List the runs that are going on and can be steered."""
    runs = going_on(terminal.note)
    if as_json:
        terminal.out_json([run.state for run in runs])
    elif runs:
        terminal.table(
            ("run", "state", "rollouts", "failed", "under way", "concurrency", "reward", "output"), [*map(_cells, runs)]
        )
    else:
        terminal.note("no run is going on that can be steered; start one with `--extension ctl`")


def _cells(run: Going) -> tuple[str, ...]:
    state: Mapping[str, Any] = run.state
    counts = state["rollouts"]
    ended, total = counts["done"] + counts["failed"], counts["total"]
    return (
        state["run_id"],
        state["state"],
        f"{ended:,}" + (f" of {total:,}" if total is not None else ""),
        f"{counts['failed']:,}",
        f"{counts['in_flight']:,}",
        f"{state['concurrency']:,}",
        f"{state['reward']:.4f}" if state["reward"] is not None else "-",
        state["output"] or "-",
    )


@_command("pause")
def pause(terminal: Terminal, wanted: str | None) -> None:
    """Start no new rollouts; those under way go on."""
    run = one_run(wanted, terminal.note)
    run.ask("pause")
    left = run.ask("state")["rollouts"]["in_flight"]
    terminal.out(f"{run.name} starts nothing new; {left:,} rollouts are under way")


@_command("resume")
def resume(terminal: Terminal, wanted: str | None) -> None:
    """Start new rollouts again."""
    run = one_run(wanted, terminal.note)
    run.ask("resume")
    terminal.out(f"{run.name} goes on")


@_command("stop")
def stop(terminal: Terminal, wanted: str | None) -> None:
    """End the run; `--resume` goes on with it."""
    run = one_run(wanted, terminal.note)
    run.ask("stop")
    terminal.out(f"{run.name} ends; what is under way is recorded as cancelled")


@ctl.command("cancel")
@click.argument("task", metavar="TASK[#REPEAT]")
@_run
@debug_option
@pass_terminal
def cancel(terminal: Terminal, task: str, wanted: str | None) -> None:
    """Cancel the rollouts of a task that are under way; a resumed run starts them again."""
    run = one_run(wanted, terminal.note)
    count = run.ask("cancel", task)
    task_id, mark, repeat = task.rpartition("#")
    if not count and mark and repeat.isdecimal() and len(repeat) < 10:
        count = run.ask("cancel", task_id, int(repeat))
    if not count:
        raise UsageError(
            f"{run.name} has no rollout of {task!r} under way", hint="`gym ctl list --json` names those that are"
        )
    terminal.out(f"{run.name}: {count} rollouts of {task} cancelled")


@ctl.command("set")
@click.argument("setting", metavar="concurrency=N")
@_run
@debug_option
@pass_terminal
def set_setting(terminal: Terminal, setting: str, wanted: str | None) -> None:
    """Change how many rollouts are under way at once."""
    name, _, text = setting.partition("=")
    if name != "concurrency" or not text.isdecimal() or not 1 <= int(text[:10]) <= 1_000_000:
        raise UsageError(f"{setting!r}: it is `concurrency=N` that can be set, with N from 1 to 1,000,000")
    run = one_run(wanted, terminal.note)
    warning = run.ask("set_concurrency", int(text))
    if warning:
        terminal.note(f"warning: {warning}")
    terminal.out(f"{run.name} has {int(text):,} rollouts under way at once from now on")
