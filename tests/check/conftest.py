"""Environments as a test writes them, audited."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from gym_check.audit.audit import Audit, AuditConfig
from gym_check.audit.finding import Finding
from gym_check.audit.report import Report
from gym_testing import IsolatedPlugins

AuditCode: TypeAlias = Callable[..., Report]

_HEAD = """
import asyncio
import random
import re
import time

import gym_core
from gym_core import Done, ResourceServer, Session, Task, Verdict, blocking, hookimpl, isolated, tool

"""
_TAIL = """

class Subject(ResourceServer):
    '''What is audited.'''

    session_type = One

    def tasks(self):
        return TASKS


@hookimpl(contract=1)
def gym_resource_servers():
    return {"subject": globals().get("Server", Subject)}
"""


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditCode:
    """Audits the environment of a class `One`, its session, and a list `TASKS`; or of a class `Server`."""

    def run(code: str, **settings: Any) -> Report:
        plugins = IsolatedPlugins(tmp_path / "site", monkeypatch)
        source = _HEAD + textwrap.dedent(code)
        plugins.add("gym-subject", source + _TAIL, group="gym.resource_servers", name="subject")
        audit = Audit(AuditConfig(env="subject", **settings))
        return asyncio.run(asyncio.wait_for(audit.run(), 60))

    return run


def found(report: Report, id: str) -> Finding:
    """The one finding of a kind."""
    (finding,) = [finding for finding in report.findings if finding.id == id]
    return finding


def ids(report: Report) -> set[str]:
    """The kinds of findings."""
    return {finding.id for finding in report.findings}


def cheats(report: Report) -> set[str]:
    """The policies by which it is said to be cheatable."""
    return {
        finding.message.split("`")[1] for finding in report.findings if finding.id == "cheatable" and not report.sound
    }
