"""Sessions and verifiers that do not keep the contract."""

from __future__ import annotations

import pytest

from gym_check.audit.finding import Severity
from tests.check.conftest import AuditCode, found, ids

ONE_TASK = """
TASKS = [Task.ask("Do it.", task_id="only")]

class One(Session):
"""


def test_a_verifier_that_changes_its_mind_is_found(audit: AuditCode) -> None:
    report = audit(
        ONE_TASK
        + """
    asked = 0

    def verify(self, trajectory):
        self.asked += 1
        return 0.1 * self.asked
"""
    )
    finding = found(report, "verify-unstable")
    assert (finding.severity, finding.task_id) == (Severity.ERROR, "only")
    assert "gave 0.1, and asked again 0.2" in finding.message


def test_components_that_change_and_a_second_failure_are_found(audit: AuditCode) -> None:
    code = (
        ONE_TASK
        + """
    asked = 0

    def verify(self, trajectory):
        self.asked += 1
        if self.asked == 2:
            {second}
        return Verdict(0.0, {{"a": 0.5}})
"""
    )
    report = audit(code.format(second="return Verdict(0.0, {'a': 0.25})"))
    assert "with different components" in found(report, "verify-unstable").message
    report = audit(code.format(second="return Verdict(0.0, {'a': 0.5}, {'why': 'later'})"))
    assert "with different info" in found(report, "verify-unstable").message
    report = audit(code.format(second="raise KeyError('gone')"))
    assert "asked again it raised KeyError" in found(report, "verify-unstable").message


@pytest.mark.parametrize("body", ["raise ValueError('bad')", "return float('nan')", "return 'good'", "return None"])
def test_a_verifier_without_a_verdict_is_found(audit: AuditCode, body: str) -> None:
    report = audit(f"{ONE_TASK}    def verify(self, trajectory):\n        {body}\n")
    finding = found(report, "verify-fails")
    assert finding.severity is Severity.ERROR
    assert finding.count == 5
    assert "verifier_error" in finding.message
    assert not any(policy.verdicts for policy in report.policies)


def test_a_setup_that_fails_is_found_with_its_task(audit: AuditCode) -> None:
    report = audit("""
    TASKS = [Task.ask("Fine.", n=0), Task.ask("Broken.", task_id="broken", n=1)]

    class One(Session):
        def setup(self):
            self.share = 1 / (1 - self.task["n"])

        def verify(self, trajectory):
            return 0.0
    """)
    finding = found(report, "setup-fails")
    assert finding.task_id == "broken"
    assert "ZeroDivisionError" in finding.message
    assert [policy.failed for policy in report.policies] == [1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("raise OSError('stuck')", "closed once, it raised OSError: stuck"),
        ("del self.left", "closed a second time, it raised AttributeError"),
    ],
)
def test_a_session_that_does_not_close_is_found(audit: AuditCode, body: str, problem: str) -> None:
    report = audit(
        ONE_TASK
        + f"""
    def setup(self):
        self.left = 1

    def verify(self, trajectory):
        return 0.0

    def close(self):
        {body}
"""
    )
    assert problem in found(report, "close-fails").message


def test_an_asynchronous_session_in_a_context_of_its_own_is_sound(audit: AuditCode) -> None:
    report = audit("""
    from contextlib import asynccontextmanager

    TASKS = [Task.ask("Do it.")]

    class One(Session):
        async def setup(self):
            await asyncio.sleep(0)

        @tool
        async def look(self, where: str) -> str:
            '''Look where it is said.'''
            return where

        async def verify(self, trajectory):
            await asyncio.sleep(0)
            return 0.0

        async def close(self):
            await asyncio.sleep(0)

    class Server(ResourceServer):
        '''Opens its sessions by itself.'''

        session_type = One

        async def __aenter__(self):
            self.opened = 0
            return self

        def tasks(self):
            return TASKS

        @asynccontextmanager
        async def open_session(self, task, context):
            self.opened += 1
            yield One(task, self, context)
    """)
    assert report.findings == []
    assert report.tools == ("look",)


@pytest.mark.parametrize("mark", ["blocking", "isolated"])
def test_a_verifier_elsewhere_is_verified_there(audit: AuditCode, mark: str) -> None:
    report = audit(
        f"""
    import threading, os
    TASKS = [Task.ask("Do it.", pid=os.getpid())]

    class One(Session):
        @{mark}
        def verify(self, trajectory):
            main = threading.current_thread() is threading.main_thread() and os.getpid() == self.task["pid"]
            return 0.25 if main else 0.0
    """
    )
    assert report.sound is not False
    assert report.policies[0].mean == 0.0
    assert "verify-unstable" not in ids(report)


def test_a_slow_verifier_is_pointed_out(audit: AuditCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_check.audit.audit.SLOW", 0.0)
    report = audit(f"{ONE_TASK}    def verify(self, trajectory):\n        return 0.0\n")
    finding = found(report, "verify-slow")
    assert (finding.severity, finding.task_id) == (Severity.WARNING, "only")


def test_roles_that_are_missing_are_named(audit: AuditCode) -> None:
    report = audit(
        f"{ONE_TASK}    roles = ('judge',)\n\n    async def verify(self, trajectory):\n"
        "        return float('yes' in (await self.models['judge'].respond('Good?')).output_text)\n"
    )
    finding = found(report, "needs-model")
    assert (finding.severity, finding.fix) == (Severity.WARNING, "--model judge=REF audits the verifier, too")
    assert report.policies == []


def test_a_long_conversation_ends(audit: AuditCode) -> None:
    report = audit(
        ONE_TASK
        + """
    def reply(self, response):
        return [gym_core.user_message("Go on.")]

    def verify(self, trajectory):
        return 0.0
"""
    )
    assert report.sound is not False


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        ("[rollout.reward for rollout in rollouts]", None),
        ("[1.0]", "group-fails"),
        ("[random.random() for _ in rollouts]", "group-unstable"),
    ],
)
def test_rollouts_are_scored_together_where_an_environment_does_that(
    audit: AuditCode, answer: str, finding: str | None
) -> None:
    report = audit(f"""
        TASKS = [Task.ask("Say 3.")]

        class One(Session):
            def verify(self, trajectory):
                return float(trajectory.output_text == "3")

        class Server(ResourceServer):
            session_type = One

            def tasks(self):
                return TASKS

            def score_group(self, rollouts):
                return {answer}
    """)
    assert ({finding} if finding else set()) == {one.id for one in report.findings if one.id.startswith("group-")}
