"""Going on from a store: the run is wired and begins as any other, and what its record has is not run again.

An op whose inputs are there is looked up by its key before it asks for limits. What SUCCEEDED is given its value and is
REUSED, what SKIPPED itself skips, and all else runs. So maps grow as they grew, and late graphs are wired as they were,
since both follow from values; only their ops are not run. Steps are evaluated again: they are plain functions.

A value is read when somebody is there that needs it, in the store's own thread, some hundreds at a time. Where all who
would read it are in the record too, it is not read at all: `UNREAD` stands for it, and goes no further. That is why a
run of a hundred thousand ops of which ten are left reads little more than what these ten need.

A failure that a settled call took is kept where the outcome was used by ops that are in the record. The exception
itself is not: where somebody still has to see it, the op is run again. A stream is taken up from its source, unless
all that took from it is in the record.

What a body runs inside itself (`await op.run(…)`) belongs to that body: it is run again with it. The order of such
calls may change from run to run, and so may their keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from asyncflow._authoring import NodeKind
from asyncflow._executor.ending import settle
from asyncflow._executor.outcome import node_failed
from asyncflow._scheduler import WAITING
from asyncflow._store import Kept, Line, Mark, RunSession, UnfitError, codec_of, is_reusable
from asyncflow.errors import AsyncflowError, RecordedFailure, StoreUnavailable
from asyncflow.events import StoreFailed

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution

AT_ONCE: Final = 256
"""Values that are read together."""


class Unread:
    """Stands for a value that nobody will look at."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<a value that stayed in the store>"


UNREAD: Final = Unread()


class Past:
    """What an earlier run achieved, as a store tells it.

    Args:
        line: The store.
        kept: The run's record.
        store: What messages call the store.

    Attributes:
        marks: How its ops ended.
        reused: The nodes of the run that goes on whose value is taken over.
    """

    __slots__ = ("kept", "line", "marks", "reused", "run_id", "store")

    def __init__(self, line: Line, kept: Kept, store: str) -> None:
        self.line = line
        self.kept = kept
        self.run_id = kept.run.run_id
        self.store = store
        self.marks: dict[str, Mark] = dict(kept.marks)
        self.reused: set[int] = set()

    def again(self, root: Execution) -> Past:
        """Returns what a new attempt of the run goes on from: its own record by now."""
        past = Past(self.line, self.kept, self.store)
        past.run_id = root.run.id
        record = root.run.record
        past.marks = dict(self.marks) if record is None else {**self.marks, **record.marks}
        return past

    def mark_of(self, frame: Execution, i: int) -> Mark | None:
        """Returns how the op of a node ended; None where that is not known, or it has to run."""
        return self.marks.get(frame.key(i)) if frame.nodes[i].op is not None else None

    def __repr__(self) -> str:
        return f"<record of run {self.run_id}: {len(self.marks)} ops>"


# ── what is needed ────────────────────────────────────────────────────────────────────────────────────────────────────


def is_needed(frame: Execution, past: Past, i: int) -> bool:
    """Returns whether somebody will look at the value of a node; in doubt it is needed."""
    todo = [i]
    seen = {i}
    while todo:
        one = todo.pop()
        if frame.plan.output == one:
            return True
        if not frame.readers[one]:
            continue
        for j in frame.waiters_of(one):
            verdict = _looks(frame, past, j, one)
            if verdict:
                return True
            if verdict is None and j not in seen:
                seen.add(j)
                todo.append(j)
    return False


def _looks(frame: Execution, past: Past, j: int, i: int) -> bool | None:
    """Returns whether node `j` looks at the value of `i`; None where it only passes it on."""
    node = frame.nodes[j]
    kind = node.kind
    if kind is NodeKind.OP:
        return i in node.sources and not stays(frame, past, j)
    if kind in (NodeKind.COLLECT, NodeKind.RESULT, NodeKind.OUTCOME) or (kind is NodeKind.MAP and j in frame.expanded):
        return None
    return True


def stays(frame: Execution, past: Past, i: int) -> bool:
    """Returns whether an op ends as its record says, without being run."""
    mark = past.mark_of(frame, i)
    if mark is None:
        return False
    if is_reusable(mark.status):
        op = frame.nodes[i].op
        return op is None or op.mode != "stream" or not is_taken(frame, past, i)
    settled = frame.nodes[i].settled
    return mark.status == "FAILED" and settled >= 0 and not is_needed(frame, past, settled)


def is_taken(frame: Execution, past: Past, source: int) -> bool:
    """Returns whether somebody still needs items of a source, directly or through maps."""
    todo = [source]
    for one in todo:
        if frame.plan.output == one:
            return True
        waiters = list(frame.waiters_of(one))
        if not waiters:
            return True  # it ran for its effect, and no record says that it was done with all items
        for j in waiters:
            kind = frame.nodes[j].kind
            if kind is NodeKind.OP:
                if not stays(frame, past, j):
                    return True
            elif kind in (NodeKind.MAP, NodeKind.STREAM):
                todo.append(j)
            else:
                return True
    return False


