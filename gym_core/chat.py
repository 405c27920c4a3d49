"""Responses API <-> Chat Completions: pure functions over the bodies as dicts, both ways."""

from gym_core.domain.chat import *  # noqa: F403
