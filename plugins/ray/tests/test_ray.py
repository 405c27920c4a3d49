"""A run over actors of Ray, on a Ray of this machine."""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_testing.isolation import IsolatedPlugins
from tests.support.processes import alive
from tests.support.running import execute, read_jsonl
from tests.support.spread import told
from tests.support.spread_runs import Command, config, ended, run

ray: Any = importlib.import_module("ray")
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(300)]
PATIENCE = 200.0
LITTLE = {"CPU": 0.1}
HERE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "resources": {"place": 1}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, to which this process is connected."""
    cluster_of: Any = importlib.import_module("ray.cluster_utils").Cluster
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        nodes = cluster_of(initialize_head=True, head_node_args={**HERE, "include_dashboard": False})
        nodes.lost = nodes.add_node(**HERE)
        nodes.connect()
        yield nodes
        ray.shutdown()
        nodes.shutdown()


def spread(**settings: Any) -> Any:
    return run(executor="ray", **{"executor_options": {"resources": LITTLE}, **settings})


@pytest.mark.usefixtures("cluster", "spread_plugins")
class TestRuns:
    def test_rows_are_those_of_one_process(self, tmp_path: Path) -> None:
        key = "sk-of-nobody-else-4711"
        tasks = [told(number, {"broken": number == 3}, say="it is KEY") for number in range(30)]
        ended = spread(tasks=tasks, output=tmp_path / "x.jsonl", repeats=2, model_options={"policy": {"key": key}})
        assert ended.error is None
        assert sorted(ended.statuses()) == ["completed"] * 58 + ["verifier_error"] * 2
        assert ended.summary["health"]["models"]["policy"]["calls"] == 60
        assert {rollout.response.output_text for rollout in ended.rollouts} == {"it is ***"}
        assert all(key not in " ".join(rollout.info["arguments"]) for rollout in ended.rollouts if rollout.reward)

    def test_a_worker_that_is_killed_costs_nothing_but_time(self, tmp_path: Path) -> None:
        once = str(tmp_path / "died")
        tasks = [told(number, **({"die_once": once} if number == 9 else {"sleep": 0.02})) for number in range(60)]
        ended = spread(tasks=tasks, output=tmp_path / "x.jsonl")
        assert ended.error is None
        assert sorted(row["task_id"] for row in read_jsonl(tmp_path / "x.jsonl")) == sorted(f"t{n}" for n in range(60))
        assert ended.summary["health"]["workers"]["died"] == 1

    def test_the_budget_holds(self) -> None:
        tasks = [told(number, usage=[100, 50]) for number in range(60)]
        ended = spread(tasks=tasks, max_tokens=6_000, model_options={"policy": {"max_output_tokens": 50}})
        assert "--max-tokens 6000 is reached" in str(ended.error)
        assert ended.summary["budget"]["spent_tokens"] <= 6_000

    def test_a_component_that_works_here_only_stops_the_run(self) -> None:
        ended = spread(model_options={"policy": {"fail_elsewhere": True}})
        assert "could not start: " in str(ended.error)


SENT = """
from gym_core import ResourceServer, Session, Verdict, hookimpl

class Sent(Session):
    def verify(self, trajectory):
        return Verdict(1.0, info={"file": __file__})

class Env(ResourceServer):
    session_type = Sent

@hookimpl(contract=1)
def gym_resource_servers():
    return {"sent": Env}
