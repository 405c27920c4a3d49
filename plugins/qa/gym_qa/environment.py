"""The resource server and its sessions: rows in front, graders behind."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from gym_core import (
    ResourceServer,
    Session,
    SessionContext,
    Task,
    TaskFile,
    Trajectory,
    UsageError,
    Verdict,
    isolated,
)
from gym_core.errors import FieldError, InputError
from gym_qa.benchmarks import NAMES
from gym_qa.graders.grade import Expected, Grade
from gym_qa.graders.judge import ROLE, judge_prompt, read_judgement
from gym_qa.grading import GRADERS, grader_of
from gym_qa.options import QAOptions
from gym_qa.rows import ABOUT, check_expected, expected_of, read_file


class QASession(Session["QA"]):
    """One question, without tools. It has no state."""

    judges_trajectory = True

    def verify(self, trajectory: Trajectory) -> Verdict | Awaitable[Verdict]:
        """Grade the final answer."""
        return self.graded(trajectory)

    def graded(self, trajectory: Trajectory) -> Verdict:
        """The verdict of the task's grader."""
        match, expected = self.expected()
        return verdict_of(match, grader_of(match).grade(trajectory.output_text, expected))

    def expected(self) -> tuple[str, Expected]:
        """The name of the grader, and what is right."""
        options = self.server.options
        about = about_of(self.task, options)
        return options.match or about["match"], expected_of(self.task, about, options)


class IsolatedSession(QASession):
    """A question whose answer may take any time to grade."""

    @isolated
    def verify(self, trajectory: Trajectory) -> Verdict:
        """Grade the final answer, in a process that a deadline can end."""
        return self.graded(trajectory)


class JudgedSession(QASession):
    """A question whose answer another model judges."""

    roles = (ROLE,)

    async def verify(self, trajectory: Trajectory) -> Verdict:
        """Ask the judge about the final answer; nothing is asked about an answer of nothing."""
        match, expected = self.expected()
        reply = trajectory.output_text
        if not reply.strip():
            return verdict_of(match, Grade(0.0))
        prompt = judge_prompt(reply, expected)
        self.server.show(prompt)
        said = await self.models[ROLE].respond(prompt)
        verdict = verdict_of(match, read_judgement(said.output_text, expected))
        if not self.server.options.show_prompt:
            return verdict
        return Verdict(verdict.reward, verdict.components, {**verdict.info, "prompt": prompt})


class QA(ResourceServer[QAOptions]):
    """Questions and answers from a file of your own.

    `--input` names it: CSV, TSV, JSON, JSON lines, Parquet, or `hf://OWNER/NAME/CONFIG?split=test`. The columns are
    found by their usual names or named by options, and so is the grader, `match`. The reward is 1 for a right answer
    and 0 for any other.
    """

    session_type = QASession
    _shown = False

    @property
    def required_roles(self) -> Sequence[str]:
        """A judge, where one is to judge."""
        return (ROLE,) if self.options.match == "judge" else ()

    @classmethod
    def choices(cls) -> Sequence[str]:
        """The benchmarks that are ready."""
        return NAMES

    def show(self, prompt: str) -> None:
        """Show what a judge is asked, the first time, where that is wanted."""
        if self.options.show_prompt and not self._shown:
            self._shown = True
            self.context.logger.warning("the judge is asked, for one:\n%s", prompt)

    def read_tasks(self, source: str) -> TaskFile | None:
        """The questions of a file; None for rows that are tasks already."""
        return read_file(source, self.options, self.context.seed)

    def tasks(self) -> Iterable[Task]:
        """The questions of the file that the option `data` names. Raises `UsageError` where there is none."""
        source = self.options.data
        if not source:
            raise UsageError("qa ships no questions of its own", hint="--input FILE names a file of questions")
        read = self.read_tasks(source)
        if read is None:
            raise UsageError(f"{source}: its rows are tasks already", hint="give it as --input FILE")
        if read.notice:
            self.context.logger.warning("%s", read.notice)
        for task in read.tasks:
            if not isinstance(task, InputError):
                yield task
            elif self.options.benchmark:  # nobody here can fix its data
                self.context.logger.warning("left out: %s", task.message)
            else:
                raise task

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session of the kind that the grader needs. Raises `errors.FieldError` for a misfit row."""
        options = self.options
        about = about_of(task, options)
        try:
            check_expected(task, about, options)
        except ValueError as error:
            raise FieldError(about.get("answer", "answer"), f"cannot be used: {error}") from None
        place = grader_of(options.match or about["match"]).place
        kind = {"isolated": IsolatedSession, "judge": JudgedSession}.get(place, QASession)
        return nullcontext(kind(task, self, context))  # there is nothing to close


def about_of(task: Task, options: QAOptions) -> Mapping[str, Any]:
    """What a task says of how it was read; a row of one's own may have nothing but its answer."""
    about = task.get(ABOUT)
    if about is None and options.match:
        return {"match": options.match}
    if not isinstance(about, Mapping) or not (options.match or about.get("match") in GRADERS):
        raise FieldError(ABOUT, "does not say how the reply is graded", hint="-E match=, -E answer=")
    return {"match": options.match, **about}


def verdict_of(match: str, grade: Grade) -> Verdict:
    """A grade as a verdict."""
    return Verdict(grade.score, dict(grade.components), {"match": match, "read": grade.read, **grade.info})
