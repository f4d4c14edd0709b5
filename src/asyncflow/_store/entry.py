"""What is written of a run: when it began, each op that ended, when it ended. Plain values only, in order.

Times are seconds since 1970. Texts have neither NUL nor half a surrogate pair, which SQLite would cut or refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from asyncflow.records import OpRecord, RunRecord
from asyncflow.results import OpStatus, RunStatus


@dataclass(frozen=True, slots=True)
class RunBegan:
    """A run was submitted. It takes the place of an earlier one of the same id.

    Args:
        run_id: Its id.
        graph: The name of its graph or op.
        deployment: The deployment it belongs to.
        target: Where the graph is defined, for `deployment.resume`: JSON.
        shape: A digest of its plan.
        keys: The keys of its ops, to name a difference, JSON; empty where they are too many.
        inputs: JSON.
        tags: JSON.
        priority: Its priority.
        queued_at: When it was submitted.
        resumed_from: The run whose ops it takes over.
    """

    run_id: str
    graph: str
    deployment: str
    target: str
    shape: str
    keys: str
    inputs: str
    tags: str
    priority: int
    queued_at: float
    resumed_from: str | None


@dataclass(frozen=True, slots=True)
class OpEntry:
    """An op ended; `output` is its value as JSON, None where it has none.

    `maker` names this very run, also where a later one has the same id: runs that take the value over refer to it.
    """

    run_id: str
    key: str
    status: str
    attempts: int
    started_at: float | None
    ended_at: float
    error: str
    reason: str | None
    maker: str
    output: str | None


@dataclass(frozen=True, slots=True)
class RunOver:
    """A run ended."""

    run_id: str
    status: str
    attempts: int
    started_at: float
    ended_at: float
    error: str
    reason: str | None


Entry: TypeAlias = RunBegan | OpEntry | RunOver


@dataclass(frozen=True, slots=True)
class Mark:
    """How an op of an earlier run ended: what resuming has to know of all of them."""

    status: str
    error: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What resuming a run needs beside the values of its ops."""

    run: RunBegan
    status: str
    marks: Mapping[str, Mark]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are listed, newest first."""

    deployment: str | None = None
    graph: str | None = None
    status: tuple[RunStatus, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    run_id: str | None = None
    before: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class OpFilter:
    """Which ops of a run are listed, in the order in which they ended."""

    run_id: str
    status: tuple[OpStatus, ...] = ()
    key: str | None = None
    after: str | None = None
    limit: int = 1000


class RunStore(Protocol):
    """Where records are. Every method is called on one thread at a time, the same from `open` to `close`."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def blocks(self) -> bool:
        """True where its methods wait for a disk, so that they need a thread."""
        ...

    def open(self) -> RunSession:
        """Opens it.

        Raises:
            StoreUnavailable: where it cannot be opened.
            SchemaMismatch: where what is there is newer, or damaged.
        """
        ...


class RunSession(Protocol):
    """A store that is open."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Writes entries, all or nothing; entries that are written again take the place of the first."""
        ...

    def kept(self, run_id: str) -> Kept | None:
        """Returns what resuming a run needs; None where there is no such run."""
        ...

    def outputs(self, run_id: str, keys: Sequence[str]) -> dict[str, str]:
        """Returns the values of ops of a run by key, those that are there."""
        ...

    def latest(self, graph: str, deployment: str, key: str) -> str | None:
        """Returns the newest run of a graph that has the value of an op, or of items of an `each`."""
        ...

    def runs(self, chosen: RunFilter) -> list[RunRecord]:
        """Returns runs, newest first."""
        ...

    def ops(self, chosen: OpFilter) -> list[OpRecord]:
        """Returns ops of a run, in the order in which they ended."""
        ...

    def close(self) -> None:
        """Closes it."""
        ...
