"""The trackers themselves, offline: Weights & Biases into a folder, MLflow into a database of the test's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_trackers import wandb_extension
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel
from tests.support.running import Ended, run

pytestmark = [pytest.mark.foreign, pytest.mark.filterwarnings("default")]


def collected(extension: str, **settings: Any) -> Ended:
    tasks = [ask(n, reward_wanted=n % 2) for n in range(4)]
    ended: Ended = run(ScriptedModel(*["yes"] * 8), env(tasks=tasks), extensions=[extension], **settings)
    (about,) = ended.summary["health"]["extensions"]
    assert (about["errors"], about["dropped"]) == (0, 0)
    return ended


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'gym-trackers[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    return tmp_path


def test_wandb_offline(wandb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gym", "run", "-M", "api_key=a-secret-of-the-command-line"])
    ended = collected("wandb")
    (folder,) = wandb.glob("wandb/offline-run-*")
    assert folder.name.endswith(ended.summary["run_id"])
    (written,) = folder.glob("*.wandb")
    content = written.read_bytes()
    assert b"reward/mean" in content
    assert b"settings.env.ref" in content
    (table,) = folder.glob("files/media/table/*.json")
    rows = json.loads(table.read_text())
    assert sorted(row[0] for row in rows["data"]) == ["t0", "t1", "t2", "t3"]
    assert rows["columns"][:4] == ["task_id", "repeat", "status", "reward"]
    for path in wandb.rglob("*"):
        if path.is_file():
            assert b"a-secret-of-the-command-line" not in path.read_bytes(), path


def test_wandb_without_a_key_is_refused_before_anything_runs(wandb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb_extension, "_key", lambda: None)
    with pytest.raises(UsageError, match="has no key"):
        run(extensions=["wandb"])


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    for name in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(name, reason="MLflow with a database is not installed: pip install mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.timeout(300)
def test_mlflow_in_a_database(mlflow: Any) -> None:
    ended = collected("mlflow", output="x.jsonl")
    experiment = mlflow.get_experiment_by_name("gym").experiment_id
    (found,) = mlflow.search_runs([experiment])
    assert found.data.tags["gym.run_id"] == ended.summary["run_id"] == found.info.run_name
    assert found.info.status == "FINISHED"
    assert found.data.params["settings.env.ref"] == "tiny"
    assert found.data.metrics["reward/mean"] == 0.5
    assert found.data.metrics["summary.rollouts.with_verdict"] == 4
    assert "rollouts.json" in [artifact.path for artifact in mlflow.list_artifacts(found.info.run_id)]
    assert json.loads(found.data.tags["mlflow.loggedArtifacts"]) == [{"path": "rollouts.json", "type": "table"}]
    collected("mlflow", output="x.jsonl", mode="resume")
    assert [one.info.run_id for one in mlflow.search_runs([experiment])] == [found.info.run_id]
    history = mlflow.get_metric_history(found.info.run_id, "summary.rollouts.with_verdict")
    assert [metric.step for metric in history] == [4, 4]
