"""Distributions of this repository, fresh environments to install them into, and an endpoint to run against.

Nothing here needs a network: builds use the hatchling of the running environment, and installations take
run-time dependencies from `.wheelhouse`, which `make install` fills.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from uv import find_uv_bin

from tests.support.uv_cache import cache_folder, share_compiled, shared_folder
from tests.support.wheels import write_wheel

ROOT = Path(__file__).parents[2]
WHEELHOUSE = ROOT / ".wheelhouse"
SOURCES = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))
BIN = "Scripts" if os.name == "nt" else "bin"
KEPT_VARIABLES = ("PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "LANG")

# What a frontend has the backend do, for many projects in one process: it is its start that takes long.
BUILD = """
import os, shutil, sys, tempfile
from hatchling.build import build_sdist, build_wheel

target, *sources = sys.argv[1:]
os.makedirs(target)
for source in sources:
    os.chdir(source)
    sdist = build_sdist(target)
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(os.path.join(target, sdist), folder)
        os.chdir(os.path.join(folder, sdist.removesuffix(".tar.gz")))
        build_wheel(target)
        os.chdir(source)
"""


@dataclass(slots=True)
class FreshEnv:
    """A virtual environment that holds some distributions and their dependencies, and a directory to work in.

    `cache`: of the uv that has made it, which gets what its first command compiles.
    """

    path: Path
    cache: Path | None

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.path / BIN / "python"

    def run(
        self, *command: str | Path, exit_code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment; `env` is added to a minimal set of variables.

        Raises AssertionError with both outputs when the exit code is another one.
        """
        variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        variables |= {"HOME": str(self.path), "PYTHONUTF8": "1", "COLUMNS": "200", **(env or {})}
        program, *arguments = map(str, command)
        done = subprocess.run(
            [str(self.path / BIN / program), *arguments],
            cwd=self.path,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        assert done.returncode == exit_code, (
            f"exit {done.returncode}, not {exit_code}: {command}\n{done.stdout}\n{done.stderr}"
        )
        if self.cache is not None:
            share_compiled(self.path, self.cache)
            self.cache = None
        return done


@pytest.fixture(scope="session")
def shared_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of this test session share."""
    return shared_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uv's cache, which is this session's own."""
    return cache_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def uv(shared_dir: Path, uv_cache: Path) -> Callable[..., None]:
    """Runs uv offline."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    variables |= {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(uv_cache)}

    program = find_uv_bin()

    def run(*arguments: str | Path) -> None:
        command = [program, *map(str, arguments)]
        done = subprocess.run(command, cwd=shared_dir, env=variables, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    return run


@pytest.fixture(scope="session")
def build(uv: Callable[..., None]) -> Callable[[Path, Path], None]:
    """Builds the sdist of a source directory, and the wheel from that sdist, into another directory."""

    def run(source: Path, target: Path) -> None:
        uv("build", "--no-build-isolation", "--python", sys.executable, "--out-dir", target, source)

    return run


@pytest.fixture(scope="session")
def wheels(shared_dir: Path) -> Path:
    """The directory with wheels and sdists of core, plugins and examples, built once per test session."""
    target = shared_dir / "distributions"
    finished = shared_dir / "distributions.finished"
    with FileLock(shared_dir / "distributions.lock"):
        if not finished.exists():
            folders = [str(target), *map(str, [*SOURCES, *EXAMPLES])]
            done = subprocess.run([sys.executable, "-c", BUILD, *folders], capture_output=True, encoding="utf-8")
            assert done.returncode == 0, done.stderr
            finished.touch()
    return target


@pytest.fixture(scope="session")
def fresh_env(
    tmp_path_factory: pytest.TempPathFactory, uv: Callable[..., None], uv_cache: Path, wheels: Path
) -> Callable[..., FreshEnv]:
    """Makes an environment with the named distributions; `find_links` adds directories of further wheels."""
    if not WHEELHOUSE.is_dir():
        pytest.fail("there is no .wheelhouse to install from: run `make install`")

    def make(*distributions: str, find_links: tuple[Path, ...] = ()) -> FreshEnv:
        env = FreshEnv(tmp_path_factory.mktemp("env"), uv_cache)
        uv("venv", "--quiet", "--allow-existing", "--no-project", "--python", sys.executable, env.path)
        links = [f"--find-links={path}" for path in (wheels, WHEELHOUSE, *find_links)]
        uv("pip", "install", "--no-index", "--only-binary=:all:", *links, "--python", env.python, *distributions)
        return env

    return make


@pytest.fixture(scope="session")
def with_installer(
    uv: Callable[..., None], uv_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, str]]:
    """The variables that leave an environment one installer, `uv` or `pip`, and no network."""

    def make(env: FreshEnv, installer: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp(installer)
        path = folder
        if installer == "uv":
            path = Path(find_uv_bin()).parent
        else:
            ensurepip = pytest.importorskip("ensurepip")
            bundled = Path(ensurepip.__file__).parent / "_bundled"  # ensurepip itself takes seconds
            uv("pip", "install", "--no-index", f"--find-links={bundled}", "--python", env.python, "pip")
        offline = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(uv_cache), "PIP_NO_INDEX": "1"}
        return {"PATH": str(path), "PIP_NO_COMPILE": "1", "GYM_HOME": str(folder / "home"), **offline}

    return make


@pytest.fixture(scope="session")
def make_plugin(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Path]:
    """Writes the wheel of a resource server; returns the directory that holds it."""

    def make(distribution: str, entry_point: str, code: str) -> Path:
        folder = tmp_path_factory.mktemp("plugin")
        points = {"gym.resource_servers": {entry_point: distribution.replace("-", "_")}}
        write_wheel(folder, distribution, code, requires=["gym-core"], points=points, summary="A test's plugin")
        return folder

    return make


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Responses endpoint whose model adds 7 with the tool `increment` and then says so."""

    base_url: str
    requests: list[dict[str, Any]]
    authorizations: set[str]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A loopback endpoint for `counter`; it keeps what it was asked."""
    requests: list[dict[str, Any]] = []
    authorizations: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = self.path == "/v1/models"
            self.answer(200 if known else 404, {"object": "list", "data": [{"id": "fake", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path != "/v1/responses":
                self.answer(404, {"error": {"message": f"no {self.path} here", "type": "not_found"}})
                return
            authorizations.add(self.headers["authorization"])
            requests.append(body)
            self.answer(200, respond_to(body, len(requests)))

        def answer(self, status: int, value: dict[str, Any]) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", requests, authorizations)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def respond_to(request: dict[str, Any], number: int) -> dict[str, Any]:
    """A response object: a call of `increment` until the input holds a tool's output, then a message."""
    items = request["input"]
    answered = not isinstance(items, str) and any(i.get("type") == "function_call_output" for i in items)
    if answered:
        content = [{"type": "output_text", "text": "The counter is at 10.", "annotations": []}]
        item = {"type": "message", "role": "assistant", "status": "completed", "content": content}
    else:
        item = {"type": "function_call", "call_id": f"call_{number}", "name": "increment", "status": "completed"}
        item["arguments"] = json.dumps({"by": 7})
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": request["model"],
        "output": [{"id": f"item_{number}", **item}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": request.get("tools", []),
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 25,
        },
    }
