"""`gym doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gym_core import GymError
from gym_core.spi import (
    Kind,
    Terminal,
    component_config_options,
    concurrency_option,
    debug_option,
    disable_option,
    json_option,
    one_line,
    parse_models,
    pass_terminal,
    read_components,
    sandbox_option,
    sandbox_settings,
    setting_option,
    split_roles,
    styled,
)

if TYPE_CHECKING:
    from gym_core.spi import Maker
    from gym_doctor.checks import Finding

_COLORS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor")
@click.option(
    "-m",
    "--model",
    "references",
    metavar="[ROLE=]REF",
    multiple=True,
    help="Look at this model, too, and have it answer one tiny call, which may cost a fraction of a cent; "
    "with -M tokens=true two short turns, too. Repeatable.",
)
@setting_option("-M", "the model", "model_options", "[ROLE.]KEY=VALUE")
@click.option("--call/--no-call", default=True, help="Whether the models of --model are called.")
@click.option("--env", metavar="REF", help="Look whether this environment can be wired.")
@setting_option("-E", "the environment", "env_options")
@sandbox_option("Look whether this sandbox can be opened, and runs a command.")
@sandbox_settings
@concurrency_option(help="Rollouts at once that are wanted.")
@click.option("--output", metavar="FILE", default="results/x.jsonl", help="Where rows would go.")
@json_option("Print an object: findings (check, state, message, fix), warnings, problems.")
@component_config_options
@disable_option
@debug_option
@pass_terminal
def doctor(
    terminal: Terminal,
    references: tuple[str, ...],
    model_options: dict[str, str],
    call: bool,
    env: str | None,
    env_options: dict[str, str],
    sandbox: str | None,
    sandbox_options: dict[str, str],
    concurrency: int,
    output: str,
    as_json: bool,
    config: str | None,
    disabled: tuple[str, ...],
) -> int:
    """Look for what keeps runs from going well, and say how to fix it.

    Plugins are imported. Without --model no endpoint is asked and nothing is paid for. The exit status is 1 when there
    is a problem; warnings are none.
    """
    from gym_core.spi import Maker, PluginManager, load_dotenv
    from gym_doctor import checks as diagnosis

    models = parse_models(references)
    manager = PluginManager(disabled)
    report = _Report(terminal, as_json)
    report.add(*diagnosis.versions(), *diagnosis.script())
    maker = Maker(manager, terminal.redactor)
    with report.about("dotenv"):
        read = load_dotenv()
        terminal.redactor.add_variables(read, os.environ)
        report.add(*diagnosis.dotenv(Path(), read, os.environ))
        with report.about("configuration"):
            maker = read_components(terminal, config).maker(terminal, manager, models=models, env=env, sandbox=sandbox)
    report.add(*diagnosis.plugins(manager), *diagnosis.keys(manager, os.environ))
    report.add(*diagnosis.accelerators(), *diagnosis.open_files(concurrency), *diagnosis.space(Path(output)))
    if env is not None:
        with report.about("environment"):
            report.add(*diagnosis.environment(maker, env, env_options, set(models), sandbox))
    if models or sandbox is not None:
        from gym_core.spi import Interrupts

        by_role = split_roles(model_options, models)
        Interrupts(terminal).run(_look_at(report, maker, models, by_role, sandbox, sandbox_options, call=call))
    return report.close()


async def _look_at(
    report: _Report,
    maker: Maker,
    models: Mapping[str, str],
    model_options: Mapping[str, Mapping[str, Any]],
    sandbox: str | None,
    sandbox_options: Mapping[str, str],
    *,
    call: bool,
) -> None:
    from gym_doctor import endpoint
    from gym_doctor import sandbox as sandboxes

    for role, reference in models.items():
        with report.about(f"model {role}"):
            model = maker.make(Kind.MODEL, reference, model_options.get(role, {}), role=role).component
            async for finding in endpoint.look(role, model, call=call):
                report.add(finding)
    if sandbox is not None:
        with report.about("sandbox"):
            report.add(await sandboxes.look(maker.make(Kind.SANDBOX, sandbox, sandbox_options).component))


class _Report:
    """What was found, shown as it comes."""

    def __init__(self, terminal: Terminal, as_json: bool) -> None:
        self.terminal = terminal
        self.as_json = as_json
        self.findings: list[Finding] = []

    def add(self, *findings: Finding) -> None:
        self.findings += findings
        for finding in () if self.as_json else findings:
            state = styled(f"{finding.state:<8}", fg=_COLORS[finding.state])
            self.terminal.out(state, f" {finding.check}: {one_line(finding.message)}")
            if finding.fix:
                self.terminal.out(f"{'':<8} -> {one_line(finding.fix)}")

    @contextmanager
    def about(self, check: str) -> Iterator[None]:
        """A block whose error is a finding."""
        from gym_doctor.checks import Finding

        try:
            yield
        except GymError as error:
            self.add(Finding(check, "problem", error.message, error.hint))

    def close(self) -> int:
        """The closing line; returns the exit status."""
        states = [finding.state for finding in self.findings]
        warnings, problems = states.count("warning"), states.count("problem")
        if self.as_json:
            from dataclasses import asdict

            found = [asdict(finding) for finding in self.findings]
            self.terminal.out_json({"findings": found, "warnings": warnings, "problems": problems})
        else:
            self.terminal.note(
                f"{problems} problem{'' if problems == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
            )
        return 1 if problems else 0
