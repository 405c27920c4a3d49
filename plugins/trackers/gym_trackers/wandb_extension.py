"""`--extension wandb`: runs in Weights & Biases. The variables `WANDB_*` configure it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gym_core import RunInfo, UsageError, hookimpl
from gym_trackers.tracking import COLUMNS, Row, Tracking, check_tracker

PATIENCE = 20
"""Seconds for its service to begin and to end a run: less than an extension has before it is left behind."""


class WandbRun:
    """A run there. What the library would send besides is switched off: output, command line, code, machine."""

    def __init__(self, run: RunInfo, settings: Mapping[str, str]) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "gym",
            id=run.run_id,
            name=os.environ.get("WANDB_NAME") or run.run_id,
            config=dict(settings),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                init_timeout=PATIENCE,
                login_timeout=PATIENCE,
                finish_timeout=PATIENCE,
            ),
        )
        self.reached = int(self._run.step)

    def point(self, step: int, values: Mapping[str, float]) -> None:
        """Curves at a step."""
        self._run.log({**values}, step=step)

    def end(self, state: str, step: int, values: Mapping[str, float], rows: list[Row]) -> None:
        """The summary and the table."""
        self._run.summary.update({**values, "state": state})
        if rows:
            self._run.log({"rollouts": self._wandb.Table(columns=[*COLUMNS], data=rows, allow_mixed_types=True)})
        self._run.finish(exit_code=0 if state == "finished" else 1)


_tracking = Tracking(WandbRun)
gym_run_started = _tracking.gym_run_started
gym_rollout_finished = _tracking.gym_rollout_finished
gym_run_finished = _tracking.gym_run_finished


@hookimpl(contract=1)
def gym_extension_check() -> None:
    """Refuse a run that could not be tracked, without the library or a key. Raises `UsageError`."""
    check_tracker("wandb")
    # asked for a key, the library would wait for somebody to type one
    if os.environ.get("WANDB_MODE", "online").lower() not in ("offline", "disabled", "dryrun") and not _key():
        raise UsageError(
            "the extension `wandb` has no key", hint="set WANDB_API_KEY, or WANDB_MODE=offline, which needs none"
        )


def _key() -> str | None:
    import wandb

    key: str | None = wandb.api.api_key
    return key
