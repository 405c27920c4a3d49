"""The backend keeps the contract of model backends, in both dialects."""

from __future__ import annotations

import pytest

from gym_testing import FakeOpenAI, ModelBackendConformance, Turn, call, faults
from gym_testing.http import Received


def speak(request: Received) -> Turn:
    """Call a tool where there is one, and answer once it has."""
    return call("add", a=1, b=2) if request.body.get("tools") and not request.tool_outputs else "Hello."


class TestChat(ModelBackendConformance):
    reference = "openai:fake-model"
    api = "chat"
    unreachable = {"base_url": "http://127.0.0.1:9/v1"}

    @pytest.fixture(autouse=True)
    def _endpoint(self, fake_openai: FakeOpenAI) -> None:
        fake_openai.script(speak)
        self.fake = fake_openai
        self.options = {"base_url": fake_openai.base_url, "api": self.api}

    async def hang(self) -> None:
        self.fake.script(faults.hang(), "Hello.")


class TestResponses(TestChat):
    api = "responses"
