"""The backend keeps the contract of model backends, with the real model."""

from __future__ import annotations

from pathlib import Path

import pytest

from gym_testing import ModelBackendConformance


@pytest.mark.slow
class TestLocal(ModelBackendConformance):
    reference = "local"
    options = {"max_output_tokens": 8, "context_size": 512}
    unreachable = {"model": "/no/such/model.gguf"}

    @pytest.fixture(autouse=True)
    def _model(self, model_file: Path) -> None:
        """Skip where the model is not there."""
