"""`gym health`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gym_core import UsageError
from gym_core.spi import Terminal, debug_option, json_option, one_line, pass_terminal, styled

if TYPE_CHECKING:
    from gym_health.finding import Finding


@click.command("health")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--ignore", "ignored", metavar="CHECK", multiple=True, help="Leave out a check, by its name. Repeatable.")
@click.option(
    "--examples",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="How many rollouts each finding names.",
)
@json_option("Print the findings as one JSON object.")
@debug_option
@pass_terminal
def health(terminal: Terminal, run: Path, ignored: tuple[str, ...], examples: int, as_json: bool) -> int:
    """Find finished rollouts that look wrong: they have a verdict, and it may be worth nothing.

    RUN is what `gym run --output` wrote, or a folder, of which the run that was started last is looked at. Each finding
    names rollouts by the number that `gym show RUN N` takes. Failures have no verdict: `gym stats` counts them.

    The exit status is 0 where nothing was found, and 1 where something was.
    """
    from gym_health.checks import CHECKS, look_at
    from gym_results.reading import ResultsFile
    from gym_results.stored_runs import results_at

    unknown = next((name for name in ignored if name not in CHECKS), None)
    if unknown is not None:
        raise UsageError(f"there is no check named {unknown!r}", hint=f"they are {', '.join(CHECKS)}")
    path = results_at(run)
    file = ResultsFile(path)
    looked, findings = look_at(file, [name for name in CHECKS if name not in ignored], examples)
    if not looked:
        raise UsageError(f"{file.path} holds no rollout with a verdict", hint="`gym show RUN --failed` shows failures")
    if file.torn:
        terminal.note(f"warning: {path}: an unfinished last line of {file.torn} bytes was left out")
    if as_json:
        terminal.out_json({"run": str(path), "looked_at": looked, "findings": [one.to_wire() for one in findings]})
    else:
        _print(terminal, path, looked, findings)
    return 1 if findings else 0


def _print(terminal: Terminal, path: Path, looked: int, findings: Sequence[Finding]) -> None:
    for finding in findings:
        terminal.out(styled(finding.check, bold=True), f": {finding.text}")
        what = "calls" if finding.check == "tool-never-works" else "rollouts"
        terminal.out(f"  {finding.count:,} of {finding.of:,} {what} ({finding.count / finding.of:.1%})")
        for line in _lines(path, finding):
            terminal.out(line)
        terminal.out("")
    found = f"{len(findings)} findings" if len(findings) != 1 else "1 finding"
    terminal.out(f"{path}: {looked:,} rollouts with a verdict, {found if findings else 'nothing looks wrong'}")


def _lines(path: Path, finding: Finding) -> Iterator[str]:
    width = max((len(str(place.number)) for place in finding.places), default=0)
    for place in finding.places:
        key = one_line(f"{place.task_id}#{place.repeat}" if place.repeat else place.task_id)
        detail = f"  {place.detail}" if place.detail else ""
        yield f"  gym show {path} {place.number:<{width}}  {key}{detail}"
