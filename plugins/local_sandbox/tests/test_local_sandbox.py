"""What the sandbox `local` promises beyond the contract: it warns, refuses, and ends what it has started."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from gym_core import SandboxSpec
from gym_core.errors import SandboxError
from gym_local_sandbox.provider import LocalSandboxProvider
from tests.support.processes import alive

Options = LocalSandboxProvider.Options


def opened(check: Any, spec: SandboxSpec | None = None, **options: Any) -> Any:
    async def main() -> Any:
        provider = LocalSandboxProvider(Options.model_validate(options))
        async with provider, provider.open(spec or SandboxSpec()) as sandbox:
            return await check(sandbox)

    return asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.skipif(sys.platform != "linux", reason="what has left its group is found on Linux")
@pytest.mark.parametrize("how", ["sleep 600 &", "setsid sleep 600 &", "(setsid sh -c 'sleep 600 & wait' &)"])
def test_what_goes_on_in_the_background_ends_with_it(how: str) -> None:
    async def check(sandbox: Any) -> list[int]:
        await sandbox.exec(f"{how} echo begun", timeout=10)
        await asyncio.sleep(0.2)
        listed = await sandbox.exec('grep -lsz "GYM_SANDBOX=$GYM_SANDBOX" /proc/[0-9]*/environ')
        return [int(line.split("/")[2]) for line in listed.stdout.split()]

    pids = opened(check)
    assert pids
    assert not any(map(alive, pids))


def test_its_folder_is_gone_whatever_is_in_it(tmp_path: Path) -> None:
    async def check(sandbox: Any) -> None:
        done = await sandbox.exec("mkdir -p a/b && echo x > a/b/c && chmod -R a-w a && ln -s / root")
        assert done.exit_code == 0

    opened(check, root=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert Path("/").is_dir()


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", "link/passwd"])
def test_files_stay_in_its_folder(path: str) -> None:
    async def check(sandbox: Any) -> None:
        await sandbox.exec("ln -s /etc link")
        with pytest.raises(PermissionError, match="outside of the sandbox"):
            await sandbox.read(path)
        with pytest.raises(PermissionError, match="outside of the sandbox"):
            await sandbox.write(path, "x")

    opened(check)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (SandboxSpec(image="python:3.12"), "the image python:3.12"),
        (SandboxSpec(workdir="/work"), "the working directory /work"),
        (SandboxSpec(network=False, cpus=2.0), "no network, 2 processors"),
    ],
)
def test_what_it_cannot_give_it_refuses_unless_it_is_lenient(spec: SandboxSpec, said: str) -> None:
    async def check(sandbox: Any) -> str:
        return str((await sandbox.exec("echo there")).stdout)

    with pytest.raises(SandboxError, match=said):
        opened(check, spec)
    assert opened(check, spec, lenient=True) == "there\n"


def test_it_says_once_that_it_protects_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with LocalSandboxProvider() as provider:
            for _ in range(2):
                async with provider.open(SandboxSpec()):
                    pass

    with caplog.at_level(logging.WARNING, "gym"):
        asyncio.run(main())
    assert [record.getMessage()[:40] for record in caplog.records] == ["the sandbox `local` protects nothing: co"]


def test_a_process_has_its_limits_and_a_command_that_cannot_start_is_a_result() -> None:
    async def check(sandbox: Any) -> None:
        code = "b = bytearray(400_000_000); print(len(b))"
        assert (await sandbox.exec([sys.executable, "-c", code])).exit_code != 0
        assert (await sandbox.exec("head -c 9000000 /dev/zero > big")).exit_code != 0
        assert (await sandbox.exec("echo a\0b")).exit_code == 126
        with pytest.raises(SandboxError, match="as its own user"):
            await sandbox.exec("id", user="root")

    opened(check, SandboxSpec(memory=200 << 20), file_mb=2)
