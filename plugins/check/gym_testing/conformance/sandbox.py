"""Whether a provider of sandboxes keeps the contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from gym_core import Sandbox, SandboxProvider, SandboxSpec
from gym_core.errors import SandboxError
from gym_core.spi import Kind
from gym_testing.conformance.component import ComponentConformance
from gym_testing.rehearsal import run

BYTES = bytes(range(256)) * 300
_IMPOSSIBLE = SandboxSpec(image="gym.invalid/there-is-no-such-image:0")


class SandboxConformance(ComponentConformance):
    """Subclass it for a provider of sandboxes, and name it with `reference`.

        class TestMySandbox(SandboxConformance):
            reference = "my_sandbox"

    `spec`: what the sandboxes of all tests are opened with; it must have a POSIX shell. `seconds`: how long one may
    take to open and to close.
    """

    kind: ClassVar[Kind] = Kind.SANDBOX
    spec: SandboxSpec = SandboxSpec()
    seconds: float = 60.0

    def test_runs_commands(self) -> None:
        """A text goes to the shell, a list does not; streams are apart, and a failure is a result."""

        async def check(sandbox: Sandbox) -> None:
            done = await sandbox.exec("echo out; echo err >&2; exit 3")
            found = (done.exit_code, done.stdout, done.stderr, done.timed_out, done.truncated)
            assert found == (3, "out\n", "err\n", False, False), f"a command came to {found}"
            plain = await sandbox.exec(["echo", "$HOME; a b"])
            assert plain.stdout == "$HOME; a b\n", f"a list of arguments was given to a shell: {plain.stdout!r}"
            missing = await sandbox.exec(["no-such-program-"])
            assert missing.exit_code != 0, "a program that is not there ended with 0"

        self._with(check)

    def test_input_variables_and_folders(self) -> None:
        """A command gets its input, the variables of the sandbox and its own, and runs where it is told to."""

        async def check(sandbox: Sandbox) -> None:
            told = await sandbox.exec("cat", input="told\n")
            assert told.stdout == "told\n", f"`input` came out as {told.stdout!r}"
            done = await sandbox.exec("echo $KIT_SPEC $KIT_CALL", env={"KIT_CALL": "call"})
            assert done.stdout == "spec call\n", f"variables came out as {done.stdout!r}"
            here = (await sandbox.exec("pwd")).stdout.strip()
            assert here == sandbox.workdir, f"a command runs in {here}, `workdir` is {sandbox.workdir}"
            await sandbox.write("deep/er/file", "x")
            there = (await sandbox.exec("ls", cwd="deep/er")).stdout
            assert there == "file\n", f"`cwd` is not where a command runs: {there!r}"

        self._with(check, env={"KIT_SPEC": "spec"})

    def test_nothing_of_this_process_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The variables of gym's own process reach no command: keys stand among them."""
        monkeypatch.setenv("KIT_SECRET", "sk-there-it-is")

        async def check(sandbox: Sandbox) -> None:
            seen = (await sandbox.exec("env")).stdout
            assert "sk-there-it-is" not in seen, "a command sees the variables of gym's process"

        self._with(check)

    def test_ends_what_takes_too_long(self) -> None:
        """A command is ended after its time, with what it has started; the sandbox goes on."""

        async def check(sandbox: Sandbox) -> None:
            started = time.monotonic()
            done = await sandbox.exec("echo before; sleep 600 & sleep 600", timeout=1.0)
            assert done.timed_out, "a command that was ended does not say so: `timed_out`"
            assert time.monotonic() - started < 20, "a command was ended long after its time"
            assert done.exit_code != 0, "a command that was ended has the exit code 0"
            assert done.stdout == "before\n", f"what it wrote until then is lost: {done.stdout!r}"
            assert (await sandbox.exec("echo after")).stdout == "after\n", "the sandbox is of no use any more"

        self._with(check)

    def test_cuts_what_is_too_long(self) -> None:
        """No more of a stream is kept than the limit, and the command is not held up by it."""

        async def check(sandbox: Sandbox) -> None:
            done = await sandbox.exec("head -c 3000000 /dev/zero | tr '\\0' x; echo done >&2", limit=1000)
            assert (len(done.stdout), done.stderr) == (1000, "done\n"), f"{len(done.stdout)} characters were kept"
            assert done.truncated, "an output that was cut does not say so: `truncated`"
            assert done.exit_code == 0, f"a command whose output was cut ended with {done.exit_code}"

        self._with(check)

    def test_files(self) -> None:
        """Files are read and written as they are, by commands and from outside."""

        async def check(sandbox: Sandbox) -> None:
            await sandbox.write("a/b", BYTES)
            assert await sandbox.read("a/b") == BYTES, "a file does not come back as it was written"
            assert await sandbox.read(f"{sandbox.workdir}/a/b") == BYTES, "an absolute path is another one"
            done = await sandbox.exec("wc -c < a/b; printf %s made > c")
            assert done.stdout.strip() == str(len(BYTES)), "a command does not see a file that was written"
            assert await sandbox.read("c") == b"made", "a file of a command cannot be read"
            await sandbox.write("c", "\u00e9")
            assert await sandbox.read("c") == b"\xc3\xa9", "text is not written as UTF-8, over what was there"
            for path, kind in (("no-such-file", FileNotFoundError), ("a", IsADirectoryError)):
                with pytest.raises(kind):
                    await sandbox.read(path)

        self._with(check)

    def test_copies_files_and_folders(self, tmp_path: Path) -> None:
        """Files and folders go in and come out."""
        source = tmp_path / "source"
        (source / "inner").mkdir(parents=True)
        (source / "inner" / "file").write_bytes(BYTES)

        async def check(sandbox: Sandbox) -> None:
            await sandbox.upload(source, "copied")
            await sandbox.upload(source / "inner" / "file", "single")
            assert (await sandbox.exec("cmp copied/inner/file single && echo same")).stdout == "same\n"
            await sandbox.download("copied", tmp_path / "back")
            assert (tmp_path / "back" / "inner" / "file").read_bytes() == BYTES
            await sandbox.download("single", tmp_path / "one")
            assert (tmp_path / "one").read_bytes() == BYTES
            with pytest.raises(FileNotFoundError):
                await sandbox.download("no-such-file", tmp_path / "none")

        self._with(check)

    def test_sandboxes_are_apart(self) -> None:
        """Two sandboxes that are open at once do not see each other's files."""

        async def check(provider: SandboxProvider) -> None:
            async with provider.open(self.spec) as one, provider.open(self.spec) as other:
                await one.write("mine", "x")
                assert (await other.exec("ls")).stdout == "", "a new sandbox is not empty, or sees another one's files"

        self._opened(check)

    def test_works_on_several_things_at_once(self) -> None:
        """Commands of one sandbox run side by side."""

        async def check(sandbox: Sandbox) -> None:
            started = time.monotonic()
            done = await asyncio.gather(*(sandbox.exec(f"sleep 1; echo {number}") for number in range(6)))
            assert [one.stdout.strip() for one in done] == [str(number) for number in range(6)]
            assert time.monotonic() - started < 5, "commands of one sandbox wait for each other"

        self._with(check)

    def test_a_cancelled_command_is_ended(self) -> None:
        """A command whose caller is cancelled does not go on, and the sandbox is as it was."""

        async def check(sandbox: Sandbox) -> None:
            command = asyncio.create_task(sandbox.exec("echo begun > begun; sleep 2; echo late > late"))
            while (await sandbox.exec("cat begun")).stdout != "begun\n":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            command.cancel()
            await asyncio.wait([command])
            assert command.cancelled(), "a cancelled command ended in another way"
            await asyncio.sleep(2.5)
            with pytest.raises(FileNotFoundError):
                await sandbox.read("late")

        self._with(check)

    def test_what_it_cannot_give_is_refused(self) -> None:
        """A spec that cannot be met is an error, and no sandbox with less."""

        async def check(provider: SandboxProvider) -> None:
            with pytest.raises(SandboxError):
                async with provider.open(_IMPOSSIBLE):
                    pass

        self._opened(check)

    def test_closed_is_closed(self) -> None:
        """What is asked of a sandbox that is closed is a `SandboxError`."""

        async def check(provider: SandboxProvider) -> None:
            async with provider.open(self.spec) as sandbox:
                pass
            for asked in (sandbox.exec("echo"), sandbox.read("x"), sandbox.write("x", "y")):
                with pytest.raises(SandboxError):
                    await asked

        self._opened(check)

    # Means

    def _opened(self, check: Callable[[SandboxProvider], Awaitable[None]]) -> None:
        async def go() -> None:
            provider = self.make()
            async with provider as opened:
                await check(opened)

        run(go(), 2 * self.seconds)

    def _with(self, check: Callable[[Sandbox], Awaitable[None]], env: Mapping[str, str] | None = None) -> None:
        spec = self.spec
        if env:
            spec = replace(spec, env={**spec.env, **env})

        async def go(provider: SandboxProvider) -> None:
            async with provider.open(spec) as sandbox:
                await check(sandbox)

        self._opened(go)
