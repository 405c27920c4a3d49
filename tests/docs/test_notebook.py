"""The notebook in `examples/` runs as it stands, against an endpoint on loopback."""

from __future__ import annotations

import importlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from gym_testing import FakeOpenAI

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_run.ipynb"


def outputs(cell: Any) -> str:
    return json.dumps(cell.get("outputs", ""), ensure_ascii=False)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own platform directories and event loops
        nbclient, nbformat = map(importlib.import_module, ("nbclient", "nbformat"))
        notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
        monkeypatch.setenv("OPENAI_API_KEY", "a-key-that-opens-nothing")
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        with FakeOpenAI("<b>It is sunny.</b>") as fake:
            monkeypatch.setenv("OPENAI_BASE_URL", fake.base_url)
            nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [outputs(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert "<progress value=" in shown[0]
    assert "8/8 done, 0 failed" in shown[0]
    assert "<table>" in shown[0]
    assert "&lt;b&gt;It is sunny." in shown[0]
    assert "<b>It is sunny" not in shown[0]
    assert "1.0" in shown[-1]
    assert not any('"stderr"' in text for text in shown), shown
