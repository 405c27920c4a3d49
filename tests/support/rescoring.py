"""Results files verified again without the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gym_core import Session
from gym_results.rescoring import open_rescore
from tests.support.envs import env
from tests.support.running import read_jsonl


def rescore(file: Path, session: type[Session[Any]], **settings: Any) -> dict[str, Any]:
    """Verify a file again; returns the summary."""

    async def main() -> dict[str, Any]:
        async with open_rescore(file, env=env(session), **settings) as wanted:
            return await wanted.execute()

    return asyncio.run(asyncio.wait_for(main(), 30))


def again(path: Path) -> list[dict[str, Any]]:
    """The rows of that."""
    return read_jsonl(path.with_name("x.rescored.jsonl"))
