"""What comes out of a run: statuses, the record of each op, outcomes, and where the time went.

Times are readings of the event loop's clock in seconds (virtual seconds under virtual time); they compare with each
other, not with the calendar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from asyncflow.errors import OpSkipped, ResourceError

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class RunStatus(Enum):
    """`QUEUED → RUNNING → SUCCEEDED | FAILED | CANCELED`, with `CANCELING` between."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    CANCELING = "CANCELING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def final(self) -> bool:
        """True once nothing can change any more."""
        return self in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED)


class OpStatus(Enum):
    """`WAITING` (inputs) → `BLOCKED` (limits) → `RUNNING` → one of the others; `RETRYING` between two attempts.

    The others are final.
    """

    WAITING = "WAITING"
    BLOCKED = "BLOCKED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    ABANDONED = "ABANDONED"
    CANCELED = "CANCELED"
    REUSED = "REUSED"

    @property
    def final(self) -> bool:
        """True once nothing can change any more."""
        return self not in (OpStatus.WAITING, OpStatus.BLOCKED, OpStatus.RUNNING, OpStatus.RETRYING)


@dataclass(frozen=True)
class Outcome(Generic[R_co]):
    """How one settled call ended; the value a `.settled(...)` call gives. Never a cancellation.

    Args:
        status: SUCCEEDED, FAILED, SKIPPED or ABANDONED.
        value: The result where it succeeded, otherwise None.
        error: The exception where it failed; the cause's exception where it was abandoned.
    """

    status: OpStatus
    value: R_co | None = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        """True where it succeeded."""
        return self.status is OpStatus.SUCCEEDED

    def unwrap(self) -> R_co:
        """Returns the value, or raises the error it ended with (`OpSkipped` where it was skipped)."""
        if self.status is OpStatus.SUCCEEDED:
            return self.value  # type: ignore[return-value]  # pyright: ignore[reportReturnType]  # a success always carries its R, which may be None
        if self.error is not None:
            raise self.error
        raise OpSkipped(f"the settled call ended {self.status.value} and has no value; look at .status first")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of an op that was tried several times.

    Args:
        started_at: When its body started.
        ended_at: When it ended.
        error: What it raised, as text of at most 200 characters; empty where it ended well.
    """

    started_at: float
    ended_at: float
    error: str = ""

    @property
    def seconds(self) -> float:
        """Seconds its body ran."""
        return self.ended_at - self.started_at


@dataclass(frozen=True, slots=True)
class OpResult:
    """The record of one op of a run.

    Args:
        key: The op's key, without the graph's name: `fetch`, `fetch#2`, `sub/fetch`, `fetch[17]`.
        status: Where it ended.
        error: Its own exception where it FAILED; where it is ABANDONED, the exception of its cause.
        cause: The key of the op that failed, where this one is ABANDONED.
        attempts: How often its body was started.
        ready_at: When its inputs were there and it began to wait for its limits; None if that never happened.
        started_at: When its body first started; None if it never did.
        ended_at: When it ended.
        needs: What it asked of which limit.
        waits: For each limit, the seconds it was BLOCKED because of it; `order` is fitting, but not its turn.
        tries: Where it was tried several times, its attempts: the last hundred.
        reason: Why it skipped itself, where it said so.
    """

    key: str
    status: OpStatus
    error: BaseException | None = None
    cause: str | None = None
    attempts: int = 0
    ready_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    needs: Mapping[str, int] = field(default_factory=dict[str, int])
    waits: Mapping[str, float] = field(default_factory=dict[str, float])
    tries: tuple[Attempt, ...] = ()
    reason: str | None = None

    @property
    def blocked(self) -> float:
        """Seconds between being ready and being started for the first time (or ended without a start)."""
        if self.ready_at is None:
            return 0.0
        end = self.started_at if self.started_at is not None else self.ended_at
        return 0.0 if end is None else end - self.ready_at

    @property
    def seconds(self) -> float:
        """Seconds its body ran, in all attempts."""
        if self.tries:
            return sum([attempt.seconds for attempt in self.tries])
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return self.ended_at - self.started_at


K = TypeVar("K")


class OpResults(Mapping[str, OpResult], Generic[K]):
    """The ops of a run by key, in order of declaration; each record is built when it is looked at."""

    __slots__ = ("_cache", "_get", "_index")

    def __init__(self, index: Mapping[str, K], get: Callable[[K], OpResult]) -> None:
        self._index = index
        self._get = get
        self._cache: dict[str, OpResult] = {}

    def __getitem__(self, key: str) -> OpResult:
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._get(self._index[key])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"<{len(self._index)} ops>"


@dataclass(frozen=True)
class RunResult(Generic[R_co]):
    """Everything a run left behind.

    Args:
        run_id: The run.
        graph: The name of its graph or op.
        status: SUCCEEDED, FAILED or CANCELED.
        output: What the graph returned where the run succeeded, otherwise None.
        errors: The exceptions of the ops that failed, in the order in which they failed.
        ops: Every op by key.
        waits: For each limit, the seconds that ops of this run were BLOCKED because of it, summed over ops, and those
            that the run itself was QUEUED because of it; `order` is fitting, but not its turn.
        started_at: When the run was admitted; where it never was, when it ended.
        ended_at: When it ended.
        reason: Why it was cancelled, where it was.
        queued_at: When it was submitted.
        attempts: How often the run was tried; the ops and times are those of its last attempt, the waits of all.
        counts: For each op that ran for items of a stream, by its key without the name of the item (`fetch[]`), how
            many of them ended how. Of items beyond the first 10,000 only ops that did not succeed are in `ops`.
        record: What `resume_from` goes on from; not for users.
        close_errors: What providers raised while they closed resources. It does not change the status.
    """

    run_id: str
    graph: str
    status: RunStatus
    output: R_co | None
    errors: tuple[Exception, ...]
    ops: Mapping[str, OpResult]
    waits: Mapping[str, float]
    started_at: float
    ended_at: float
    reason: str | None = None
    counts: Mapping[str, Mapping[OpStatus, int]] = field(default_factory=dict[str, Mapping[OpStatus, int]])
    queued_at: float = 0.0
    close_errors: tuple[ResourceError, ...] = ()
    attempts: int = 1
    record: object = field(default=None, repr=False, compare=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What went wrong beside the ops: resources that could not be closed."""
        return tuple([error.message for error in self.close_errors])

    @property
    def queued(self) -> float:
        """Seconds between its submission and its admission, or its end where it was never admitted."""
        return self.started_at - self.queued_at

    @property
    def timeline(self) -> tuple[OpResult, ...]:
        """The ops that started, in the order in which they did."""
        started = [op for op in self.ops.values() if op.started_at is not None]
        return tuple(sorted(started, key=lambda op: op.started_at or 0.0))

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return self.ended_at - self.started_at

    def __repr__(self) -> str:
        return (
            f"<RunResult {self.graph} {self.run_id} {self.status.value} ops={len(self.ops)} seconds={self.seconds:.3f}>"
        )
