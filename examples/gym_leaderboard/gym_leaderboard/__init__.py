"""`gym leaderboard FILE...`: runs by their mean reward, the best first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from gym_core import JsonError, UsageError, hookimpl, parse_json


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def leaderboard(files: tuple[Path, ...]) -> None:
    """Show which of several runs has the best mean reward. FILE... are what `gym run` wrote."""
    means = {file: mean_reward(file) for file in files}
    for place, (file, mean) in enumerate(sorted(means.items(), key=lambda one: -one[1]), start=1):
        click.echo(f"{place}. {mean:.3f}  {file}")


def mean_reward(file: Path) -> float:
    """The mean of the rewards in a results file. Raises `UsageError`."""
    rewards = list(_rewards(file))
    if not rewards:
        raise UsageError(f"{file} holds no reward", hint="name a file that `gym run` wrote")
    return sum(rewards) / len(rewards)


def _rewards(file: Path) -> Iterator[float]:
    try:
        with file.open("rb") as lines:
            for line in lines:
                yield float(parse_json(line)["reward"])
    except (OSError, JsonError, KeyError, TypeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", hint="name a file that `gym run` wrote") from error


@hookimpl(contract=1)
def gym_commands() -> Mapping[str, click.Command]:
    """The command."""
    return {"leaderboard": leaderboard}
