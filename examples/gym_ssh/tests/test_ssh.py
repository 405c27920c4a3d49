"""What becomes of connections that fail; runs over working ones need an installation, and are tested with that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gym_ssh import gym_executors
from gym_ssh.launcher import SshLauncher, SshOptions

from gym_core import UsageError


async def ended(**options: Any) -> str:
    """How a worker went that was started so."""
    gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with SshLauncher(SshOptions(hosts="nowhere", **options)) as launcher:
        await launcher.prepare(1, [])
        channel = launcher.launch(0, lambda head, body: None, gone.set_result)
        assert channel.name == "worker 0 (nowhere)"
        channel.send(b"a frame that nobody gets")
        return await gone


def test_a_connection_that_fails_is_told() -> None:
    assert asyncio.run(ended(command="false")) == "exit code 1"


def test_a_program_that_is_not_there_is_told() -> None:
    assert "cannot be started" in asyncio.run(ended(command="no-such-program-anywhere"))


def test_a_host_is_needed() -> None:
    with pytest.raises(UsageError, match="needs a host"):
        asyncio.run(SshLauncher(SshOptions.model_validate({"hosts": ","})).prepare(1, []))


def test_it_is_offered_by_name() -> None:
    assert gym_executors() == {"ssh": SshLauncher}
