"""Whether a sandbox can be had, and what a command in it says."""

from __future__ import annotations

from gym_core import GymError, SandboxProvider, SandboxSpec
from gym_core.spi import Deadlines, Late, as_exception, asked_to_end, described, lifespan, within
from gym_doctor.checks import Finding

_SAID = "there is a shell"


async def look(provider: SandboxProvider) -> Finding:
    """Open one, have it run a command, and close it."""
    bounds = Deadlines()
    try:
        return await within(_tried(provider, bounds), bounds.setup, "the sandbox")
    except Late as error:
        return Finding("sandbox", "problem", str(error))
    except BaseException as error:
        if asked_to_end(error) or isinstance(error, GymError):
            raise
        return Finding("sandbox", "problem", f"it failed: {described(as_exception(error))}")


async def _tried(provider: SandboxProvider, bounds: Deadlines) -> Finding:
    name = provider.context.name
    async with (
        lifespan(provider, bounds.close, f"the sandbox {name}") as opened,
        lifespan(opened.open(SandboxSpec()), bounds.close, f"a sandbox of {name}") as sandbox,
    ):
        done = await sandbox.exec(f"echo {_SAID}", timeout=bounds.tool)
    if done.exit_code == 0 and done.stdout.strip() == _SAID:
        return Finding("sandbox", "ok", f"{name} opens, and runs commands in {sandbox.workdir}")
    told = (done.stderr or done.stdout).strip() or "nothing"
    return Finding("sandbox", "problem", f"{name} opens, but a command ended with {done.exit_code} and said: {told}")