# ── taking over ───────────────────────────────────────────────────────────────────────────────────────────────────────


def reuse(engine: Engine, frame: Execution, ready: list[int], now: float) -> list[int]:
    """Ends the ops that the record has; returns those that have to run. What has to be read comes later."""
    past = frame.past
    if past is None:
        return ready
    left: list[int] = []
    wanted: list[int] = []
    while ready:
        for i in ready:
            if frame.closed:
                return []
            if not stays(frame, past, i):
                left.append(i)
            elif past.marks[frame.key(i)].status in ("SUCCEEDED", "REUSED"):
                if is_stream(frame, i):
                    pass_over(frame, past, i)
                elif is_needed(frame, past, i):
                    wanted.append(i)
                else:
                    take(frame, past, i, UNREAD)
            else:
                _end_otherwise(engine, frame, past, i, now)
        engine.evaluate_all(frame, now)
        ready, frame.ready = frame.ready, []
    if wanted and not frame.closed:
        frame.open += len(wanted)
        for first in range(0, len(wanted), AT_ONCE):
            _read(engine, frame, past, wanted[first : first + AT_ONCE])
    return [] if frame.closed else left


def take(frame: Execution, past: Past, i: int, value: object) -> None:
    """Gives a node the value that it had."""
    past.reused.add(i)
    frame.kept = past.reused
    frame.succeed(i, value)


def is_stream(frame: Execution, i: int) -> bool:
    """Returns whether a node is the source of a stream."""
    op = frame.nodes[i].op
    return op is not None and op.mode == "stream"


def pass_over(frame: Execution, past: Past, source: int) -> None:
    """A stream of which nothing is needed any more has ended, and so have the maps that took its items."""
    todo = [source]
    for one in todo:
        todo.extend([j for j in frame.waiters_of(one) if frame.nodes[j].kind is not NodeKind.OP])
    for i in reversed(dict.fromkeys(todo)):  # before what they wait for, so that nothing evaluates them
        if frame.status[i] == WAITING:
            take(frame, past, i, UNREAD)


def _end_otherwise(engine: Engine, frame: Execution, past: Past, i: int, now: float) -> None:
    """An op that skipped itself, or failed where that was settled, does so again without being run."""
    mark = past.marks[frame.key(i)]
    if mark.status == "SKIPPED":
        frame.skip(i)
    else:
        node_failed(engine, frame, i, RecordedFailure(mark.error), now)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _outputs(run_id: str, keys: Sequence[str], session: RunSession) -> Mapping[str, str]:
    return session.outputs(run_id, keys)


def _read(engine: Engine, frame: Execution, past: Past, wanted: Sequence[int]) -> None:
    """Asks the store for the values of some nodes."""
    keys = [frame.key(i) for i in wanted]
    answer = past.line.ask(partial(_outputs, past.run_id, keys))
    answer.add_done_callback(partial(_came, engine, frame, past, wanted))


def _came(
    engine: Engine, frame: Execution, past: Past, wanted: Sequence[int], answer: asyncio.Future[Mapping[str, str]]
) -> None:
    """The values are there, or cannot be read."""
    error = answer.exception()
    if frame.finished:
        return
    try:
        frame.open -= len(wanted)
        now = engine.clock()
        for i in wanted:
            if frame.closed:
                break
            if error is None:
                _give(engine, frame, past, i, answer.result().get(frame.key(i)))
            else:
                node_failed(engine, frame, i, _unread(error, frame.key(i)), now)
        engine.advance(frame, now)
        if engine.stale:
            engine.wake()
        if not frame.open:
            settle(engine, frame)
    except BaseException as defect:  # noqa: BLE001 — errors of values were dealt with: a defect
        engine.crash(defect)


def _unread(error: BaseException, key: str) -> AsyncflowError:
    unread = StoreUnavailable(f"what {key} gave could not be read from the store; resume again when it can be")
    unread.__cause__ = error
    return unread


def _give(engine: Engine, frame: Execution, past: Past, i: int, text: str | None) -> None:
    """Gives a node its value; where that is gone, or does not fit any more, the op runs."""
    op, key = frame.nodes[i].op, frame.key(i)
    why = "it is not there any more"
    if op is not None and text is not None:
        try:
            take(frame, past, i, codec_of(op).read(text))
        except UnfitError as unfit:
            why = str(unfit)
        else:
            return
    del past.marks[key]
    frame.ready.append(i)
    why = f"the result of {key} in run {past.run_id} cannot be used, so the op runs again: {why}"
    engine.observers.warn(StoreFailed(engine.clock(), past.store, why, 0, 1))
