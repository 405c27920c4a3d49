"""What turns gym's files into those of other systems, and theirs into gym's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias

from typing_extensions import TypeVar

from gym_core.contract.component import Options, options_of

if TYPE_CHECKING:
    from gym_core.domain.rollout import Rollout


class Json:
    """The type of a column of an export whose values are anything that JSON can say."""


Column: TypeAlias = Any
"""The type of a column: `str`, `int`, `float`, `bool`, `Json`, a list of one as `[int]`, an object as a mapping.

Anything may be null.
"""

OptionsT = TypeVar("OptionsT", bound=Options, default=Options)


@dataclass(frozen=True, slots=True)
class ExportRequest(Generic[OptionsT]):
    """What `gym export` was told besides which rollouts.

    `options`: those of the format, from `-O NAME=VALUE`. `shared`: the tools and the sampling in force, as
    `{"tools": [...], "sampling": {...}}`, by the hash that a row cites as `rollout.tools`. `leave_out`: is told why
    rollouts give no row, and how many; it is said at the end.
    """

    options: OptionsT
    shared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    leave_out: Callable[[str, int], object] = lambda why, count: None


class Exporter(ABC, Generic[OptionsT]):
    """Writes the rollouts of a run as rows that the tools of others read: `gym export --format`.

    Its parameter is the class of its options, if it has any. `keeps_failures`: whether it can say that a rollout
    failed without giving it a reward; others never see a failure. `in_pairs`: whether it takes rollouts two by two, of
    one task the better and the worse. `untested`: why nobody has loaded its rows with what they are for; empty where
    that was done. `suffix`: how its files end, `.csv` or `.parquet`, where it writes no others.
    """

    Options: ClassVar[type[Options]] = Options
    keeps_failures: ClassVar[bool] = False
    in_pairs: ClassVar[bool] = False
    untested: ClassVar[str] = ""
    suffix: ClassVar[str] = ""

    def __init_subclass__(cls, **settings: Any) -> None:
        """Take the class of the options from the parameter, see `options_of`."""
        super().__init_subclass__(**settings)
        given = options_of(cls, Exporter)
        if given is not None:
            cls.Options = given

    def wants_failures(self, options: OptionsT) -> bool:
        """Whether rollouts that failed are among those it is given, where that depends on its options."""
        return self.keeps_failures

    def columns(self, rollouts: Iterable[Rollout], request: ExportRequest[OptionsT]) -> Mapping[str, Column] | None:
        """The columns of a table, by name; None for rows that go into no table: those are JSON lines alone.

        `rollouts` may be read here, and are read again for `rows`.
        """
        return None

    @abstractmethod
    def rows(
        self, rollouts: Iterable[Rollout], request: ExportRequest[OptionsT]
    ) -> Iterator[Mapping[str, Any] | bytes]:
        """Each row of theirs, one after the other; as bytes one that is a line already, without its end."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What `gym import` was told. `files`: each is laid over those before it; `agent`, `dataset`: which of several.

    `urls`: where servers run, by their names. `folder`: where the run file will lie, which its relative paths start
    from; None where it is only shown, and paths start here.
    """

    files: Sequence[Path]
    agent: str | None
    dataset: str | None
    urls: Mapping[str, str]
    folder: Path | None


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """A run file: its `text`, TOML, and `notices` about what it cannot say.

    `files`: the texts of others that it names, by their names; they are written beside it.
    """

    text: str
    notices: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)


class Importer(ABC):
    """Turns the configuration of another system into a run file: `gym import --format`."""

    @abstractmethod
    def run_file(self, request: ImportRequest) -> ImportedRun:
        """The run file. Raises `UsageError` for what cannot be read or is not clear."""
