"""An environment for gym that runs what a model writes: small jobs on files, done with a shell in a sandbox."""

from collections.abc import Iterator, Mapping
from typing import Any

from gym_core import ResourceServer, SandboxSpec, Session, Task, Trajectory, hookimpl, tool

JOBS = {
    "sum": ("Write the sum of the numbers in numbers.txt to answer.txt.", {"numbers.txt": "17\n4\n21\n"}, "42"),
    "lines": (
        "Write how many lines of log.txt contain `error` to answer.txt.",
        {"log.txt": "error\nok\nerror: x\n"},
        "2",
    ),
    "last": ("Write the last word of words.txt to answer.txt.", {"words.txt": "one two\nthree four\n"}, "four"),
}
LONGEST = 4_000


class TerminalSession(Session):
    """One job, in a sandbox of its own."""

    sandbox_roles = ("main",)

    async def setup(self) -> None:
        sandbox = await self.open_sandbox(SandboxSpec(timeout=20))
        for path, text in self.task["files"].items():
            await sandbox.write(path, text)

    @tool
    async def run(self, command: str) -> dict[str, Any]:
        """Run a shell command in the folder with the files.

        Args:
            command: What the shell is given. It may take 20 seconds.
        """
        done = await self.sandboxes["main"].exec(command, limit=LONGEST)
        answer: dict[str, Any] = {"exit_code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr}
        if done.timed_out:
            answer["note"] = "it took too long and was ended"
        return answer

    async def verify(self, trajectory: Trajectory) -> bool:
        return (await self.sandboxes["main"].exec(self.task["check"])).exit_code == 0


class Terminal(ResourceServer):
    """Do small jobs on files with a shell."""

    session_type = TerminalSession

    def tasks(self) -> Iterator[Task]:
        for name, (text, files, answer) in JOBS.items():
            yield Task.ask(text, task_id=name, files=files, check=f'test "$(cat answer.txt)" = {answer}')


@hookimpl(contract=1)
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    return {"terminal": Terminal}
