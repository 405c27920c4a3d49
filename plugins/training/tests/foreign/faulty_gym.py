"""An environment of gym for TRL's own loop, whose groups of four have two members well and two into a fault."""

import asyncio

from gym_core import ComponentContext, ModelBackend, ResourceServer, Session, Task, tool, user_message
from gym_core.errors import RateLimitError, SessionError
from gym_core.responses import item_text
from gym_core.spi import Deadlines
from gym_training import GymSpec

WELL, SIZE, TRUE, SECONDS = 2, 4, (0.25, 0.75), 0.1


class Member(Session):
    """Looks once, then says its number."""

    def __init__(self, task, server, context):
        super().__init__(task, server, context)
        self.member = context.repeat % SIZE
        self.fault = task["fault"] if self.member >= WELL else ""

    def setup(self):
        """Say which member it is."""
        return [user_message(f"Number {self.member}.")]

    @tool
    async def look(self) -> str:
        """Look around, by a program."""
        if self.fault == "time-out":
            await asyncio.sleep(3600)
        if self.fault == "killed tool":
            program = await asyncio.create_subprocess_exec("/bin/sh", "-c", "kill -9 $$; echo seen")
            raise SessionError(f"the program that looks ended with {await program.wait()}")
        return "seen"

    async def verify(self, trajectory):
        """The member's reward for its whole answer, 0 for anything else."""
        if self.fault == "raising verifier":
            raise ZeroDivisionError("no tests were found")
        if self.fault == "judge answers 429":
            await self.models["judge"].respond("Well?")
        said = item_text(trajectory.items[-1]) if trajectory.items else ""
        return TRUE[self.member % 2] if said == f"This is all that member {self.member} has to say." else 0.0


class Judged(Member):
    """The same, with a judge."""

    roles = ("judge",)


class Busy(ModelBackend):
    """A judge that has no time."""

    max_retries = 0

    async def respond(self, request, context):
        """Refuse."""
        raise RateLimitError("the judge is busy", status=429)


class Faulty(ResourceServer):
    """Groups whose later members run into a fault."""

    session_type = Member
    rows = ()

    def tasks(self):
        """A task for each group."""
        return self.rows


class FaultyJudged(Faulty):
    """The same, with a judge."""

    session_type = Judged


def spec_of(fault, groups, output):
    """A `GymSpec` with a task for each group."""
    judged = fault == "judge answers 429"
    tasks = [Task.ask(f"Group {number} of {fault}.", task_id=f"{number}", fault=fault) for number in range(groups)]
    server = (FaultyJudged if judged else Faulty)(None, None)
    server.rows = tasks
    return GymSpec(
        env=server,
        agent="simple_agent",
        **({"output": output} if fault == "full disk" else {}),
        **({"model": {"judge": Busy(context=ComponentContext(name="busy"))}} if judged else {}),
        **({"deadlines": Deadlines(tool=SECONDS)} if fault == "time-out" else {}),
    )
