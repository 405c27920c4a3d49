"""One page to send to somebody: the page of the viewer with its styles, its modules and the answers in it."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict

from gym_core import UsageError, encode_json
from gym_viewer.api import health, rollout, rollouts, run, runs, tokens
from gym_viewer.api.item_view import item_view
from gym_viewer.api.query import Query, name_of
from gym_viewer.api.shapes import Embedded
from gym_viewer.application import page_files
from gym_viewer.index.row import COMPONENTS
from gym_viewer.index.store import FAILURES
from gym_viewer.library import Library, OpenRun

_LARGEST = 64 << 20
"""Bytes of rows that a page can hold; a browser reads all of it before it shows anything."""
_BEGINS = b"<!doctype html>"
_ELSEWHERE = "--export takes another path"
_DATA = '<script type="application/json" id="gym-data">'
_WHOLE = 1 << 53
_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./([\w-]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
_MODULE_WORDS = re.compile(r"^(?:import|export)\b", re.MULTILINE)
_ICON = re.compile(r'<link rel="icon"[^>]*>')
_STYLES = re.compile(r'<link rel="stylesheet"[^>]*>')
_MAIN = re.compile(r'<script type="module" src="[^"]*"></script>')


def write_page(path: Path, rows: Path, chosen: Sequence[str]) -> int:
    """Write the page of a run, or of the `chosen` rollouts of it, as `gym show` names them; returns how many there are.

    Raises `UsageError` for a rollout that is not there, for more than a page can hold, and where it cannot be written.
    """
    _refuse_others(path)
    with tempfile.TemporaryDirectory(prefix="gym-viewer-") as folder:
        library = Library([rows], indexes=Path(folder))
        try:
            opened = library.run(str(library.selected))
            while not opened.advance().whole:
                pass
            numbers = [*_chosen(opened, chosen)]
            if not numbers:
                raise UsageError(f"{rows} holds no rollout", hint="give what `gym run --output` wrote")
            content = page_of(_embedded(library, opened, numbers, all_of_it=not chosen), page_files())
        finally:
            library.close()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}", hint="--export takes another path"
        ) from None
    return len(numbers)


def _refuse_others(path: Path) -> None:
    """Raise `UsageError` for a file that is there already and no page."""
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_BEGINS))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", hint=_ELSEWHERE) from None
    if beginning and beginning.lower() != _BEGINS:
        raise UsageError(f"{path} exists and is no page", hint=_ELSEWHERE)


def page_of(embedded: Embedded, page: Mapping[str, bytes]) -> bytes:
    """The files of the page in one, with answers. Whatever these say, they stay data."""
    styles, script = page["style.css"].decode(), bundle(page)
    if "</style" in styles or "</script" in script or "<!--" in script:
        raise ValueError("the page's own files cannot stand within a page")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(styles)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    # within a script element nothing but `</script` and `<!--` is more than text
    data = encode_json(embedded, fallback=str).replace(b"<", b"\\u003c").decode()
    icon = base64.b64encode(page.get("icon.svg", b"")).decode()
    html = page["index.html"].decode()
    for pattern, element in (
        (_ICON, f'<link rel="icon" href="data:image/svg+xml;base64,{icon}">'),
        (_STYLES, f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{styles}</style>'),
        (
            _MAIN,
            f'<script type="application/json" id="gym-data">{data}</script>\n<script type="module">{script}</script>',
        ),
    ):
        html = pattern.sub(lambda _, element=element: element, html, count=1)  # type: ignore[misc]
    return html.encode()


def bundle(page: Mapping[str, bytes]) -> str:
    """The modules of the page as one script, each in a function of its own. `shapes` says to what form they keep."""
    done: dict[str, str] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in done:
            return
        if name in above:
            raise ValueError(f"{name}.js imports itself by way of {', '.join(above)}")
        source = page[f"{name}.js"].decode()
        for _, needed in _IMPORT.findall(source):
            add(needed, (*above, name))
        names = [found for _, found in _EXPORT.findall(source)]
        source = _IMPORT.sub(_destructured, source)
        source = _EXPORT.sub(r"\1 \2", source)
        if _MODULE_WORDS.search(source):
            raise ValueError(f"{name}.js imports or exports in another form than the exporter reads")
        done[name] = f"const {_variable(name)} = (() => {{\n{source}\nreturn {{ {', '.join(names)} }};\n}})();\n"

    add("main", ())
    return "".join(done.values())


def _destructured(found: re.Match[str]) -> str:
    return f"const {{ {found[1].replace(' as ', ': ')} }} = {_variable(found[2])};"


def _variable(name: str) -> str:
    return f"module_{name.replace('-', '_')}"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _chosen(opened: OpenRun, chosen: Sequence[str]) -> Iterator[int]:
    """The ids of the rollouts: by their place, or by `TASK_ID` or `TASK_ID#REPEAT`; all without any."""
    read = opened.index.read
    if not chosen:
        size = read("SELECT SUM(length) FROM rollout WHERE standing")[0][0] or 0
        if size > _LARGEST:
            raise UsageError(
                f"{opened.path} has {size / 1e6:,.0f} MB of rollouts, and a page takes {_LARGEST / 1e6:,.0f}",
                hint="choose some with --rollout N",
            )
        yield from (row[0] for row in read("SELECT id FROM rollout WHERE standing ORDER BY id"))
    for name in chosen:
        task, mark, repeat = name.rpartition("#")
        digits = name.removeprefix("f")
        if digits.isascii() and digits.isdecimal() and len(digits) < 12:
            found = read("SELECT id FROM rollout WHERE id = ?", (int(digits) + FAILURES * (digits != name),))
        else:
            found = read("SELECT id FROM rollout WHERE standing AND task = ? ORDER BY id", (name,))
            if not found and mark and repeat.isdecimal() and len(repeat) < 12:
                found = read("SELECT id FROM rollout WHERE standing AND task = ? AND repeat = ?", (task, int(repeat)))
        if not found:
            raise UsageError(
                f"{opened.path} has no rollout {name!r}", hint="give its place, such as 1, or its TASK_ID#REPEAT"
            )
        yield from (row[0] for row in found)


def _embedded(library: Library, opened: OpenRun, numbers: Sequence[int], *, all_of_it: bool) -> Embedded:
    path = f"/api/runs/{opened.id}"
    view = run.run(library, _query(opened))
    entries = [rollouts.entry(opened, number) for number in dict.fromkeys(numbers)]
    answers: dict[str, Any] = {
        "/api/runs": runs.runs(library, _query(opened)),
        path: view,
        f"{path}/rollouts": {
            "total": len(entries), "matched": len(entries), "offset": 0, "rollouts": entries, "search": None,
        },
    }  # fmt: skip
    if all_of_it:
        answers[f"{path}/health"] = health.health(library, _query(opened))
        answers[f"{path}/tasks"] = run.tasks_of(opened, "task", 0, _WHOLE)
        for name in (*(field["name"] for field in view["fields"]), *(COMPONENTS + name for name in view["components"])):
            asked = {"field": name}
            answers[f"{path}/by?{_written(asked)}"] = run.by_field(library, _query(opened, **asked))
    for number in dict.fromkeys(numbers):
        answers |= dict(_of_rollout(library, opened, f"{path}/rollouts/{name_of(number)}", number))
    only = f"{path}/rollouts/{name_of(numbers[0])}" if len(set(numbers)) == 1 and not all_of_it else path
    return {"start": "#" + only.removeprefix("/api"), "answers": answers}


def _of_rollout(library: Library, opened: OpenRun, path: str, number: int) -> Iterator[tuple[str, Any]]:
    """The answers about a rollout: all items and tokens, where there are more than its own answer holds."""
    found = rollout.Opened(opened, number)
    view = rollout.view_of(library, found)
    yield path, view
    for branch in found.talks.branches:
        items = rollout.items_of(found.talks, branch.number, 0, _WHOLE)
        if branch.number or len(branch.places) > rollout.ITEMS:
            yield (f"{path}/items?branch={branch.number}" if branch.number else f"{path}/items"), items
        for item in items["items"]:
            for one in (item, item.get("output")):
                if one and ("cut" in one or any("cut" in part for part in one["parts"])):
                    yield f"{path}/items/{one['place']}", item_view(found.talks, one["place"], None, cut=None)
    if view["spans"]["total"] > len(view["spans"]["spans"]):
        yield f"{path}/spans", rollout.spans_of(found, 0, _WHOLE)
    if view["tokens"] is not None:
        first = tokens.view_of(found, 0, 0, _WHOLE)
        yield f"{path}/tokens", first
        for number in range(1, len(first["sequences"])):
            yield f"{path}/tokens?sequence={number}", tokens.view_of(found, number, 0, _WHOLE)


def _query(opened: OpenRun, **values: str) -> Query:
    return Query({"run": opened.id}, ImmutableMultiDict(values))


def _written(values: Mapping[str, str]) -> str:
    """A query as the page writes it: by the rules of `application/x-www-form-urlencoded` in browsers."""
    return urlencode(values, safe="*").replace("~", "%7E")
