"""What the documentation shows is what happens: commands, outputs, files and code.

`gym run` is run for real against an endpoint on loopback that answers by rote. It takes the place of the local model,
too, which is slow: so it is the commands that are tested here, not what a model says.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from gym_core import UsageError
from gym_core.cli.app import app
from gym_core.cli.run import to_config
from gym_core.spi import Kind, PluginManager, Reference, resolve_options
from tests.docs.pages import ROOT, Block, Command, blocks, commands, pages
from tests.support.forks import gym_program

OTHER_PROGRAMS = frozenset(
    {"cd", "export", "git", "llama-server", "ls", "make", "pip", "pytest", "python", "source", "ulimit", "uv", "vllm"}
)
PREPARING = frozenset({"export", "pip", "source", "uv"})
"""What these do to the environment has been done when a page's commands run."""
KEPT_VARIABLES = ("PATH", "PYTHONPATH", "SYSTEMROOT", "LANG", "TMPDIR")
PAGES = pages()
RUN_PAGES = [page for page in PAGES if any(block.action for block in blocks(page))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def page_commands(page: Path) -> Iterator[Command]:
    for block in blocks(page):
        if block.language == "sh":
            yield from commands(block)


# Reading


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_can_be_read(page: Path) -> None:
    for block in blocks(page):
        assert not block.action or block.action in ("run", "output", "lines", "exec", "file", "serve"), (
            f"{block}: {block.action}"
        )
        assert block.language in ("json", "python", "sh", "text", "toml", "yaml"), f"{block}: {block.language}"
        assert not re.search(r"^[$>] ", block.text, re.MULTILINE), f"{block}: a prompt is copied with the command"
        if "--8<--" in block.text:
            continue
        if block.language == "python":
            compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "yaml":
            yaml.safe_load(block.text)
        elif block.language == "json":
            for document in [block.text] if block.text.startswith("{\n") else block.text.splitlines():
                json.loads(document)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_exists(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_NO_DOTENV", "1")
    for command in page_commands(page):
        for words in simple_commands(command.text):
            if words[0] == "gym":
                check_gym(words[1:], command)
            elif words[0] == "make":
                targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
                assert set(words[1:]) <= set(targets), f"{command.block}: {command.text}"
            elif words[0] == "python":
                assert words[1] in ("-c", "-m") or (ROOT / words[1]).is_file(), f"{command.block}: {command.text}"
            else:
                assert words[0] in OTHER_PROGRAMS, f"{command.block}: {command.text}"


def simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of a line, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, "|"]:
        if set(word) <= set("|&;"):
            if words:
                yield words
            words = []
        else:
            words.append(word)
        if len(words) > 1 and words[-2] in (">", "<", ">>"):
            del words[-2:]


def check_gym(arguments: list[str], command: Command) -> None:
    where = f"{command.block}: {command.text}"
    found: click.Command = app
    context = click.Context(app, info_name="gym")
    while isinstance(found, click.Group) and arguments and not arguments[0].startswith("-"):
        inner = found.get_command(context, arguments.pop(0))
        assert inner is not None, where
        found = inner
    if "--config" in arguments:
        return  # the file is there when the commands of the page run
    try:
        context = found.make_context(found.name or "gym", arguments, parent=context)
        if found.name == "run" and command.block.settings.get("status") != "2":
            check_run(context.params)
    except click.exceptions.Exit:
        return
    except (click.ClickException, UsageError) as error:
        pytest.fail(f"{where}: {error}")


@functools.cache
def plugins() -> PluginManager:
    return PluginManager(environ={})


def check_run(parameters: Mapping[str, Any]) -> None:
    options = dict(parameters)
    del options["as_json"], options["quiet"]
    wanted = to_config(options).components
    manager = plugins()
    installed = {(plugin.kind, plugin.name) for plugin in manager.plugins}
    wired: list[tuple[Kind, str, Mapping[str, Any]]] = [
        (Kind.MODEL, str(reference), wanted.model_options.get(role, {})) for role, reference in wanted.models.items()
    ]
    wired.append((Kind.RESOURCE_SERVER, str(wanted.env), wanted.env_options))
    wired.append((Kind.AGENT, str(wanted.agent or "simple_agent"), wanted.agent_options))
    for kind, text, given in wired:
        reference = Reference.parse(text)
        if (kind, reference.name) in installed:
            loaded = manager.load(kind, reference)
            resolve_options(loaded.component, reference.name, given, reference.selector, environ={})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_and_command_within_a_sentence_exists(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^\| there \|.*?\n\n", without_first_column, prose, flags=re.MULTILINE | re.DOTALL)
    known = known_options() | {"--jinja"}
    for text in re.findall(r"`([^`\n]+)`", prose):
        assert set(re.findall(r"(?<!\S)(--[a-z][\w-]+)", text)) <= known, f"{name_of(page)}: `{text}`"
    for text in re.findall(r"`gym ([a-z][^`\n]*)`", re.sub(r"<!-- generated:.*?<!-- end:", "", prose, flags=re.DOTALL)):
        names = text.split()
        inner = app.get_command(click.Context(app), names[0])
        assert inner is not None, f"{name_of(page)}: `gym {text}`"
        if isinstance(inner, click.Group) and len(names) > 1:
            assert inner.get_command(click.Context(inner), names[1]), f"{name_of(page)}: `gym {text}`"


def without_first_column(table: re.Match[str]) -> str:
    """What stands under `there` are the commands and options of other tools."""
    return re.sub(r"^\| .*? \|", "|", table[0], flags=re.MULTILINE)


@functools.cache
def known_options() -> frozenset[str]:
    """Those of all commands, those of plugins included."""
    return frozenset(all_options(app))


def all_options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    yield "--help"
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from all_options(inner)


# Running


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_marked_blocks_do_what_they_show(
    page: Path, tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    environment = environment_for(page, tmp_path, endpoint)
    namespace: dict[str, Any] = {"__name__": "page"}
    with ExitStack() as servers:
        for block in blocks(page):
            if block.action == "file":
                (name,) = block.settings
                (folder / name).write_text(block.text.replace("=...", "=sk-from-file"), encoding="utf-8")
            elif block.action == "exec":
                with monkeypatch.context() as patch:
                    for variable in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
                        patch.setenv(variable, environment[variable])
                    run_code(block, namespace, capsys)
            elif block.action == "serve":
                for command in commands(block):
                    servers.enter_context(running(command, environment))
            elif block.action:
                for command in commands(block):
                    run_command(command, environment)


@contextmanager
def running(command: Command, environment: Mapping[str, str]) -> Iterator[None]:
    """A command that goes on, once it has said its first line."""
    words = ["bash", "-c", f"exec {command.text}"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline(), f"{command.block}: {command.text}: it says nothing"
            yield
        finally:
            process.kill()


def environment_for(page: Path, tmp_path: Path, endpoint: str) -> dict[str, str]:
    """The variables of a page's commands. Where a page installs an example, it is as if it had been."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join((str(gym_program().parent), str(Path(sys.executable).parent), kept.get("PATH", "")))
    environment = {**kept, "PATH": path, "HOME": str(tmp_path), "PYTHONUTF8": "1"}
    environment |= {"OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "sk-of-the-docs"}
    for command in page_commands(page):
        if example := re.search(r"install -e (examples/\w+)", command.text):
            folder = ROOT / example[1]
            found = [install_example(folder, tmp_path), str(folder), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, found))
    return environment


def install_example(folder: Path, tmp_path: Path) -> str:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "site" / f"{folder.name}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(f"{head}Summary: {project['description']}\n", encoding="utf-8")
    lines = []
    for group, names in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {module}" for name, module in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(info.parent)


def run_code(block: Block, namespace: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    exec(compile(block.text, str(block), "exec", dont_inherit=True), namespace)
    calls = re.search(r"^asyncio\.run|^print\(", block.text, re.MULTILINE)
    assert bool(capsys.readouterr().out) == bool(calls), f"{block}: it prints nothing"


def run_command(command: Command, environment: Mapping[str, str]) -> None:
    settings = command.block.settings
    text = command.text.replace("--model local", "--model openai")
    if text.split()[0] in PREPARING:
        return
    changes = dict(pair.partition("=")[::2] for pair in settings.get("env", "").split(",") if pair)
    done = subprocess.run(
        ["bash", "-c", text],
        env={**environment, **changes},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == int(settings.get("status", 0)), f"{command.block}: {text}\n{done.stdout}"
    if command.block.action == "output":
        shown = re.escape(plain(command.shown)).replace(r"\.\.\.", ".*")
        assert re.fullmatch(shown, plain(done.stdout), re.DOTALL), f"{command.block}: {text}\n{done.stdout}"
    elif command.block.action == "lines":
        printed = {tuple(line.split()) for line in done.stdout.splitlines()}
        missing = [line for line in command.shown.splitlines() if line != "..." and tuple(line.split()) not in printed]
        assert not missing, f"{command.block}: {text}\n{missing}"


def plain(output: str) -> str:
    """An output without progress lines."""
    lines = [line.rstrip() for line in output.strip().splitlines()]
    return "\n".join(line for line in lines if not re.match(r"(?:[\d hmins]+ left, )?\d+/(?:\d+|\?) done", line))
