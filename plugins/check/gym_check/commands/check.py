"""`gym check`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gym_core import UsageError
from gym_core.spi import (
    Terminal,
    component_config_options,
    debug_option,
    disable_option,
    json_option,
    one_line,
    pass_terminal,
    read_components,
    sandbox_option,
    sandbox_settings,
    setting_option,
    styled,
    task_id_option,
)

if TYPE_CHECKING:
    from gym_check.audit.finding import Finding
    from gym_check.audit.report import Report, Sample

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
_BAR = 40


@click.command("check")
@click.argument("reference", metavar="REF")
@setting_option("-E", "the environment", "settings")
@click.option("--input", "input_", metavar="FILE", help="Audit it with the tasks of this file instead of its own.")
@sandbox_option()
@sandbox_settings
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, metavar="N", show_default=True, help="Only the first N tasks."
)
@click.option(
    "-m",
    "--model",
    "models",
    metavar="[ROLE=]REF",
    multiple=True,
    help="Take a sample with this model; with a role, the model that sessions ask for.",
)
@setting_option("-M", "the model", "model_options", "[ROLE.]KEY=VALUE")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --model: how many tasks it is asked; 10 by default.",
)
@task_id_option
@json_option("Print the report as one JSON object.")
@component_config_options
@disable_option
@debug_option
@pass_terminal
def check_env(
    terminal: Terminal,
    reference: str,
    settings: dict[str, str],
    input_: str | None,
    sandbox: str | None,
    sandbox_options: dict[str, str],
    limit: int,
    models: tuple[str, ...],
    model_options: dict[str, str],
    sample: int | None,
    task_id: str | None,
    as_json: bool,
    config: str | None,
    disabled: tuple[str, ...],
) -> int:
    """Audit an environment: its tasks, its tools and its verifier.

    Policies that do no work try to earn a reward: one says nothing, one says garbage, one repeats the prompt, one
    refuses, one calls every tool once, one answers with strings of the prompt. None of them needs a model. A verifier
    that rewards one of them fully on most tasks is cheatable.

    The exit status is 1 when an error is found. Where nothing was ever rewarded, which `--model` may change, a verifier
    that rewards nothing at all would look the same, and the last line says so.
    """
    from gym_check.audit.audit import POLICY, Audit, AuditConfig
    from gym_core.spi import Interrupts, logged, parse_models, split_roles

    by_role = parse_models(models)
    if sample is not None and POLICY not in by_role:
        raise UsageError("--sample needs a model to take it with", hint="--model REF")
    others = {"env": reference, "sandbox": sandbox}
    wanted = AuditConfig(
        env=reference,
        options=settings,
        input=input_,
        limit=limit,
        models=by_role,
        model_options=split_roles(model_options, by_role),
        sandbox=sandbox,
        sandbox_options=sandbox_options,
        sample=sample or 10,
        task_id=task_id or None,
        disabled_plugins=disabled,
        environ=os.environ,
        configured=read_components(terminal, config).components(by_role, others, terminal.note),
    )
    audit = Audit(wanted, redactor=terminal.redactor, report=terminal.note)
    with logged(terminal):
        report = Interrupts(terminal).run(audit.run())
    if as_json:
        terminal.out_json(report.to_wire())
    else:
        _print(terminal, report)
    return 1 if report.sound is False else 0


def _print(terminal: Terminal, report: Report) -> None:
    tools = ", ".join(report.tools) or "none"
    origin = f" ({report.distribution} {report.version})" if report.version else ""  # a script has none
    terminal.out(f"{report.env}{origin}: {_counted(report.tasks, 'task')}; tools: {tools}")
    if report.policies:
        terminal.out("")
        titles = ("POLICY", "TASKS", "FAILED", "FULL REWARD", "MEAN", "BEST")
        rows = [
            (
                policy.name,
                str(policy.verdicts),
                str(policy.failed),
                f"{policy.share:.0%}" if policy.verdicts else "-",
                _shown(policy.mean),
                _shown(policy.best),
            )
            for policy in report.policies
        ]
        terminal.table(titles, rows)
    if report.verify_median is not None and report.verify_max is not None:
        terminal.out(f"verify: median {_time(report.verify_median)}, at most {_time(report.verify_max)}")
    if report.sample is not None:
        _print_sample(terminal, report.sample)
    terminal.out("")
    for finding in report.findings:
        _print_finding(terminal, finding)
    counts = [
        _counted(sum(finding.severity == severity for finding in report.findings), severity)
        for severity in ("error", "warning")
    ]
    verdict = "not sound" if report.sound is False else "sound"
    if report.sound is None:
        terminal.out("nothing was ever rewarded: a sample (--model REF) or a test shows that a task can be won")
        verdict = "not shown to be sound"
    terminal.out(f"{verdict}: {', '.join(counts)}")


def _print_sample(terminal: Terminal, sample: Sample) -> None:
    terminal.out("")
    of = _counted(len(sample.rewards) + sample.failed, "rollout")
    terminal.out(f"{sample.model}: mean reward {_shown(sample.mean)}, {of}, {sample.failed} failed")
    bins = sample.histogram()
    most = max((bin.count for bin in bins), default=0)
    for bin in bins:
        bar = "#" * (round(_BAR * bin.count / most) or bool(bin.count))
        terminal.out(f"  {bin.low:5.2f} to {bin.high:<5.2f} {bin.count:5}  {bar}".rstrip())


def _print_finding(terminal: Terminal, finding: Finding) -> None:
    head = styled(f"{finding.severity.value}: ", fg=_COLOURS[finding.severity.value], bold=True)
    message = one_line(finding.message)
    terminal.out(head, f"{message} [{finding.id}]")
    example = finding.task_id if finding.task_id is not None and f"`{finding.task_id}`" not in message else None
    terminal.out(f"  {finding.fix}" + (f" (see task `{one_line(example)}`)" if example is not None else ""))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds < 1 else f"{seconds:.1f} s"
