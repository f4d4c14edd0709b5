"""What happens, as frozen data in the past tense. Built only while somebody listens."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.results import OpStatus, RunStatus


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all events. `at` is the loop's clock in seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class RunEvent(Event):
    """Something about one run."""

    run_id: str
    graph: str


@dataclass(frozen=True, slots=True)
class RunStarted(RunEvent):
    """A run was admitted."""


@dataclass(frozen=True, slots=True)
class RunEnded(RunEvent):
    """A run reached its terminal status."""

    status: RunStatus


@dataclass(frozen=True, slots=True)
class OpBlocked(RunEvent):
    """An op is ready, and the round did not admit it. `limits` are those that are short (none: not its turn)."""

    key: str
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpStarted(RunEvent):
    """The body of an op started."""

    key: str


@dataclass(frozen=True, slots=True)
class OpEnded(RunEvent):
    """An op reached its terminal status."""

    key: str
    status: OpStatus


@dataclass(frozen=True, slots=True)
class StuckOp(RunEvent):
    """An op was cancelled and still runs after `cancel_grace` seconds; what it holds stays counted."""

    key: str
    seconds: float
    stack: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoolUnlimited(Event):
    """An op named a pool that has no limit (said once per pool). `message` names the most similar limited one."""

    pool: str
    message: str
