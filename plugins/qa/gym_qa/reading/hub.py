"""Data sets of the Hugging Face hub, by the library `datasets`, streamed to this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from gym_core import UsageError
from gym_core.errors import InputError
from gym_qa.reading.parquet import plain_row
from gym_qa.reading.row import Found, Row

SCHEME = "hf://"
_FORM = "hf://OWNER/NAME[/CONFIG][?split=SPLIT&revision=COMMIT]"


@dataclass(frozen=True, slots=True)
class HubData:
    """What `hf://OWNER/NAME/CONFIG?split=test` names."""

    path: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, source: str) -> Self:
        """Raises `UsageError` for what has another form."""
        parts = urlsplit(source)
        names = [name for name in (parts.netloc, *parts.path.split("/")) if name]
        if names[:1] == ["datasets"]:
            del names[0]
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if len(names) not in (2, 3) or not asked.keys() <= {"split", "revision"}:
            raise UsageError(f"{source} names no data set", hint=f"its form is {_FORM}")
        return cls(
            "/".join(names[:2]), names[2] if len(names) == 3 else None, asked.get("split"), asked.get("revision")
        )


def hub_rows(source: str) -> Iterator[Found]:
    """The rows of a data set. Raises `InputError`, and `UsageError` where `datasets` is missing."""
    wanted = HubData.parse(source)
    try:
        import datasets
    except ImportError:
        raise UsageError(f"{source}: reading it needs the library datasets", hint="pip install 'gym-qa[hf]'") from None
    number = 0
    try:
        rows = datasets.load_dataset(
            wanted.path, wanted.config, split=wanted.split or "test", revision=wanted.revision, streaming=True
        )
        for number, values in enumerate(rows, 1):
            yield Row(f"{source}, row {number}", plain_row(dict(values)))
    except Exception as error:  # of the library, the network, or a file there: its words say which
        place = f"{source}, row {number + 1}" if number else source
        raise InputError(
            f"{place}: it cannot be read: {_words(error)}", hint="is it there, and the network?"
        ) from error


def _words(error: Any) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}"[:400]
