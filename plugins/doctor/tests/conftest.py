"""`gym` as a command, among plugins that a test makes."""

from __future__ import annotations

from tests.cli.conftest import gym as gym
from tests.cli.conftest import site as site
