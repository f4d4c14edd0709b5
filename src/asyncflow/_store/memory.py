"""Records in memory: as long as the deployment lives. Values are JSON here too, so that tests find what a file refuses.

It is the model that the file is compared with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from asyncflow._store.entry import Entry, Kept, Mark, OpEntry, OpFilter, RunBegan, RunFilter, RunOver
from asyncflow.records import OpRecord, RunRecord
from asyncflow.results import OpStatus, RunStatus

_ITEM: Final = re.compile(r"\[[^\[\]]*\]")


class MemoryRuns:
    """Records of runs in memory."""

    def __init__(self) -> None:
        self.name = "memory"
        self.blocks = False
        self._began: dict[str, RunBegan] = {}
        self._over: dict[str, RunOver] = {}
        self._ops: dict[str, dict[str, OpEntry]] = {}

    def open(self) -> MemoryRuns:
        """It is always open."""
        return self

    def write(self, entries: Sequence[Entry]) -> None:
        """Writes entries."""
        for entry in entries:
            if isinstance(entry, RunBegan):
                self._begin(entry)
            elif isinstance(entry, RunOver):
                self._over[entry.run_id] = entry
            else:
                ops = self._ops.setdefault(entry.run_id, {})
                ops.pop(entry.key, None)  # the order is that of the last ends
                ops[entry.key] = entry

    def _begin(self, entry: RunBegan) -> None:
        taken = self._ops.get(entry.resumed_from or "", {})
        self._began.pop(entry.run_id, None)
        self._began[entry.run_id] = entry
        self._over.pop(entry.run_id, None)
        self._ops[entry.run_id] = {key: reused(op, entry.run_id) for key, op in taken.items() if is_reusable(op.status)}

    def kept(self, run_id: str) -> Kept | None:
        """Returns what resuming a run needs; None where there is no such run."""
        began = self._began.get(run_id)
        if began is None:
            return None
        over = self._over.get(run_id)
        marks = {key: Mark(op.status, op.error) for key, op in self._ops[run_id].items()}
        return Kept(began, "RUNNING" if over is None else over.status, marks)

    def outputs(self, run_id: str, keys: Sequence[str]) -> dict[str, str]:
        """Returns the values of ops of a run by key, those that are there; `fetch[]` stands for all items."""
        ops = self._ops.get(run_id, {})
        wanted = [key for key in keys if not key.endswith("[]")]
        for key in keys:
            if key.endswith("[]"):
                wanted.extend(items_of(key[:-2], ops))
        found = {key: ops[key].output for key in wanted if key in ops}
        return {key: text for key, text in found.items() if text is not None}

    def latest(self, graph: str, deployment: str, key: str) -> str | None:
        """Returns the newest run of a graph that has the value of an op, or of items of an `each`."""
        for run_id, began in reversed(self._began.items()):
            if (began.graph, began.deployment) == (graph, deployment) and self.outputs(run_id, [key, f"{key}[]"]):
                return run_id
        return None

    def runs(self, chosen: RunFilter) -> list[RunRecord]:
        """Returns runs, newest first."""
        found: list[RunRecord] = []
        waiting = chosen.before is not None
        for run_id in reversed(self._began):
            if waiting:
                waiting = run_id != chosen.before
            elif is_chosen(record := self._record(run_id), chosen):
                found.append(record)
        return found[: chosen.limit]

    def _record(self, run_id: str) -> RunRecord:
        return run_record(self._began[run_id], self._over.get(run_id))

    def ops(self, chosen: OpFilter) -> list[OpRecord]:
        """Returns ops of a run, in the order in which they ended."""
        ops = list(self._ops.get(chosen.run_id, {}).values())
        if chosen.after is not None:
            keys = [op.key for op in ops]
            ops = ops[keys.index(chosen.after) + 1 :] if chosen.after in keys else []
        found = [op_record(op) for op in ops if chosen.key in (None, op.key)]
        return [op for op in found if not chosen.status or op.status in chosen.status][: chosen.limit]

    def close(self) -> None:
        """Nothing is closed: what is in memory stays."""


def is_reusable(status: str) -> bool:
    """Returns whether the end of an op is taken over by a run that goes on."""
    return status in ("SUCCEEDED", "REUSED", "SKIPPED")


def reused(op: OpEntry, run_id: str) -> OpEntry:
    """Returns the record of an op as a run has it that goes on from another one."""
    status = "REUSED" if op.status == "SUCCEEDED" else op.status
    return replace(op, run_id=run_id, status=status, attempts=0)


def items_of(key: str, known: Iterable[str]) -> list[str]:
    """Returns the keys of the items of an `each`, as far as they are known."""
    return [one for one in known if one.startswith(f"{key}[") and _ITEM.fullmatch(one, len(key))]


def is_chosen(record: RunRecord, chosen: RunFilter) -> bool:
    """Returns whether a run is among those that are asked for."""
    return (
        chosen.deployment in (None, record.deployment)
        and chosen.graph in (None, record.graph)
        and chosen.run_id in (None, record.run_id)
        and (not chosen.status or record.status in chosen.status)
        and all(record.tags.get(key) == value for key, value in chosen.tags)
    )


def run_record(began: RunBegan, over: RunOver | None) -> RunRecord:
    """Returns what a store tells of a run."""
    tags: dict[str, str] = json.loads(began.tags)
    begun = RunRecord(
        began.run_id,
        began.graph,
        began.deployment,
        RunStatus.RUNNING,
        tags=tags,
        priority=began.priority,
        queued_at=moment(began.queued_at),
        resumed_from=began.resumed_from,
    )
    if over is None:
        return begun
    return RunRecord(
        began.run_id,
        began.graph,
        began.deployment,
        RunStatus(over.status),
        tags=tags,
        priority=began.priority,
        queued_at=begun.queued_at,
        started_at=moment(over.started_at),
        ended_at=moment(over.ended_at),
        attempts=over.attempts,
        error=over.error,
        reason=over.reason,
        resumed_from=began.resumed_from,
    )


def op_record(op: OpEntry) -> OpRecord:
    """Returns what a store tells of an op."""
    status, kept = OpStatus(op.status), op.output is not None
    started = None if op.started_at is None else moment(op.started_at)
    return OpRecord(
        op.run_id, op.key, status, op.attempts, started, moment(op.ended_at), op.error, op.reason, kept=kept
    )


def moment(seconds: float) -> datetime:
    """Returns a time of the calendar."""
    return datetime.fromtimestamp(seconds, UTC)