"""
WITHOUT_INDEX = """
import sys
from gym_core.cli import main
from gym_ray import packages
packages.requirements = lambda found, without: ()
sys.exit(main())
"""


def test_packages_that_lie_in_a_folder_are_sent_to_the_nodes(
    cluster: Any, spread_plugins: IsolatedPlugins, tmp_path: Path
) -> None:
    """What they need from an index is left out: there is none here."""
    spread_plugins.add("sent-env", SENT, group="gym.resource_servers", name="sent")
    command = Command(tmp_path, 1)
    command.program = [sys.executable, "-c", WITHOUT_INDEX]
    command.env = "sent"
    with command.start("--executor", f"ray:{cluster.address}", "-X", "resources.CPU=0.1") as process:
        assert process.wait(PATIENCE) == 0, command.errors.read_text()
    (row,) = command.rows()
    assert "py_modules" in row["rollout"]["info"]["file"]


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for parents in /proc")
def test_a_node_that_is_lost_costs_nothing_but_time(
    cluster: Any, spread_plugins: IsolatedPlugins, tmp_path: Path
) -> None:
    """A worker on each of two nodes, one of which is killed. There is no room for another: the first does it all."""
    here, go = tmp_path / "here", tmp_path / "go"
    here.mkdir()
    tasks = [told(number, meet=str(here), wait_for=str(go)) for number in range(40)]
    resources = {"CPU": 0.1, "place": 1}
    wanted = config(
        tasks=tasks,
        output=tmp_path / "x.jsonl",
        executor="ray",
        executor_options={"resources": resources},
        concurrency=4,
    )
    raylet = cluster.lost.all_processes["raylet"][0].process.pid

    async def main() -> Any:
        running = asyncio.create_task(execute(wanted))
        while len(list(here.iterdir())) < 2 and not running.done():  # noqa: ASYNC110  # other processes make the files
            await asyncio.sleep(0.02)
        (victim,) = [int(file.name) for file in here.iterdir() if parent(int(file.name)) == raylet]
        cluster.remove_node(cluster.lost, allow_graceful=False)
        if alive(victim):  # it would notice, in its own time
            os.kill(victim, signal.SIGKILL)
        go.touch()
        return await running

    finished = asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert finished.error is None
    assert sorted(row["task_id"] for row in read_jsonl(tmp_path / "x.jsonl")) == sorted(f"t{n}" for n in range(40))
    assert finished.summary["health"]["workers"]["died"] >= 1


def test_whatever_a_kill_hits_every_rollout_ends_once(
    cluster: Any, spread_plugins: IsolatedPlugins, tmp_path: Path
) -> None:
    """Workers and coordinators that are killed at random moments, on a cluster that was there before them."""
    chance = random.Random(3)
    command = Command(tmp_path, 80, sleep=0.02)
    extra = ["--executor", f"ray:{cluster.address}", "-X", "resources.CPU=0.1", "-X", "ship=false"]
    for _ in range(2):
        before = len(command.rows())
        with command.start(*extra) as process:
            command.wait_for(process, before + chance.randrange(2, 12))
            seen = [row["rollout"]["info"]["process"] for row in command.rows()[before:]]
            if seen and alive(victim := chance.choice(seen)):
                os.kill(victim, signal.SIGKILL)
            command.wait_for(process, min(75, len(command.rows()) + chance.randrange(1, 12)))
            command.kill(process)
        keys = [row["task_id"] for row in command.rows()]
        assert len(keys) == len(set(keys))
    workers = {row["rollout"]["info"]["process"] for row in command.rows()}
    assert all(map(ended, workers))
    with command.start(*extra) as process:
        assert process.wait(PATIENCE) == 0, command.errors.read_text()
    assert sorted(row["task_id"] for row in command.rows()) == sorted(f"t{number}" for number in range(80))


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_options_of_an_executor_need_one() -> None:
    with pytest.raises(UsageError, match="-X is for an executor"):
        config(workers=1, executor_options={"address": "127.0.0.1:1"})


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_cluster_that_is_not_there_is_said_at_once(
    spread_plugins: IsolatedPlugins, tmp_path: Path, form: str
) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # taken, and nobody listens
        address = form.format(unheard.getsockname()[1])
        command = Command(tmp_path, 1)
        with command.start("--executor", f"ray:{address}") as process:
            assert process.wait(PATIENCE) == 2
    assert f"{address} cannot be reached" in command.errors.read_text()


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch, spread_plugins: IsolatedPlugins) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="gym-ray"):
        spread()
