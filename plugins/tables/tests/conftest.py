"""`gym` as a command."""

from __future__ import annotations

import pytest

from gym_core.spi import run_command
from tests.support.exports import Gym, Said


@pytest.fixture
def gym(capsys: pytest.CaptureFixture[str]) -> Gym:
    """Runs `gym` in this process."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        status = run_command(arguments)
        return Said(status, *capsys.readouterr())

    return run
