"""What a store tells of runs, as frozen data: `await deployment.runs(…)`, `await deployment.ops(run_id)`.

Times are of the calendar, in UTC, so that runs of different processes compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from asyncflow.results import OpStatus, RunStatus


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a store knows of one run.

    Args:
        run_id: Its id.
        graph: The name of its graph or op.
        deployment: The deployment, or branch, it belonged to.
        status: How it ended; RUNNING where it has not, or where its process died.
        tags: Its run tags.
        priority: The priority it was submitted with.
        queued_at: When it was submitted.
        started_at: When it was admitted, once it has ended.
        ended_at: When it ended.
        attempts: How often it was tried.
        error: What its ops raised, as text; empty where nothing failed.
        reason: Why it was cancelled, where it was.
        resumed_from: The run that it went on from.
    """

    run_id: str
    graph: str
    deployment: str
    status: RunStatus
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    priority: int = 0
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = 1
    error: str = ""
    reason: str | None = None
    resumed_from: str | None = None


@dataclass(frozen=True, slots=True)
class OpRecord:
    """What a store knows of one op that has ended.

    Args:
        run_id: Its run.
        key: Its key.
        status: How it ended; REUSED where its run took it over from an earlier one.
        attempts: How often its body was started.
        started_at: When it first was.
        ended_at: When it ended.
        error: What it raised, as text; empty where it did not.
        reason: Why it skipped itself, where it said so.
        kept: Whether its result is in the store.
    """

    run_id: str
    key: str
    status: OpStatus
    attempts: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    reason: str | None = None
    kept: bool = False
