"""What stands after `openenv:`, and how an observation is shown."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gym_core import UsageError
from gym_openenv.names import checked, venv_of
from gym_openenv.observation import content, tool_result

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()


def test_a_url_or_an_import_path() -> None:
    assert checked("http://host:1/") == "http://host:1"
    assert [checked(text) for text in ("a", "a.b:c", "a:b")] == ["a", "a.b:c", "a:b"]
    for wrong in ("", "a b", "ftp://x", "../x", "a:", "-r"):
        with pytest.raises(UsageError):
            checked(wrong)
    with pytest.raises(UsageError) as refused:
        checked("localhost:8000")
    assert refused.value.hint == "--env openenv:http://localhost:8000"


def test_its_venv_holds_openenv_and_its_package() -> None:
    assert venv_of("https://host") is None
    venv = venv_of("no_such_world.server.app:app")
    assert venv is not None
    assert (venv.name, venv.packages) == ("openenv:no_such_world", ("openenv", "openenv-no-such-world"))


def text_of(parts: list[Any]) -> str:
    return "".join(part["text"] for part in parts if part["type"] == "input_text")


def images_of(parts: list[Any]) -> list[str]:
    return [part["image_url"] for part in parts if part["type"] == "input_image"]


def test_fields_are_text_and_one_alone_stands_for_itself() -> None:
    assert content({"metadata": {"a": 1}, "empty": "", "none": None}) == []
    assert text_of(content({"hint": "go", "empty": []})) == "go"
    assert (
        text_of(content({"hint": "go", "left": 0, "board": [[1, 2], [3, 4]]}))
        == "hint: go\nleft: 0\nboard: [[1,2],[3,4]]"
    )


def test_images_are_parts() -> None:
    pixels = [[[255, 0, 0]] * 9] * 8
    flat = [0] * 64
    seen = content({"a": PNG, "b": {"c": f"data:image/png;base64,{PNG}"}, "d": pixels, "e": flat, "e_shape": [8, 8]})
    images = images_of(seen)
    assert len(images) == 4
    assert all(image.startswith("data:image/png;base64,iVBOR") for image in images)
    assert "d: (image 3)" in text_of(seen)


@pytest.mark.parametrize(
    "board",
    [
        [[[1, 2]] * 8] * 8,
        [[[1, 2, 300]] * 8] * 8,
        [[[1, 2, 3]] * 8] * 7,
        [[[1, 2, 3]] * 8, *[[[1, 2, 3]] * 9] * 7],
        [[[1.5, 2, 3]] * 8] * 8,
        [[0] * 8] * 8,
    ],
)
def test_what_is_no_image_stays_text(board: Any) -> None:
    assert images_of(content({"board": board})) == []
    assert images_of(content({"board": [0] * 5, "board_shape": [8, 8]})) == []


def test_results_of_tools() -> None:
    blocks = [{"type": "text", "text": "3"}, {"type": "image", "data": PNG, "mimeType": "image/png"}, {"type": "x"}]
    seen = tool_result({"tool_name": "t", "result": {"content": blocks}, "error": None, "metadata": {}})
    assert text_of(seen) == '3{"type":"x"}'
    assert len(images_of(seen)) == 1
    failed = tool_result({"tool_name": "t", "result": None, "error": {"message": "no such tool"}, "left": 3})
    assert text_of(failed) == "error: no such toolleft: 3"
